import { start } from './start.ts'
import { readConfig } from './config.ts'
const r = readConfig({})
if (!r.ok) { console.error(r.faults); process.exit(3) }
const running = await start(r.config, { say: (l) => process.stdout.write(l + '\n') })
for (const s of ['SIGTERM', 'SIGINT'] as const) process.on(s, () => { void running.stop().then(() => process.exit(0)) })
