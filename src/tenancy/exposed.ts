import { type Fault, fault } from '../contract/index.ts'
import { type Clock, errorText, type Log, type Uuid } from '../kernel/index.ts'
import type { NewEvent, recordEvent } from './audit-log.ts'
import type { ApiKeyRecord } from './records.ts'

/** Secrets in URLs: what proxies, histories and referrers keep. They are refused, and the owner of the key is told. */

const NAMES = new Set([
  'api_key',
  'api-key',
  'apikey',
  'key',
  'token',
  'access_token',
  'operator_token',
  'authorization',
  'bearer',
  'x-api-key',
  'x-goog-api-key',
])
const LOOKS_SECRET = /sk-tf-[0-9A-Za-z]{8}/

/** @returns what was sent as a key in the query, or null when nothing was */
export function secretInQuery(
  query: string,
  isAllowed: (name: string, value: string) => boolean,
): string | null {
  for (const [name, value] of new URLSearchParams(query)) {
    if (isAllowed(name, value)) continue
    const isNamed = NAMES.has(name.toLowerCase())
    if (isNamed || LOOKS_SECRET.test(value) || LOOKS_SECRET.test(name))
      return LOOKS_SECRET.test(name) ? name : value
  }
  return null
}

export function keyInUrl(): Fault {
  return fault('key_in_url', 'A key in the URL is not accepted; it may have been seen by others by now.')
}

export interface ExposedAt {
  readonly requestId: Uuid
  readonly address: string | null
  /** Without the query. */
  readonly path: string
}

export interface ExposureOptions {
  readonly clock: Clock
  readonly log: Log
  readonly find: (secret: string) => ApiKeyRecord | null | Promise<ApiKeyRecord | null>
  readonly record: (by: Parameters<typeof recordEvent>[1], event: NewEvent) => Promise<void>
}

/** One event an hour is enough for a client that goes on. */
const AGAIN_AFTER_MS = 3_600_000
const NOTED_MAX = 10_000
const PATH_MAX = 200

/** @returns a function that never rejects and never waits: the answer must not tell whether the key exists */
export function createExposureLog(options: ExposureOptions): (secret: string, at: ExposedAt) => void {
  const { clock, log, find, record } = options
  const noted = new Map<Uuid, number>()

  async function note(secret: string, at: ExposedAt): Promise<void> {
    const key = await find(secret)
    if (key === null) return
    const nowMs = clock.monotonicMs()
    const before = noted.get(key.secretId)
    if (before !== undefined && nowMs - before < AGAIN_AFTER_MS) return
    const oldest = noted.size < NOTED_MAX ? undefined : noted.keys().next().value
    if (oldest !== undefined) noted.delete(oldest)
    noted.set(key.secretId, nowMs)
    await record(
      { kind: 'system', id: null, requestId: at.requestId, address: at.address },
      {
        orgId: key.orgId,
        action: 'key.exposed',
        objectKind: 'key',
        objectId: key.id,
        after: { prefix: key.prefix, where: 'url', path: at.path.slice(0, PATH_MAX) },
      },
    )
  }

  return (secret, at) =>
    void note(secret, at).catch((thrown) =>
      log.error({ error: errorText(thrown) }, 'that a key was exposed could not be written'),
    )
}
