import { signWebhook } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import type { Publish } from '../events/index.ts'
import { type Clock, errorText, formatId, type Log, type Uuid } from '../kernel/index.ts'
import type { Mailer } from '../mail/index.ts'
import { SealBroken } from '../secrets/index.ts'
import { waitAfter } from './backoff.ts'
import { createHealth } from './health.ts'
import { mailOf } from './mail-text.ts'
import type { Due, Queue } from './queue.ts'
import type { SecretBook } from './secrets.ts'
import type { Sender, SendResult } from './sender.ts'

/**
 * Takes up what is due and hands it over, as often as it needs. Any number of processes do so at once. A process that dies
 * between handing over and noting it hands over again, under the same id.
 */
export interface Deliverer {
  /** Takes up what is due and for which there is room. @returns whether to come again at once */
  turn(): Promise<boolean>
  /** Waits for the attempts under way. */
  close(): Promise<void>
}

export interface DelivererParts {
  readonly database: Database
  readonly queue: Queue
  readonly secrets: Pick<SecretBook, 'signing'>
  readonly sender: Pick<Sender, 'send'>
  readonly mailer: Pick<Mailer, 'send'>
  readonly publish: Publish
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  /** Attempts have ended, and there is room. */
  readonly onRoom: () => void
}

/** Of this process: in all, and for one receiver, so that one that hangs leaves room for the others. */
const ROOM_ALL = 16
const ROOM_EACH = 4
const MAILS_AT_ONCE = 2
const GONE = 410

type Tried = SendResult & { readonly final?: true }

/** @returns how one delivery is handed over, to an endpoint or a mailbox */
function createHand({ clock, log, mailer, secrets, sender }: DelivererParts): (due: Due) => Promise<Tried> {
  async function mail(due: Due, to: string): Promise<Tried> {
    const begun = clock.monotonicMs()
    const sent = await mailer.send({ to, ...mailOf(due) })
    const took = { status: null, latencyMs: Math.round(clock.monotonicMs() - begun), retryAfterMs: null }
    if (sent.ok) return { ...took, error: null }
    if (sent.reason === 'unconfigured') return { ...took, error: 'no_mail_server', final: true }
    return sent.final ? { ...took, error: 'mail_refused', final: true } : { ...took, error: 'mail_failed' }
  }
  async function signing(orgId: Uuid, endpointId: Uuid): Promise<readonly string[]> {
    try {
      return await secrets.signing(orgId, endpointId)
    } catch (thrown) {
      if (!(thrown instanceof SealBroken)) throw thrown
      log.error({ webhook: formatId('whk', endpointId), error: thrown.message }, 'a webhook cannot be signed')
      return []
    }
  }
  return async (due) => {
    if ('email' in due.to) return mail(due, due.to.email)
    const { endpointId, url } = due.to
    const good = await signing(due.orgId, endpointId)
    // Sealed under another master key: unsigned it must not go, and an operator can still mend it.
    if (good.length === 0)
      return { status: null, latencyMs: 0, error: 'secret_unreadable', retryAfterMs: null }
    const message = { id: formatId('evt', due.eventId), atMs: clock.nowMs(), body: due.payload }
    const result = await sender.send({ url, body: due.payload, headers: signWebhook(good, message) })
    return result.status === GONE ? { ...result, final: true } : result
  }
}

/** What is under way, by receiver; mails have a lane of their own. */
class Lanes {
  private readonly counts = new Map<Uuid | 'mail', number>()

  get busy(): readonly Uuid[] {
    return [...this.counts.keys()].filter((lane) => lane !== 'mail')
  }

  of(lane: Uuid | 'mail'): number {
    return this.counts.get(lane) ?? 0
  }

  get room(): number {
    let taken = 0
    for (const [lane, count] of this.counts) if (lane !== 'mail') taken += count
    return ROOM_ALL - taken
  }

  /** @returns how many are left */
  add(lane: Uuid | 'mail', by: 1 | -1): number {
    const count = this.of(lane) + by
    if (count === 0) this.counts.delete(lane)
    else this.counts.set(lane, count)
    return count
  }
}

const laneOf = ({ to }: Due): Uuid | 'mail' => ('endpointId' in to ? to.endpointId : 'mail')

export function createDeliverer(parts: DelivererParts): Deliverer {
  const { database, queue, clock, log, random } = parts
  const hand = createHand(parts)
  const noteHealth = createHealth(parts)
  const lanes = new Lanes()
  const running = new Set<Promise<void>>()

  async function deliver(due: Due): Promise<void> {
    const tried = await hand(due)
    const atMs = clock.nowMs()
    const over = tried.error === null || tried.final === true
    const waitMs = over ? null : waitAfter(due.tries + 1, tried.retryAfterMs, random())
    const { status, latencyMs, error } = tried
    const result = { atMs, status, latencyMs, error, nextMs: waitMs === null ? null : atMs + waitMs }
    await database.tx(async (tx) => {
      if (!(await queue.note(tx, due, result))) return
      if ('endpointId' in due.to) await noteHealth(tx, due, due.to.endpointId, tried, atMs)
    })
  }

  function begin(due: Due): void {
    const lane = laneOf(due)
    lanes.add(lane, 1)
    const run = deliver(due)
      // What was not noted is due again when its lease ends.
      .catch((thrown) => log.warn({ delivery: due.id, error: errorText(thrown) }, 'a delivery was not noted'))
      .finally(() => {
        running.delete(run)
        if (lanes.add(lane, -1) === 0) parts.onRoom()
      })
    running.add(run)
  }

  return {
    async turn() {
      const nowMs = clock.nowMs()
      // A receiver is given new work when all of its work before is done: its share is never passed.
      const room = { all: lanes.room, each: ROOM_EACH, busy: lanes.busy }
      if (room.all > 0) for (const due of await queue.take(nowMs, room)) begin(due)
      const mails = MAILS_AT_ONCE - lanes.of('mail')
      if (mails > 0) for (const due of await queue.takeMails(nowMs, mails)) begin(due)
      return false
    },
    async close() {
      await Promise.all(running)
    },
  }
}
