import type { EventType } from '../contract/index.ts'
import type { Database, Queryable } from '../db/index.ts'
import type { Uuid } from '../kernel/index.ts'
import type { Publish } from './publish.ts'
import { readRare, readReceipts, type SettledReceipt, type Stretch, settledEvent } from './sources.ts'

/** Somebody whom the feed is read for. All of it happens in the transaction that moves the position. */
export interface Follower {
  /** Organizations it follows, and which types of events of them; null: all but `receipt.settled`. */
  follows(
    tx: Queryable,
  ): Promise<ReadonlyArray<{ readonly orgId: Uuid; readonly types: readonly EventType[] | null }>>
  /** Whether it wants every receipt of the organizations it follows. */
  readonly onReceipts: ((tx: Queryable, receipts: readonly SettledReceipt[]) => Promise<void>) | null
}

export interface Feed {
  /**
   * Reads on from where any process was last. One process does so at a time; the others find it busy and do nothing.
   * @returns whether there is more
   */
  turn(): Promise<boolean>
}

/** Receipts of one turn, about: those of one transaction are never parted. */
const RECEIPTS_A_TURN = 1_000
/** Writing the position is a transaction itself, and no reason to write it again. */
const DRIFT = 1n

const POSITION_SQL = `select position::text as "from", since, pg_snapshot_xmin(pg_current_snapshot())::text as "to"
  from events.progress where worker = 'feed' for no key update skip locked`
const MOVE_SQL = `update events.progress set position = $1::xid8 where worker = 'feed'`
// A restored database numbers its transactions anew: rows from before have numbers that are still to come.
const BEGIN_AGAIN_SQL = `update events.progress set position = $1::xid8, since = clock_timestamp() where worker = 'feed'`
const CUT_SQL = `select xid::text as xid from ledger.receipt where xid >= $1::xid8 and xid < $2::xid8
  order by xid offset $3 limit 1`

interface Follows {
  readonly receipts: readonly Uuid[]
  readonly settled: ReadonlySet<Uuid>
  readonly all: readonly Uuid[]
}

async function followed(tx: Queryable, followers: readonly Follower[]): Promise<Follows> {
  const receipts = new Set<Uuid>()
  const settled = new Set<Uuid>()
  const all = new Set<Uuid>()
  for (const follower of followers) {
    for (const { orgId, types } of await follower.follows(tx)) {
      all.add(orgId)
      if (follower.onReceipts !== null) receipts.add(orgId)
      if (types?.includes('receipt.settled') === true) {
        receipts.add(orgId)
        settled.add(orgId)
      }
    }
  }
  return { receipts: [...receipts], settled, all: [...all] }
}

async function shorten(tx: Queryable, stretch: Stretch): Promise<Stretch> {
  const cut = await tx.maybeOne<{ xid: string }>(CUT_SQL, [stretch.from, stretch.to, RECEIPTS_A_TURN])
  if (cut === null) return stretch
  // The transaction that stands at the cut goes whole: into this turn when it is the first one, else into the next.
  const to = cut.xid === stretch.from ? String(BigInt(cut.xid) + 1n) : cut.xid
  return { ...stretch, to }
}

export function createFeed(parts: {
  readonly database: Database
  readonly publish: Publish
  readonly followers: readonly Follower[]
}): Feed {
  const { database, publish, followers } = parts

  async function read(tx: Queryable, stretch: Stretch): Promise<boolean> {
    const follows = await followed(tx, followers)
    if (follows.all.length === 0) return false
    const receipts = await readReceipts(tx, stretch, follows.receipts)
    const rare = await readRare(tx, stretch, follows.all)
    const settled = receipts.filter(({ orgId }) => follows.settled.has(orgId)).map(settledEvent)
    await publish(tx, [...rare, ...settled])
    for (const { onReceipts } of followers) if (receipts.length > 0) await onReceipts?.(tx, receipts)
    return receipts.length + rare.length > 0
  }

  return {
    turn: () =>
      database.tx(async (tx) => {
        const whole = await tx.maybeOne<Stretch>(POSITION_SQL)
        if (whole === null) return false
        if (BigInt(whole.from) > BigInt(whole.to)) {
          await tx.query(BEGIN_AGAIN_SQL, [whole.to])
          return false
        }
        const stretch = await shorten(tx, whole)
        const found = await read(tx, stretch)
        const cut = stretch !== whole
        if (cut || found || BigInt(stretch.to) - BigInt(stretch.from) > DRIFT)
          await tx.query(MOVE_SQL, [stretch.to])
        return cut
      }),
  }
}
