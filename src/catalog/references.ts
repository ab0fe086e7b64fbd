import { BUILT_IN_BUCKETS, ROUTE_TYPES } from '../contract/index.ts'
import { type ConfigFault, faultAt, nearestName, type Path, shorten } from './fault.ts'
import { platformFaults } from './platform-faults.ts'
import { NAMES } from './yaml-schema-parts.ts'
import { isTreeMap, NumberLiteral, type Tree, type TreeMap } from './yaml-tree.ts'

/**
 * What the schema cannot see: names, and whether what is named exists. Works on the plain tree and skips whatever has
 * the wrong type, so that one fault never hides another.
 */

const MODELS_MAX = 10_000
/** The channel that the starter catalog is served by. */
export const SANDBOX_CHANNEL = 'sandbox'

/** Letters of other scripts, and digits, that look like a Latin letter. */
const LOOKALIKES = new Map(
  Object.entries({
    а: 'a',
    α: 'a',
    в: 'b',
    β: 'b',
    с: 'c',
    ϲ: 'c',
    ԁ: 'd',
    е: 'e',
    ε: 'e',
    ҽ: 'e',
    ɡ: 'g',
    һ: 'h',
    н: 'h',
    і: 'i',
    ι: 'i',
    ı: 'i',
    ј: 'j',
    к: 'k',
    κ: 'k',
    м: 'm',
    ո: 'n',
    η: 'n',
    о: 'o',
    ο: 'o',
    σ: 'o',
    օ: 'o',
    р: 'p',
    ρ: 'p',
    ԛ: 'q',
    г: 'r',
    ѕ: 's',
    т: 't',
    τ: 't',
    υ: 'u',
    ս: 'u',
    ν: 'v',
    ѵ: 'v',
    ԝ: 'w',
    ω: 'w',
    х: 'x',
    χ: 'x',
    у: 'y',
    γ: 'y',
    '0': 'o',
    '1': 'l',
  }),
)

/** Case and compatibility forms (full-width letters) taken away. */
function folded(name: string): string {
  return name.normalize('NFKC').toLowerCase().normalize('NFKC')
}

/** What the eye sees: two names of one skeleton cannot be told apart on a receipt. */
function skeleton(name: string): string {
  return Array.from(
    folded(name)
      .normalize('NFD')
      .replace(/\p{M}|\p{Cf}/gu, ''),
    (char) => LOOKALIKES.get(char) ?? char,
  )
    .join('')
    .replaceAll('i', 'l')
    .replaceAll('_', '-')
}

function mapAt(tree: Tree | undefined): TreeMap {
  return isTreeMap(tree) ? tree : {}
}

function listAt(tree: Tree | undefined): readonly Tree[] {
  return Array.isArray(tree) ? (tree as readonly Tree[]) : []
}

interface Known {
  readonly buckets: ReadonlyMap<string, string | null>
  readonly channels: ReadonlySet<string>
  readonly routeNames: ReadonlySet<string>
  /** How a value is shown: as the file has it, not as the environment filled it in. */
  readonly shown: (value: string, path: Path) => string
}

/** @param written what strings were before the environment was filled in, as ReadTree has it */
export function referenceFaults(tree: TreeMap, written: ReadonlyMap<string, string>): ConfigFault[] {
  const models = mapAt(tree['models'])
  const buckets = new Map<string, string | null>(
    Object.entries(BUILT_IN_BUCKETS).map(([id, b]) => [id, b.currency]),
  )
  for (const [id, bucket] of Object.entries(mapAt(tree['buckets']))) {
    const { currency } = mapAt(bucket)
    if (!buckets.has(id)) buckets.set(id, typeof currency === 'string' ? currency : null)
  }
  const known: Known = {
    buckets,
    channels: new Set(Object.keys(mapAt(tree['channels']))),
    routeNames: new Set([
      ...ROUTE_TYPES,
      ...Object.values(models).flatMap((model) => Object.keys(mapAt(mapAt(model)['routes']))),
    ]),
    shown: (value, path) => shorten(written.get(JSON.stringify(path)) ?? value),
  }
  return [
    ...bucketFaults(mapAt(tree['buckets'])),
    ...channelFaults(mapAt(tree['channels'])),
    ...modelNameFaults(Object.keys(models), known),
    ...Object.entries(models).flatMap(([name, model]) => modelFaults(mapAt(model), ['models', name], known)),
  ]
}

function bucketFaults(buckets: TreeMap): ConfigFault[] {
  const names = Object.keys(buckets)
  const faults = [
    ...formFaults(
      names,
      ['buckets'],
      NAMES.bucket,
      'a bucket’s name is a-z, 0-9, _ and -, at most 32, and begins with a letter',
    ),
    ...sameNameFaults(names, ['buckets'], folded),
  ]
  for (const [id, { currency: builtIn }] of Object.entries(BUILT_IN_BUCKETS)) {
    const { currency } = mapAt(buckets[id])
    if (typeof currency === 'string' && currency !== builtIn)
      faults.push(
        faultAt(
          ['buckets', id, 'currency'],
          `the built-in bucket "${id}" holds ${builtIn}; give another bucket its own name`,
        ),
      )
  }
  return faults
}

function channelFaults(channels: TreeMap): ConfigFault[] {
  const names = Object.keys(channels)
  const faults = [
    ...formFaults(
      names,
      ['channels'],
      NAMES.channel,
      'a channel’s name is letters, digits, ., _ and -, at most 64',
    ),
    ...sameNameFaults(names, ['channels'], folded),
    ...Object.entries(channels).flatMap(([name, channel]) => platformFaults(channel, ['channels', name])),
  ]
  const own = channels[SANDBOX_CHANNEL]
  if (own !== undefined && mapAt(own)['sandbox'] !== true)
    faults.push(
      faultAt(['channels', SANDBOX_CHANNEL], 'this name is kept for the built-in sandbox; choose another'),
    )
  return faults
}

function modelNameFaults(names: readonly string[], known: Known): ConfigFault[] {
  if (names.length > MODELS_MAX)
    return [faultAt(['models'], `there are ${names.length} models, at most ${MODELS_MAX} are allowed`)]
  const faults = [
    ...formFaults(
      names,
      ['models'],
      NAMES.model,
      'a model’s name is a-z, 0-9, ., _, :, / and -, at most 128',
    ),
    ...sameNameFaults(names, ['models'], folded),
  ]
  for (const name of names) {
    const suffix = name.includes(':') ? name.slice(name.lastIndexOf(':') + 1) : null
    if (suffix !== null && known.routeNames.has(suffix))
      faults.push(
        faultAt(['models', name], `a name cannot end in ":${suffix}", which asks for the route "${suffix}"`),
      )
  }
  return faults
}

function modelFaults(model: TreeMap, path: Path, known: Known): ConfigFault[] {
  const faults: ConfigFault[] = []
  const [context, output] = [model['context'], model['max_output']]
  if (context instanceof NumberLiteral && output instanceof NumberLiteral && output.value > context.value)
    faults.push(
      faultAt([...path, 'max_output'], `is larger than the context of ${shorten(context.source)} tokens`),
    )
  const routes = model['routes']
  const names = Object.keys(mapAt(routes))
  if (isTreeMap(routes) && names.length === 0)
    faults.push(faultAt([...path, 'routes'], 'must have at least one route'))
  faults.push(
    ...formFaults(names, [...path, 'routes'], NAMES.route, 'a route’s name is a-z, 0-9, _ and -, at most 64'),
    ...sameNameFaults(names, [...path, 'routes'], skeleton),
    ...Object.entries(mapAt(routes)).flatMap(([name, route]) =>
      routeFaults(mapAt(route), [...path, 'routes', name], known),
    ),
  )
  return faults
}

function routeFaults(route: TreeMap, path: Path, known: Known): ConfigFault[] {
  const faults: ConfigFault[] = []
  const { bucket } = route
  if (typeof bucket === 'string') {
    const currency = known.buckets.get(bucket)
    if (currency === undefined)
      faults.push(unknownName('bucket', bucket, [...path, 'bucket'], known.buckets.keys(), known))
    else if (currency !== null)
      faults.push(...currencyFaults(route['price'], [...path, 'price'], bucket, currency, known))
  }
  const seen = new Set<string>()
  listAt(route['channels']).forEach((entry, i) => {
    const { channel, upstream_model: upstream } = mapAt(entry)
    if (typeof channel !== 'string') return
    const at = [...path, 'channels', i]
    if (!known.channels.has(channel))
      faults.push(unknownName('channel', channel, [...at, 'channel'], known.channels, known))
    const key = JSON.stringify([channel, upstream])
    if (seen.has(key))
      faults.push(
        faultAt(
          at,
          `names the channel "${known.shown(channel, [...at, 'channel'])}" and the same upstream model a second time`,
        ),
      )
    seen.add(key)
  })
  return faults
}

function currencyFaults(
  price: Tree | undefined,
  path: Path,
  bucket: string,
  holds: string,
  known: Known,
): ConfigFault[] {
  if (Array.isArray(price))
    return listAt(price).flatMap((one, i) => currencyFaults(one, [...path, i], bucket, holds, known))
  const { currency } = mapAt(price)
  if (typeof currency !== 'string' || currency === holds) return []
  const at = [...path, 'currency']
  return [
    faultAt(
      at,
      `is ${known.shown(currency, at)}, but the bucket "${known.shown(bucket, [])}" holds ${holds}`,
    ),
  ]
}

function unknownName(
  what: string,
  name: string,
  path: Path,
  names: Iterable<string>,
  known: Known,
): ConfigFault {
  return faultAt(path, `there is no ${what} "${known.shown(name, path)}"`, nearestName(name, names))
}

function formFaults(names: readonly string[], path: Path, form: RegExp, problem: string): ConfigFault[] {
  return names.filter((name) => !form.test(name)).map((name) => faultAt([...path, name], problem))
}

function sameNameFaults(names: readonly string[], path: Path, fold: (name: string) => string): ConfigFault[] {
  const first = new Map<string, string>()
  const faults: ConfigFault[] = []
  for (const name of names) {
    const earlier = first.get(fold(name))
    if (earlier === undefined) first.set(fold(name), name)
    else faults.push(faultAt([...path, name], `cannot be told apart from "${shorten(earlier)}"`))
  }
  return faults
}
