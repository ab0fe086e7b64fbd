import type { Metric } from './api/index.ts'
import type { Readiness } from './contract/index.ts'
import type { Database } from './db/index.ts'
import type { Gateway } from './gateway/index.ts'
import { errorText } from './kernel/index.ts'
import type { LedgerWriter } from './ledger/index.ts'
import type { Limiter } from './rates/index.ts'

/** How this process is: its metrics, and whether it may be sent requests. */

export function collectMetrics(writer: LedgerWriter, gateway: Gateway, limiter: Limiter): readonly Metric[] {
  const { counters } = gateway
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    help,
    type: 'gauge',
    samples: [{ value }],
  })
  const counts = (name: string, help: string, label: string, map: ReadonlyMap<string, number>): Metric => ({
    name,
    help,
    type: 'counter',
    samples: [...map].map(([key, value]) => ({ labels: { [label]: key }, value })),
  })
  return [
    gauge('forge_ledger_queue_depth', 'Ledger operations queued or under way.', writer.depth),
    gauge('forge_ledger_healthy', '1 while the ledger answers.', writer.healthy ? 1 : 0),
    gauge('forge_requests_active', 'Gateway requests under way.', counters.active),
    gauge('forge_holds_open', 'Holds of requests that run in this process.', gateway.openHolds()),
    gauge('forge_rates_away', '1 while Redis does not answer.', limiter.state === 'away' ? 1 : 0),
    gauge('forge_draining', 'Answers read for callers who have left.', gateway.draining.size),
    counts('forge_requests_total', 'Gateway requests by how they ended.', 'status', counters.byStatus),
    counts(
      'forge_settlements_total',
      'Settled requests by row of the settlement matrix.',
      'settlement',
      counters.bySettlement,
    ),
    {
      name: 'forge_streams_total',
      help: 'Streams begun.',
      type: 'counter',
      samples: [{ value: counters.streams }],
    },
    {
      name: 'forge_drains_cancelled_total',
      help: 'Answers cancelled since too many were being read for callers who had left.',
      type: 'counter',
      samples: [{ value: gateway.draining.cancelled }],
    },
    {
      name: 'forge_late_settlements_total',
      help: 'Settlements that came after recovery.',
      type: 'counter',
      samples: [{ value: counters.lateSettlements }],
    },
  ]
}

export async function readiness(
  database: Database,
  writer: LedgerWriter,
  leaving: boolean,
): Promise<Readiness> {
  const answer = await database.query('select 1').then(
    () => ({ name: 'database', ok: true, detail: 'answers' }),
    (thrown) => ({ name: 'database', ok: false, detail: errorText(thrown) }),
  )
  const checks = [
    answer,
    {
      name: 'ledger',
      ok: writer.healthy,
      detail: writer.healthy ? `${writer.depth} operations under way` : 'does not answer',
    },
    { name: 'accepting', ok: !leaving, detail: leaving ? 'shutting down' : 'yes' },
  ]
  return { ready: checks.every((check) => check.ok), checks }
}
