import { Redis } from 'ioredis'
import type { Script } from './scripts.ts'

/** The connection: short patience, nothing queued while it is away, nothing sent twice. */

export type Argument = string | number

export interface RedisScripts {
  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown>
  /** Makes the connection anew: one that answers nothing may be dead without anybody's word. */
  reconnect(): void
  close(): void
}

const COMMAND_MS = 150
const CONNECT_MS = 1_000

export function connectRedis(url: string, onError: (error: Error) => void): RedisScripts {
  const redis = new Redis(url, {
    commandTimeout: COMMAND_MS,
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    // A correction that was sent again could count twice.
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times) => Math.min(100 * times, 1_000),
    // Of every server that is still in use.
    protocol: 2,
    connectionName: 'tokens-forge',
  })
  redis.on('error', onError)
  return {
    async run({ sha, lua }, keys, args) {
      try {
        return await redis.evalsha(sha, keys.length, ...keys, ...args)
      } catch (thrown) {
        // The first time, and after a restart of Redis.
        if (!(thrown instanceof Error) || !thrown.message.startsWith('NOSCRIPT')) throw thrown
        return await redis.eval(lua, keys.length, ...keys, ...args)
      }
    },
    reconnect: () => redis.disconnect(true),
    close: () => redis.disconnect(),
  }
}
