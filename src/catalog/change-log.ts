import type { Database } from '../db/index.ts'
import { type IdSource, isObject, type JsonObject, parseJson } from '../kernel/index.ts'
import type { CatalogModel, CatalogSnapshot, Channel, Route } from './types.ts'

/** Which configuration came into force, for the log of changes: what differs from the one before, without its secrets. */

type Flat = ReadonlyMap<string, string>

/** Any constant that no other user of advisory locks picks. */
const TURN_KEY = 7_406_211_946

/** The host and path alone: an address may carry a user and a token. */
function placeOf(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : null
  return url === null ? '' : `${url.protocol}//${url.host}${url.pathname}`
}

function channelText({ protocol, baseUrl, publicName, timeouts, platform }: Channel): string {
  const { connectMs, firstTokenMs, idleMs, totalMs } = timeouts
  const cloud = platform === undefined ? '' : ` ${platform.kind}`
  return `${protocol}${cloud} ${placeOf(baseUrl)} "${publicName}" time-outs ${connectMs}/${firstTokenMs}/${idleMs}/${totalMs} ms`
}

function routeText({ type, bucket, prices, channels, holdWindowTokens }: Route): string {
  const ways = channels.map(
    ({ channel, upstreamModel, priority, weight }) =>
      `${channel.name}:${upstreamModel} (${priority}, ${weight})`,
  )
  const window = holdWindowTokens === null ? '' : ` window ${holdWindowTokens}`
  return `${type} ${bucket.id} prices ${prices.map(({ id }) => id).join(', ')} channels ${ways.join(', ')}${window}`
}

function modelText({ contextTokens, maxOutputTokens, capabilities, policy, retires }: CatalogModel): string {
  const more = [
    policy === undefined ? '' : ` policy ${policy}`,
    retires === undefined ? '' : ` retires ${retires}`,
  ]
  return `context ${contextTokens} output ${maxOutputTokens} ${capabilities.join(',')}${more.join('')}`
}

/** One line a thing, by its place in forge.yaml; sorted. Channels of the starter catalog have another port at every start. */
export function flatten(snapshot: CatalogSnapshot): Flat {
  const lines: Array<readonly [string, string]> = []
  for (const { id, currency, name } of snapshot.buckets.values())
    lines.push([`buckets.${id}`, `${currency} ${name}`])
  for (const channel of snapshot.channels.values())
    lines.push([`channels.${channel.name}`, channel.sandbox ? 'the built-in sandbox' : channelText(channel)])
  for (const model of snapshot.models.values()) {
    lines.push([`models.${model.name}`, modelText(model)])
    for (const route of model.routes)
      lines.push([`models.${model.name}.routes.${route.name}`, routeText(route)])
  }
  return new Map(lines.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function difference(before: Flat, after: Flat): { before: JsonObject; after: JsonObject } | null {
  const paths = [...new Set([...before.keys(), ...after.keys()])].filter(
    (path) => before.get(path) !== after.get(path),
  )
  if (paths.length === 0) return null
  const side = (flat: Flat): JsonObject =>
    Object.fromEntries(paths.map((path) => [path, flat.get(path) ?? null]))
  return { before: side(before), after: side(after) }
}

function readFlat(content: string): Flat {
  const parsed = parseJson(content)
  if (!parsed.ok || !isObject(parsed.value)) throw new Error('a stored configuration cannot be read')
  return new Map(Object.entries(parsed.value).map(([path, text]) => [path, String(text)]))
}

/** Of several processes that read the same file the first one writes it down. */
export async function recordConfiguration(
  database: Database,
  ids: IdSource,
  snapshot: CatalogSnapshot,
): Promise<void> {
  const after = flatten(snapshot)
  await database.tx(async (tx) => {
    await tx.query('select pg_advisory_xact_lock($1)', [TURN_KEY])
    const last = await tx.maybeOne<{ content: string }>(
      'select content from catalog.configuration order by seq desc limit 1',
    )
    const changed = difference(last === null ? new Map() : readFlat(last.content), after)
    if (changed === null) return
    await tx.query(
      'insert into catalog.configuration (id, content, before, after) values ($1, $2, $3::jsonb, $4::jsonb)',
      [
        ids.uuid(),
        JSON.stringify(Object.fromEntries(after)),
        last === null ? null : JSON.stringify(changed.before),
        JSON.stringify(changed.after),
      ],
    )
  })
}
