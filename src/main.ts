import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createActions, workerMain } from './actions.ts'
import { runCli } from './cli/index.ts'
import { environment, readConfig } from './config.ts'
import { packageVersion } from './installation.ts'
import { createIdSource, systemClock } from './kernel/index.ts'

/** Arguments → command. */

const argv = process.argv.slice(2)
const io = {
  out: (text: string): void => void process.stdout.write(text),
  err: (text: string): void => void process.stderr.write(text),
}

/** For commands that talk to a running server: where it is, and the token it keeps beside its data. */
function clientSettings() {
  const read = readConfig({})
  const config = read.ok ? read.config : null
  const host =
    config?.host === '0.0.0.0' || config?.host === '::' ? '127.0.0.1' : (config?.host ?? '127.0.0.1')
  return {
    url: `http://${host}:${config?.port ?? 8700}`,
    async operatorToken(): Promise<string | null> {
      if (config?.operatorToken != null) return config.operatorToken.reveal()
      const path = join(config?.dataDir ?? 'data', 'operator-token')
      return readFile(path, 'utf8').then(
        (text) => text.trim(),
        () => null,
      )
    },
  }
}

function language(): 'en' | 'zh' {
  const { LC_ALL, LC_MESSAGES, LANG } = environment()
  return (LC_ALL || LC_MESSAGES || LANG || '').toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

async function main(): Promise<number> {
  if (argv[0] === 'worker' && process.send !== undefined) return workerMain()
  const line = (write: (text: string) => void) => (text: string) => write(`${text}\n`)
  const ids = createIdSource(systemClock.nowMs, randomBytes)
  return runCli(argv, {
    settings: {
      ...clientSettings(),
      language: language(),
      version: packageVersion(),
      newId: () => ids.uuid(),
    },
    actions: createActions({ out: line(io.out), err: line(io.err) }, import.meta.filename),
    io,
  })
}

process.exitCode = await main()
// What was started has been stopped; a socket that lingers (a kept-alive connection of the client) must not keep us.
setTimeout(() => process.exit(), 500).unref()
