import { readFile } from 'node:fs/promises'
import { createLog } from './app.ts'
import { ConfigFaults, faultText, parseForgeYaml } from './catalog/index.ts'
import { type Actions, EXIT, type Flags, type Outcome } from './cli/index.ts'
import { createClient } from './client/index.ts'
import { type Config, environment, readConfig } from './config.ts'
import { MigrationError, migrate, openDatabase, pendingMigrations } from './db/index.ts'
import { MIGRATIONS } from './installation.ts'
import { errorText, silentLog, systemClock } from './kernel/index.ts'
import { prepareDatabase, type Running, runWorker, start, type WorkerSetting } from './start.ts'

/** The commands about this installation: what the command line may ask of the composition root. */

interface Io {
  readonly out: (line: string) => void
  readonly err: (line: string) => void
}

/** Every fault at once, and the exit code of a configuration that cannot be used. */
function faultsOutcome(faults: ConfigFaults['faults']): Outcome {
  return {
    value: { ok: false, faults },
    text: [
      `${faults.length} fault${faults.length === 1 ? '' : 's'}:`,
      ...faults.map((fault) => `  ${faultText(fault)}`),
    ].join('\n'),
    exit: EXIT.configuration,
  }
}

async function withConfig(
  flags: Flags,
  run: (config: Config) => Promise<Outcome | number>,
): Promise<Outcome | number> {
  const read = readConfig(flags)
  if (!read.ok) return faultsOutcome(read.faults)
  try {
    return await run(read.config)
  } catch (thrown) {
    if (thrown instanceof ConfigFaults) return faultsOutcome(thrown.faults)
    if (thrown instanceof MigrationError)
      return { value: { ok: false, error: thrown.message }, text: thrown.message, exit: EXIT.configuration }
    throw thrown
  }
}

/** Resolves when the process was told to stop and has. Signals that come while it stops change nothing. */
function untilTold(running: Running): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false
    const stop = (): void => {
      if (stopping) return
      stopping = true
      running.stop().then(resolve, reject)
    }
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop)
    // A gateway process of several follows its parent.
    process.on('disconnect', stop)
  })
}

/** A gateway process of several: its setting comes as the first message of its parent. */
export async function workerMain(): Promise<number> {
  const setting = await new Promise<WorkerSetting>((resolve) =>
    process.once('message', (message) => resolve(message as WorkerSetting)),
  )
  const running = await runWorker(setting)
  process.send?.('ready')
  await untilTold(running)
  return EXIT.ok
}

async function configCheck(config: Config): Promise<Outcome> {
  if (config.configPath === null) {
    return {
      value: { ok: true, config: null },
      text: 'There is no forge.yaml: the starter catalog is served by the sandbox.',
    }
  }
  const parsed = parseForgeYaml(await readFile(config.configPath, 'utf8'), environment())
  if (!parsed.ok) return faultsOutcome(parsed.faults)
  const { models, channels } = parsed.config
  return {
    value: { ok: true, config: config.configPath, models: models.length, channels: channels.length },
    text: `${config.configPath} is in order: ${models.length} models, ${channels.length} channels.`,
  }
}

interface Finding {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

async function finding(name: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { name, ok: true, detail: await look() }
  } catch (thrown) {
    return { name, ok: false, detail: errorText(thrown) }
  }
}

async function lookAtServer(config: Config): Promise<string> {
  const response = await requestReadiness(`http://${config.host}:${config.port}`)
  if (!response.ready) throw new Error(`not ready: ${response.detail}`)
  return `ready at http://${config.host}:${config.port}`
}

async function requestReadiness(url: string): Promise<{ ready: boolean; detail: string }> {
  const ready = await createClient({ baseUrl: url, token: '' }).getReady()
  return {
    ready: ready.ready,
    detail: ready.checks
      .filter((check) => !check.ok)
      .map((check) => `${check.name} ${check.detail}`)
      .join(', '),
  }
}

async function lookAtDatabase(config: Config): Promise<string> {
  if (config.databaseUrl === null) return 'embedded (looked at through the server)'
  const url = config.databaseUrl.reveal()
  const database = openDatabase({ connection: url, log: silentLog, max: 1 })
  try {
    const { version, skew } = await database.one<{ version: string; skew: number }>(
      `select current_setting('server_version') as version, extract(epoch from clock_timestamp())::float8 - $1 / 1000.0 as skew`,
      [systemClock.nowMs()],
    )
    const pending = await pendingMigrations(url, { dir: MIGRATIONS })
    if (Math.abs(skew) > 300)
      throw new Error(`the clocks of this machine and of the database differ by ${Math.round(skew)} s`)
    return `PostgreSQL ${version}, ${pending.length === 0 ? 'schema current' : `${pending.length} migrations pending (forge migrate)`}`
  } finally {
    await database.close()
  }
}

async function doctor(config: Config): Promise<Outcome> {
  const findings = [
    await finding('node', async () => process.versions.node),
    await finding('settings', async () => `port ${config.port}, data in ${config.dataDir}`),
    await finding('forge.yaml', async () => {
      const outcome = await configCheck(config)
      if (outcome.exit !== undefined) throw new Error(outcome.text)
      return outcome.text
    }),
    await finding('database', () => lookAtDatabase(config)),
    await finding('server', () => lookAtServer(config)),
  ]
  const ok = findings.every((one) => one.ok)
  return {
    value: { ok, findings },
    text: findings.map((one) => `${one.ok ? 'ok  ' : 'FAIL'} ${one.name}: ${one.detail}`).join('\n'),
    exit: ok ? EXIT.ok : EXIT.other,
  }
}

async function migrateNow(config: Config, io: Io): Promise<Outcome> {
  const log = createLog(config.logLevel)
  const database = await prepareDatabase(config, log, { say: io.err })
  try {
    const { applied, version } = await migrate(database.url, { dir: MIGRATIONS, log })
    return {
      value: { applied, version },
      text: applied.length === 0 ? `The schema is current (${version}).` : `Applied ${applied.join(', ')}.`,
    }
  } finally {
    await database.stop()
  }
}

/** @param main the file that gateway processes are started with */
export function createActions(io: Io, main: string): Actions {
  return {
    start: (flags) =>
      withConfig(flags, async (config) => {
        const running = await start(config, { say: io.out }, main)
        await untilTold(running)
        return EXIT.ok
      }),
    migrate: (flags) => withConfig(flags, (config) => migrateNow(config, io)),
    configCheck: (flags) => withConfig(flags, configCheck),
    doctor: (flags) => withConfig(flags, doctor),
  }
}
