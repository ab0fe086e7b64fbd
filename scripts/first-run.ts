import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import OpenAI from 'openai'
import { startSandbox } from '../src/sandbox/index.ts'
import { freePort } from './free-port.ts'

/**
 * Records docs/first-run.md: a real start, two real requests through the `openai` package, both receipts, the audit. With
 * `--check` it runs the same and fails when the story differs from the recorded one (ids, times and keys apart).
 */

const ROOT = join(import.meta.dirname, '..')
const PAGE = join(ROOT, 'docs', 'first-run.md')
const run = promisify(execFile)

/** One model, two routes; the ordinary route's primary channel answers 429. */
function config(url: string, failing: string): string {
  return `channels:
  direct:  {protocol: openai, base_url: "${url}/v1", api_key: sk-not-needed, public_name: Direct, sandbox: true}
  relay-a: {protocol: openai, base_url: "${failing}", api_key: sk-not-needed, public_name: Relay A, sandbox: true}
  relay-b: {protocol: openai, base_url: "${url}/v1", api_key: sk-not-needed, public_name: Relay B, sandbox: true}
models:
  gpt-5-mini:
    context: 400000
    max_output: 128000
    reference_price: {currency: USD, input: "0.25", cache_read: "0.025", output: "2.00"}
    routes:
      official:
        {type: official, bucket: credit, price: {input: "0.25", cache_read: "0.025", output: "2.00"},
         channels: [{channel: direct, upstream_model: gpt-5-mini}]}
      ordinary:
        {type: ordinary, bucket: rmb, price: {input: "0.90", cache_read: "0.09", output: "7.20"},
         channels: [{channel: relay-a, upstream_model: gpt-5-mini, priority: 0},
                    {channel: relay-b, upstream_model: gpt-5-mini, priority: 1}]}
`
}

interface Started {
  readonly child: ChildProcess
  readonly output: string
}

async function startForge(env: NodeJS.ProcessEnv): Promise<Started> {
  const child = spawn('npm', ['start', '--silent'], {
    cwd: ROOT,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  for (let turn = 0; !output.includes('x-request-id>'); turn++) {
    if (child.exitCode !== null || turn > 600) throw new Error(`the gateway did not start:\n${output}`)
    await sleep(100)
  }
  return { child, output }
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM')
  })
}

async function officialStream(client: OpenAI): Promise<{ id: string; text: string }> {
  const { data: stream, response } = await client.chat.completions
    .create({
      model: 'gpt-5-mini:official',
      max_completion_tokens: 120,
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: 'Which balance pays for this?' }],
    })
    .withResponse()
  let text = ''
  let tf: unknown
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    if (chunk.usage) tf = (chunk.usage as unknown as { tf: unknown }).tf
  }
  const id = response.headers.get('x-request-id') ?? ''
  const shown = [
    text,
    `x-tf-route: ${response.headers.get('x-tf-route')}   x-tf-bucket: ${response.headers.get('x-tf-bucket')}   x-tf-attempts: ${response.headers.get('x-tf-attempts')}`,
    `usage.tf: ${JSON.stringify(tf)}`,
  ]
  return { id, text: shown.join('\n') }
}

async function ordinaryCall(client: OpenAI): Promise<{ id: string; text: string }> {
  const { data, response } = await client.chat.completions
    .create({
      model: 'gpt-5-mini',
      max_completion_tokens: 120,
      messages: [{ role: 'user', content: 'And who pays for this one?' }],
    })
    .withResponse()
  const header = (name: string): string => `${name}: ${response.headers.get(name)}`
  const shown = [
    data.choices[0]?.message.content ?? '',
    ['x-tf-route', 'x-tf-bucket', 'x-tf-channel', 'x-tf-attempts'].map(header).join('   '),
    ['x-tf-charge', 'x-tf-currency'].map(header).join('   '),
  ]
  return { id: response.headers.get('x-request-id') ?? '', text: shown.join('\n') }
}

function block(title: string, command: string, output: string): string {
  return `## ${title}\n\n\`\`\`console\n$ ${command}\n${output.trim()}\n\`\`\`\n`
}

async function record(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'forge-first-run-'))
  const sandbox = await startSandbox()
  const port = await freePort()
  const env = {
    ...process.env,
    FORGE_PORT: String(port),
    FORGE_DATA_DIR: join(home, 'data'),
    FORGE_CONFIG: join(home, 'forge.yaml'),
    FORGE_LOG_LEVEL: 'warn',
    LANG: 'en',
  }
  const yaml = config(sandbox.url, sandbox.with('status=429'))
  await writeFile(env.FORGE_CONFIG, yaml)
  const forge = async (...args: string[]): Promise<string> =>
    (await run('npx', ['--no-install', 'forge', ...args], { cwd: ROOT, env, maxBuffer: 1 << 24 })).stdout
  const started = await startForge(env)
  try {
    const key = (await readFile(join(home, 'data', 'demo-key'), 'utf8')).trim()
    const client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: key })
    const first = await officialStream(client)
    const second = await ordinaryCall(client)
    await sleep(500)
    const orgs = JSON.parse(await forge('org', 'list', '--json')) as { data: Array<{ id: string }> }
    const org = orgs.data[0]?.id ?? ''
    const page = [
      "# A recorded first run\n\nMade by `npm run first-run` (CI runs it again and compares). The upstream is the built-in sandbox, so the words are\nthe sandbox's; everything else — holds, attempts, prices, charges, receipts, ledger — is what a real provider would cause.\nThe `forge.yaml` gives one model two routes; the primary channel of the ordinary route always answers 429.\n",
      `## forge.yaml\n\n\`\`\`yaml\n${yaml.trim()}\n\`\`\`\n`,
      block('Start', 'npm ci && npm start', started.output),
      block('An official streaming call, through the openai package', 'node official-stream.mjs', first.text),
      block('Its receipt', `npx forge receipt ${first.id}`, await forge('receipt', first.id)),
      block('An ordinary call whose primary channel fails', 'node ordinary-call.mjs', second.text),
      block('Its receipt', `npx forge receipt ${second.id}`, await forge('receipt', second.id)),
      block(
        'Both balances',
        `npx forge wallet show --org ${org}`,
        await forge('wallet', 'show', '--org', org),
      ),
      block('The audit', 'npx forge audit', await forge('audit')),
    ]
    return page
      .join('\n')
      .replaceAll(home, '~/forge')
      .replaceAll(sandbox.url, 'http://127.0.0.1:9100')
      .replaceAll(`127.0.0.1:${port}`, '127.0.0.1:8700')
  } finally {
    await stop(started.child)
    await sandbox.close()
    await rm(home, { recursive: true, force: true })
  }
}

/** The story without what differs from run to run. */
function story(page: string): string {
  return (
    page
      .replace(/\b(org|prj|key|req|run|pv)_[0-9a-z]{26}/g, '$1_…')
      .replace(/sk-tf-[\w-]+/g, 'sk-tf-…')
      .replace(/operator\/[\w-]+/g, 'operator/…')
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '…')
      .replace(/\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z| UTC)?/g, '…')
      .replace(/\d+(\.\d+)? ?(ms|s)\b/g, '…')
      // The last column of the attempts, whose unit is in its head.
      .replace(/ (yes|no): (.*?) +\d+$/gm, ' $1: $2 …')
      .replace(/-{3,}|─{3,}| {2,}/g, ' ')
  )
}

const page = await record()
if (process.argv.includes('--check')) {
  const recorded = await readFile(PAGE, 'utf8')
  const [was, is] = [story(recorded).split('\n'), story(page).split('\n')]
  const at = is.findIndex((line, i) => line !== was[i])
  if (at !== -1 || was.length !== is.length) {
    console.error(
      `docs/first-run.md tells another story; run npm run first-run\n  recorded: ${was[at]}\n  now:      ${is[at]}`,
    )
    process.exit(1)
  }
  console.log('the recorded first run happened again')
} else {
  await writeFile(PAGE, page)
  console.log('wrote docs/first-run.md')
}
process.exit(0)
