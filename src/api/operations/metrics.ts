import { z } from 'zod'
import type { Metric } from '../deps.ts'
import { operation } from '../operation.ts'

const ESCAPED = /[\\"\n]/g
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' }

function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(
    ([name, value]) => `${name}="${value.replace(ESCAPED, (char) => ESCAPES[char] ?? char)}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

/** Prometheus text exposition, version 0.0.4. */
export function exposition(metrics: readonly Metric[]): string {
  return metrics
    .map(({ name, help, type, samples }) =>
      [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} ${type}`,
        ...samples.map(({ labels, value }) => `${name}${labelsText(labels)} ${value}`),
        '',
      ].join('\n'),
    )
    .join('')
}

function processMetrics(): readonly Metric[] {
  const { user, system } = process.cpuUsage()
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    help,
    type: 'gauge',
    samples: [{ value }],
  })
  return [
    {
      name: 'process_cpu_seconds_total',
      help: 'CPU time of this process.',
      type: 'counter',
      samples: [{ value: (user + system) / 1e6 }],
    },
    gauge('process_resident_memory_bytes', 'Memory of this process.', process.memoryUsage.rss()),
    gauge('process_uptime_seconds', 'Since this process started.', process.uptime()),
  ]
}

export const getMetrics = operation({
  id: 'getMetrics',
  method: 'GET',
  path: '/metrics',
  summary: 'Metrics of this process for Prometheus; they name no customer',
  callers: ['anyone'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: z.string(),
  contentType: 'text/plain; version=0.0.4; charset=utf-8',
  faults: [],
  run: async ({ deps }) => exposition([...(await deps.metrics()), ...processMetrics()]),
})
