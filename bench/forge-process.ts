import { readConfig } from '../src/config.ts'
import { start } from '../src/start.ts'

/** Our gateway as `forge start` runs it, on a free port, in a process of its own: `node bench/forge-process.ts --flag value …` */

const flags: Record<string, string> = {}
for (let i = 2; i + 1 < process.argv.length; i += 2) flags[(process.argv[i] ?? '').slice(2)] = process.argv[i + 1] ?? ''

const read = readConfig({ port: '0', 'log-level': 'warn', ...flags }, {})
if (!read.ok) throw new Error(read.faults.map((fault) => `${fault.path} ${fault.problem}`).join('\n'))
const running = await start(read.config, { say: () => undefined })
process.stdout.write(`${JSON.stringify({ port: Number(new URL(running.url).port) })}\n`)
process.on('SIGTERM', () => {
  void running.stop().then(() => process.exit(0))
})
