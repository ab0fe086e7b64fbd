import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

/** A real Redis for a test, on a port of its own, that can be stopped, killed, emptied and started again. */

/** Why a test that needs Redis cannot run; false when it can. */
export const NO_REDIS: string | false =
  spawnSync('redis-server', ['--version']).error === undefined
    ? false
    : 'redis-server is not installed (Debian: apt-get install redis-server)'

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

export class TestRedis {
  readonly url: string
  private readonly port: number
  private readonly dir: string
  private child: ChildProcess | null = null

  private constructor(port: number, dir: string) {
    this.port = port
    this.dir = dir
    this.url = `redis://127.0.0.1:${port}`
  }

  static async start(t: TestContext): Promise<TestRedis> {
    const dir = await mkdtemp(join(tmpdir(), 'forge-redis-'))
    const redis = new TestRedis(await freePort(), dir)
    await redis.run()
    t.after(async () => {
      await redis.kill()
      await rm(dir, { recursive: true, force: true })
    })
    return redis
  }

  async run(): Promise<void> {
    const settings = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--dir',
      this.dir,
      '--save',
      '',
      '--appendonly',
      'no',
    ]
    this.child = spawn('redis-server', settings, { stdio: 'ignore' })
    for (let turn = 0; turn < 500; turn++) {
      if ((await this.command('PING').catch(() => '')) === '+PONG') return
      await sleep(10)
    }
    throw new Error('redis-server did not start')
  }

  /** One command without arguments that hold spaces. @returns the first line of the answer */
  async command(line: string): Promise<string> {
    return await new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write(`${line}\r\n`))
      let text = ''
      socket.on('data', (chunk) => {
        text += chunk.toString('utf8')
        if (!text.includes('\r\n')) return
        socket.destroy()
        resolve(text.split('\r\n')[0] ?? '')
      })
      socket.on('error', reject)
    })
  }

  /** The names of all keys, as text. */
  async dump(): Promise<string> {
    return await new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.end('KEYS *\r\n'))
      let text = ''
      socket.on('data', (chunk) => {
        text += chunk.toString('utf8')
      })
      socket.on('close', () => resolve(text))
      socket.on('error', reject)
    })
  }

  flush(): Promise<string> {
    return this.command('FLUSHALL')
  }

  stop(): void {
    this.child?.kill('SIGSTOP')
  }

  resume(): void {
    this.child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const { child } = this
    this.child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
}
