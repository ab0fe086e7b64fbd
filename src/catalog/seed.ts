import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConfigFault, faultAt, faultText } from './fault.ts'
import { type ConfigModel, modelOf, routeOf } from './forge-config.ts'
import { referenceFaults, SANDBOX_CHANNEL } from './references.ts'
import type { CatalogWarning } from './snapshot.ts'
import type { Bucket, Channel } from './types.ts'
import { seedSchema } from './yaml-schema.ts'
import { faultsOf, PARSE } from './yaml-schema-parts.ts'
import { isTreeMap, readTree } from './yaml-tree.ts'

/** The starter catalog: what can be tried at once, without a key to any provider. */
export interface Seed {
  readonly models: readonly ConfigModel[]
  /** Files and routes that are left out; a seed with a fault must not keep the product from starting. */
  readonly warnings: readonly CatalogWarning[]
}

export const SANDBOX_PUBLIC_NAME = 'Sandbox (no real model)'

/** Every route of the starter catalog goes here: prices are real, answers are not. */
export function sandboxChannel(baseUrl: string): Channel {
  return {
    name: SANDBOX_CHANNEL,
    publicName: SANDBOX_PUBLIC_NAME,
    protocol: 'openai',
    baseUrl: baseUrl.replace(/\/+$/, ''),
    apiKey: '',
    timeouts: { connectMs: 3000, firstTokenMs: 60_000, idleMs: 60_000, totalMs: 600_000 },
    sandbox: true,
    namesCaches: false,
  }
}

/** Reads one seed file per model, in the order of their paths. */
export async function loadSeed(directory: string, buckets: readonly Bucket[]): Promise<Seed> {
  const paths: string[] = []
  for await (const path of glob('**/*.yaml', { cwd: directory })) paths.push(path)
  const models = new Map<string, ConfigModel>()
  const warnings: CatalogWarning[] = []
  for (const path of paths.sort((a, b) => (a < b ? -1 : 1))) {
    const read = parseSeed(await readFile(join(directory, path), 'utf8'), buckets)
    const faults =
      read.ok && models.has(read.model.name) ? [faultAt([], 'names a model of another file')] : read.faults
    for (const fault of faults) warnings.push({ model: path, route: null, problem: faultText(fault) })
    if (read.ok && faults.length === 0) models.set(read.model.name, read.model)
  }
  return { models: [...models.values()], warnings }
}

type ParsedSeed =
  | { readonly ok: true; readonly model: ConfigModel; readonly faults: readonly [] }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] }

/** A seed file knows no environment: it is part of the product, not of an installation. */
export function parseSeed(text: string, buckets: readonly Bucket[]): ParsedSeed {
  const { tree, faults: unread } = readTree(text, {})
  if (unread.length > 0) return { ok: false, faults: unread }
  if (!isTreeMap(tree)) return { ok: false, faults: [faultAt([], 'the file must be a map of settings')] }
  const { model: name } = tree
  const checked = seedSchema.safeParse(tree, PARSE)
  const currencies = new Map(buckets.map(({ id, currency }) => [id, currency]))
  const faults = [
    ...(checked.success ? [] : faultsOf(checked.error)),
    ...referenceFaults(
      {
        buckets: Object.fromEntries(buckets.map(({ id, currency }) => [id, { currency }])),
        models: typeof name === 'string' ? { [name]: tree } : {},
      },
      new Map(),
    ),
  ]
  if (!checked.success || faults.length > 0) return { ok: false, faults }
  const { model, routes, ...written } = checked.data
  return {
    ok: true,
    faults: [],
    model: {
      ...modelOf(model, written),
      routes: Object.entries(routes).map(([routeName, { upstream_model: upstreamModel, ...route }]) => ({
        ...routeOf(routeName, route, currencies.get(route.bucket) ?? ''),
        channels: [
          { channel: SANDBOX_CHANNEL, upstreamModel: upstreamModel ?? model, priority: 0, weight: 1 },
        ],
      })),
    },
  }
}
