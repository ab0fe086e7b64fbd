import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { measureAdmission } from './admission.ts'
import { measureAllocations } from './allocations.ts'
import { measureEstimate } from './estimate.ts'
import { measureGateway } from './gateway.ts'
import { type Measured, measureLedger } from './ledger.ts'
import { goalTable } from './report.ts'
import { openStand } from './stand.ts'
import { measureStreams } from './streams.ts'

/**
 * Prints ratios measured in one run. Ends with 0 whatever they are; with 1 when something could not run or the books do
 * not balance afterwards.
 *
 *   node bench/run.ts [--quick] [--only ledger|gateway|streams|estimate|admission|allocations] [--json]
 */

const PARTS = ['ledger', 'gateway', 'streams', 'estimate', 'admission', 'allocations'] as const
type Part = (typeof PARTS)[number]

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, only: { type: 'string' }, json: { type: 'boolean' } },
})
const only = PARTS.find((part) => part === values.only)
if (values.only !== undefined && only === undefined)
  throw new Error(`--only takes one of ${PARTS.join(', ')}`)
const wants = (part: Part): boolean => only === undefined || only === part
const quick = values.quick ?? false
const say = (text: string): void => {
  if (values.json !== true) process.stdout.write(`${text}\n`)
}

function revision(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trim()
  } catch {
    return 'unknown'
  }
}

async function measured(
  name: string,
  work: (say: (text: string) => void) => Promise<Measured>,
): Promise<Measured> {
  say(`\n## ${name}\n`)
  const result = await work(say)
  say(result.text)
  for (const note of result.notes) say(`- ${note}`)
  return result
}

const stand = openStand()
try {
  const about = `${new Date().toISOString()}, revision ${revision()}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}${quick ? ', quick' : ''}`
  say(about)
  if (stand.warning !== null) say(`WARNING: ${stand.warning}`)
  const results: Measured[] = []
  if (wants('estimate')) results.push(await measured('Estimate', async () => measureEstimate(quick)))
  if (wants('admission')) results.push(await measured('Admission', () => measureAdmission(quick)))
  if (wants('ledger')) results.push(await measured('Ledger', () => measureLedger(stand, quick)))
  if (wants('streams'))
    results.push(await measured('Streams', (tell) => measureStreams(stand, { quick, say: tell })))
  if (wants('allocations'))
    results.push(await measured('Allocations', () => measureAllocations(stand, quick)))
  if (wants('gateway'))
    results.push(await measured('Gateway', (tell) => measureGateway(stand, { quick, say: tell })))
  const goals = results.flatMap((result) => result.goals)
  if (goals.length > 0) say(`\n## Goals\n\n${goalTable(goals)}`)
  if (values.json === true) {
    const [runs, notes] = [
      results.flatMap((result) => result.runs),
      results.flatMap((result) => result.notes),
    ]
    process.stdout.write(
      `${JSON.stringify({ about, warning: stand.warning, goals, runs, notes }, null, 2)}\n`,
    )
  }
} finally {
  await stand.close()
}
