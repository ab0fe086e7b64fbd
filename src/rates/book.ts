import type { Database, Listener, listen as listenFactory } from '../db/index.ts'
import { type Clock, createMemory, type Log, type Uuid } from '../kernel/index.ts'
import { RATE_COLUMNS, type RateLimit, type RateRow, rateOf } from './records.ts'

/** The limits of an organization, in memory until they change. */

/** Who asks, as far as rate limits are concerned. */
export interface RateAsker {
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly apiKeyId: Uuid
}

export interface RateRoute {
  readonly model: string
  readonly route: string
  readonly routeType: string
}

export interface RateSet {
  readonly isEmpty: boolean
  /** Of whoever asks, whatever the route. */
  of(asker: RateAsker): readonly RateLimit[]
  ofRoute(route: RateRoute): readonly RateLimit[]
}

export interface RateBook {
  /** Without a promise when they are in memory. */
  of(orgId: Uuid): RateSet | Promise<RateSet>
  /** For changes made by this process: its own word comes back to it a moment later. */
  drop(orgId: Uuid): void
  close(): Promise<void>
}

export interface RateBookOptions {
  readonly database: Database
  readonly listen: typeof listenFactory
  readonly clock: Clock
  readonly log: Log
}

const CHANNEL = 'forge_rate'
const REMEMBERED_MAX = 10_000
const NONE: readonly never[] = []
const EMPTY: RateSet = { isEmpty: true, of: () => NONE, ofRoute: () => NONE }

function setOf(limits: readonly RateLimit[]): RateSet {
  if (limits.length === 0) return EMPTY
  // One is in force for each place.
  const byPlace = new Map(limits.map((limit) => [`${limit.scope}/${limit.scopeId}`, limit]))
  const found = (places: Iterable<string>): readonly RateLimit[] => {
    const under: RateLimit[] = []
    for (const place of places) {
      const limit = byPlace.get(place)
      if (limit !== undefined) under.push(limit)
    }
    return under
  }
  return {
    isEmpty: false,
    of: ({ orgId, projectId, apiKeyId }) =>
      found([`organization/${orgId}`, `project/${projectId}`, `key/${apiKeyId}`]),
    ofRoute: ({ model, route, routeType }) =>
      found(
        new Set([
          `route/${route}`,
          `route/${routeType}`,
          `route/${model}:${route}`,
          `route/${model}:${routeType}`,
        ]),
      ),
  }
}

/** Listens before it returns, so that no change is missed by what is remembered from now on. */
export async function openRates(options: RateBookOptions): Promise<RateBook> {
  const { database, clock, log } = options
  const organizations = createMemory({
    clock,
    log,
    what: 'rate limits',
    max: REMEMBERED_MAX,
    async read(orgId) {
      const rows = await database.query<RateRow>(
        `select ${RATE_COLUMNS} from tenancy.rate_limit where org_id = $1 and ended_at is null order by id`,
        [orgId],
      )
      return setOf(rows.map(rateOf))
    },
  })
  const listening = Promise.withResolvers<void>()
  const drop = (orgId: Uuid): void => organizations.drop((id) => id === orgId)
  const listener: Listener = options.listen(database, [CHANNEL], {
    log,
    onNotify: (_channel, payload) => drop(payload),
    onGap() {
      organizations.drop(() => true)
      listening.resolve()
    },
  })
  await listening.promise
  return {
    of: (orgId) => organizations.known(orgId) ?? organizations.load(orgId),
    drop,
    close: () => listener.close(),
  }
}
