import { createAlertBook, createEvaluator, createRuleBook, createUsageFollower } from './alerts/index.ts'
import type { NoticeDeps } from './api/index.ts'
import type { Database } from './db/index.ts'
import { createEventStore, createFeed, createPublish, startTurns } from './events/index.ts'
import type { Clock, IdSource, Log } from './kernel/index.ts'
import type { Mailer } from './mail/index.ts'
import type { Keyring } from './secrets/index.ts'
import {
  type AddressRules,
  checkTarget,
  createDeliverer,
  createDeliveryLog,
  createEndpointBook,
  createQueue,
  createQueueing,
  createSecretBook,
  createSender,
  lookupFor,
  queueMails,
  webhookFollower,
} from './webhooks/index.ts'

/** Composition of what runs beside requests: the feed, alert rules, deliveries; and the stores that the API asks. */

export interface JobOptions {
  /** A pool of its own: thousands of deliveries must never make a request wait for a connection. */
  readonly database: Database
  readonly keyring: Keyring
  readonly mailer: Mailer
  readonly rules: AddressRules
  readonly clock: Clock
  readonly ids: IdSource
  readonly randomBytes: (length: number) => Uint8Array
  readonly random: () => number
  readonly log: Log
  readonly version: string
}

export interface Jobs {
  /** What the API asks of it, over the database that the caller may see. */
  over(database: Database): NoticeDeps
  close(): Promise<void>
}

const FEED_EVERY_MS = 1_000
const DELIVER_EVERY_MS = 1_000
/** The evaluator itself keeps to the minute, over all processes. */
const EVALUATE_EVERY_MS = 10_000

export function startJobs(options: JobOptions): Jobs {
  const { database, clock, ids, log, rules } = options
  const lookup = lookupFor(rules)
  const wake = (): void => deliveries.wake()
  const publish = createPublish([createQueueing(clock.nowMs)])
  const feed = createFeed({
    database,
    publish,
    followers: [webhookFollower, createUsageFollower(clock.nowMs)],
  })
  const secrets = createSecretBook({ ...options, database })
  const sender = createSender({ ...options, lookup })
  const deliverer = createDeliverer({
    ...options,
    queue: createQueue(database),
    secrets,
    sender,
    publish,
    onRoom: wake,
  })
  const evaluator = createEvaluator({ database, publish, sendMails: queueMails, ids, clock, log })

  const deliveries = startTurns('deliveries', DELIVER_EVERY_MS, log, deliverer.turn)
  const reading = startTurns('feed', FEED_EVERY_MS, log, feed.turn)
  const looking = startTurns('alerts', EVALUATE_EVERY_MS, log, evaluator.turn)
  return {
    over: (seen) => ({
      events: createEventStore(seen),
      alerts: { rules: createRuleBook(seen), list: createAlertBook(seen) },
      webhooks: {
        endpoints: createEndpointBook({ database: seen, secrets, publish, ids, clock }),
        log: createDeliveryLog(seen),
        checkTarget: (url) => checkTarget(url, rules, lookup),
        wake,
      },
    }),
    async close() {
      await Promise.all([reading.close(), looking.close(), deliveries.close()])
      await deliverer.close()
      await sender.close()
    },
  }
}
