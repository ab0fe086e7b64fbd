import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Database } from '../db/index.ts'
import { type Clock, errorText, type IdSource, type Log } from '../kernel/index.ts'
import { recordConfiguration } from './change-log.ts'
import { type ConfigFault, ConfigFaults, faultAt, faultText } from './fault.ts'
import type { ForgeConfig } from './forge-config.ts'
import { parseForgeYaml } from './forge-yaml.ts'
import { storePriceVersions, wantedPrices } from './price-versions.ts'
import { SANDBOX_CHANNEL } from './references.ts'
import { loadSeed, SANDBOX_PUBLIC_NAME, sandboxChannel } from './seed.ts'
import { buildSnapshot } from './snapshot.ts'
import type { Bucket, CatalogSnapshot } from './types.ts'
import { watchFile } from './watch-file.ts'
import { type Environment, FILE_BYTES_MAX, FILE_TOO_LARGE } from './yaml-tree.ts'

export interface CatalogOptions {
  readonly database: Database
  /** Null: no file, the starter catalog is served by the sandbox. */
  readonly configPath: string | null
  /** What `${NAME}` in the file stands for. */
  readonly env: Environment
  readonly ids: IdSource
  readonly clock: Clock
  readonly log: Log
  /** Asked only when the starter catalog is used. */
  readonly sandboxUrl: () => string | Promise<string>
  readonly seedDirectory?: string
  readonly pollMs?: number
  readonly debounceMs?: number
}

export interface Reload {
  readonly ok: boolean
  readonly faults: readonly ConfigFault[]
}

export interface Catalog {
  /** What is in force now. Take it once per request: the next call may return another. */
  snapshot(): CatalogSnapshot
  /** Reads the file again. With faults, the snapshot in force stays; every fault is listed. */
  reload(): Promise<Reload>
  /** Called after every activation but the first. @returns ends the calls */
  onChange(listener: (snapshot: CatalogSnapshot) => void): () => void
  close(): Promise<void>
}

type Loaded =
  | { readonly ok: true; readonly snapshot: CatalogSnapshot }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] }

const SEED_DIRECTORY = join(import.meta.dirname, '..', '..', 'seed', 'models')
const POLL_MS = 2000
const DEBOUNCE_MS = 50

/**
 * Loads the catalog, keeps it in memory and follows the file.
 * @throws ConfigFaults when the first load finds faults; what the database throws when it cannot be reached
 */
export async function openCatalog(options: CatalogOptions): Promise<Catalog> {
  const { configPath } = options
  const reloader = createReloader(options)
  const watching =
    configPath === null
      ? null
      : // Before the first read, so that a change in between is seen.
        await watchFile(configPath, {
          onChange: async () => {
            await reloader.reload()
          },
          log: options.log,
          pollMs: options.pollMs ?? POLL_MS,
          debounceMs: options.debounceMs ?? DEBOUNCE_MS,
        })
  let current: () => CatalogSnapshot
  try {
    current = await reloader.first()
  } catch (thrown) {
    await Promise.all([watching?.close(), reloader.close()])
    throw thrown
  }
  return {
    snapshot: current,
    reload: reloader.reload,
    onChange: reloader.onChange,
    async close() {
      await Promise.all([watching?.close(), reloader.close()])
    },
  }
}

interface Reloader extends Pick<Catalog, 'reload' | 'onChange' | 'close'> {
  /** The first load. @throws ConfigFaults */
  first(): Promise<() => CatalogSnapshot>
}

function createReloader(options: CatalogOptions): Reloader {
  const { log } = options
  const listeners = new Set<(snapshot: CatalogSnapshot) => void>()
  const logFaults = faultLog(log)
  let current: CatalogSnapshot | null = null
  let tail: Promise<unknown> = Promise.resolve()
  let retry: NodeJS.Timeout | null = null
  let closed = false

  /** One after the other: of two loads the later one must win. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = tail.then(work)
    tail = mine.catch(() => undefined)
    return mine
  }

  async function reload(): Promise<Reload> {
    if (closed || current === null) return { ok: false, faults: [faultAt([], 'the catalog is not open')] }
    const loaded = await loadAgain(options, current)
    logFaults(loaded.ok ? [] : loaded.faults)
    if (!loaded.ok) {
      // No change of the file will bring this about: what failed lies outside it.
      if (loaded.outside && retry === null) retry = setTimeout(retryNow, options.pollMs ?? POLL_MS).unref()
      return { ok: false, faults: loaded.faults }
    }
    const before = current
    current = loaded.snapshot
    logChange(before, current, log)
    for (const listener of listeners) notify(listener, current, log)
    return { ok: true, faults: [] }
  }

  function retryNow(): void {
    retry = null
    inTurn(reload).catch((thrown: unknown) => log.error({ error: errorText(thrown) }, 'the reload failed'))
  }

  return {
    first: () =>
      inTurn(async () => {
        const loaded = await load(options, null)
        if (!loaded.ok) throw new ConfigFaults(loaded.faults)
        let snapshot = loaded.snapshot
        current = snapshot
        listeners.add((next) => {
          snapshot = next
        })
        return () => snapshot
      }),
    reload: () => inTurn(reload),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      closed = true
      if (retry !== null) clearTimeout(retry)
      await tail
    },
  }
}

type LoadedAgain =
  | Extract<Loaded, { ok: true }>
  | (Extract<Loaded, { ok: false }> & { readonly outside: boolean })

/** A load that fails for another reason than the file's content is a fault too: the gateway goes on as it is. */
async function loadAgain(options: CatalogOptions, current: CatalogSnapshot): Promise<LoadedAgain> {
  try {
    const loaded = await load(options, current)
    return loaded.ok ? loaded : { ...loaded, outside: false }
  } catch (thrown) {
    const fault = faultAt([], `the configuration cannot be put in force now: ${errorText(thrown)}`)
    return { ok: false, faults: [fault], outside: true }
  }
}

async function load(options: CatalogOptions, before: CatalogSnapshot | null): Promise<Loaded> {
  const { database, clock, ids, log } = options
  const read = await readConfig(options.configPath, options.env)
  if (!read.ok) return read
  const seeded = read.config.models.length === 0
  if (seeded && before !== null && !isSeeded(before)) return { ok: false, faults: [NO_MODEL_LEFT] }
  const config = seeded ? await withSeed(read.config, options) : read.config
  const changed = await currencyFaults(database, config.buckets)
  if (changed.length > 0) return { ok: false, faults: changed }
  const versionIds = await storePriceVersions(database, wantedPrices(config.models), ids)
  const snapshot = buildSnapshot(config, versionIds, (before?.revision ?? 0) + 1, {
    nowMs: clock.nowMs(),
    onWarning: (warning) => log.warn({ ...warning }, 'not served'),
  })
  await recordConfiguration(database, ids, snapshot)
  return { ok: true, snapshot }
}

/** Half a file, or a mount that went away, must not turn a running gateway into one whose answers are made up. */
const NO_MODEL_LEFT = faultAt(
  ['models'],
  'names no model any more; restart to serve the starter catalog instead',
)

function isSeeded(snapshot: CatalogSnapshot): boolean {
  return snapshot.channels.get(SANDBOX_CHANNEL)?.publicName === SANDBOX_PUBLIC_NAME
}

async function readConfig(path: string | null, env: Environment): Promise<ReturnType<typeof parseForgeYaml>> {
  if (path === null) return parseForgeYaml('', env)
  try {
    // Not a byte of an absurd file is read: it may be a disk image, or endless.
    const { size } = await stat(path)
    if (size > FILE_BYTES_MAX) return { ok: false, faults: [FILE_TOO_LARGE] }
    return parseForgeYaml(await readFile(path, 'utf8'), env)
  } catch (thrown) {
    return { ok: false, faults: [faultAt([], `the file cannot be read: ${errorText(thrown)}`)] }
  }
}

async function withSeed(config: ForgeConfig, options: CatalogOptions): Promise<ForgeConfig> {
  const { models, warnings } = await loadSeed(options.seedDirectory ?? SEED_DIRECTORY, config.buckets)
  for (const warning of warnings) options.log.warn({ ...warning }, 'left out of the starter catalog')
  const others = config.channels.filter(({ name }) => name !== SANDBOX_CHANNEL)
  return { ...config, models, channels: [...others, sandboxChannel(await options.sandboxUrl())] }
}

/** A bucket's amounts are of the currency they were booked in; another name for the currency would change what they are. */
async function currencyFaults(database: Database, buckets: readonly Bucket[]): Promise<ConfigFault[]> {
  const booked = await database.query<{ bucket: string; currency: string }>(
    'select distinct bucket, currency from catalog.price_version order by bucket, currency',
  )
  return booked.flatMap(({ bucket: id, currency }) => {
    const bucket = buckets.find((each) => each.id === id)
    if (bucket === undefined || bucket.currency === currency) return []
    return [
      faultAt(
        ['buckets', id, 'currency'],
        `was ${currency} before and cannot change; use a bucket of another name`,
      ),
    ]
  })
}

/** Logs each fault once, however often the file is read before it is mended. */
function faultLog(log: Log): (faults: readonly ConfigFault[]) => void {
  let logged = new Set<string>()
  return (faults) => {
    const texts = faults.map(faultText)
    for (const fault of new Set(texts)) {
      if (!logged.has(fault))
        log.error({ fault }, 'the configuration has a fault; the last good one stays in force')
    }
    logged = new Set(texts)
  }
}

function logChange(before: CatalogSnapshot, after: CatalogSnapshot, log: Log): void {
  log.info({ revision: after.revision, models: after.models.size }, 'the configuration is in force')
  const gone = [...before.models.keys()].filter((name) => !after.models.has(name))
  if (gone.length > 0)
    log.warn({ models: gone.slice(0, 20), count: gone.length }, 'models are no longer served')
}

function notify(listener: (snapshot: CatalogSnapshot) => void, snapshot: CatalogSnapshot, log: Log): void {
  try {
    listener(snapshot)
  } catch (thrown) {
    log.error({ error: errorText(thrown) }, 'a listener of the catalog failed')
  }
}
