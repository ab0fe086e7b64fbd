import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createClient } from '../src/client/index.ts'
import { type BenchDatabase, type Core, freePort, type Stand } from './stand.ts'

/** The processes under test: each takes the same requests and sends them on to the same upstream. */

export interface Subject {
  readonly name: string
  /** Null for the upstream itself: nothing is between. */
  readonly pid: number | null
  readonly port: number
  readonly headers: readonly string[]
}

const ROOT = join(import.meta.dirname, '..')
const CORE: Core = 1
const OPERATOR_TOKEN = 'operator-token-of-the-benchmark'

function hasNginx(): boolean {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** @returns null where nginx is not there and cannot be installed */
export async function startNginx(stand: Stand, upstreamPort: number): Promise<Subject | null> {
  if (!hasNginx()) {
    try {
      execFileSync('apt-get', ['install', '-y', 'nginx-light'], { stdio: 'ignore', timeout: 120_000 })
    } catch {
      return null
    }
  }
  const port = await freePort()
  const config = join(stand.dir, 'nginx.conf')
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${stand.dir}/nginx.pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; tcp_nodelay on;
  client_body_temp_path ${stand.dir}/nginx-body; proxy_temp_path ${stand.dir}/nginx-proxy;
  fastcgi_temp_path ${stand.dir}/nginx-f; uwsgi_temp_path ${stand.dir}/nginx-u; scgi_temp_path ${stand.dir}/nginx-s;
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`,
  )
  const { pid } = await stand.run('nginx', ['-c', config, '-p', stand.dir, '-e', 'stderr'], {
    core: CORE,
    port,
  })
  return { name: 'nginx', pid, port, headers: [] }
}

export async function startPassThrough(
  stand: Stand,
  upstreamPort: number,
  execArgv: readonly string[] = [],
): Promise<Subject> {
  const args = [...execArgv, join(ROOT, 'bench', 'pass-through.ts'), `http://127.0.0.1:${upstreamPort}`]
  const { pid, ready } = await stand.run(process.execPath, args, { core: CORE })
  return { name: 'pass-through', pid, port: Number(ready['port']), headers: [] }
}

export interface Forge extends Subject {
  /** Throws when the books do not balance. */
  audit(): Promise<string>
}

/** A model of the gateway, and the format in which its only channel is spoken to. */
export interface BenchModel {
  readonly name: string
  readonly protocol: 'openai' | 'openai-responses' | 'anthropic' | 'gemini'
}

const CHAT_MODELS: readonly BenchModel[] = [
  { name: 'bench', protocol: 'openai' },
  { name: 'bench-paced', protocol: 'openai' },
]

function forgeYaml(upstreamPort: number, models: readonly BenchModel[]): string {
  const channel = (protocol: string): string =>
    `  ${protocol}: {protocol: ${protocol}, base_url: 'http://127.0.0.1:${upstreamPort}/${protocol === 'gemini' ? 'v1beta' : 'v1'}', api_key: sk-upstream-of-the-benchmark, public_name: Upstream}`
  const protocols = [...new Set(models.map(({ protocol }) => protocol))]
  return `channels:
${protocols.map(channel).join('\n')}
models:
${models
  .map(
    ({ name, protocol }) => `  ${name}:
    context: 128000
    max_output: 16384
    reference_price: {currency: USD, input: "0.40", cache_read: "0.04", output: "1.60"}
    routes:
      ordinary:
        type: ordinary
        bucket: rmb
        price: {input: "1.50", cache_read: "0.15", output: "6.00"}
        channels: [{channel: ${protocol}, upstream_model: ${name}}]
`,
  )
  .join('')}`
}

/** @param execArgv for Node itself, such as --cpu-prof */
export async function startForge(
  stand: Stand,
  database: BenchDatabase,
  upstreamPort: number,
  execArgv: readonly string[] = [],
  models: readonly BenchModel[] = CHAT_MODELS,
): Promise<Forge> {
  const config = join(stand.dir, 'forge.yaml')
  writeFileSync(config, forgeYaml(upstreamPort, models))
  const port = await freePort()
  const flags = {
    config,
    port: String(port),
    'data-dir': join(stand.dir, 'forge'),
    'database-url': database.url,
    'operator-token': OPERATOR_TOKEN,
    'log-level': 'warn',
  }
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
  const program = [...execArgv, join(ROOT, 'src', 'main.ts'), 'start', ...args]
  const { pid } = await stand.run(process.execPath, program, {
    core: CORE,
    port,
    env: { PATH: process.env['PATH'] },
  })
  const client = createClient({
    baseUrl: `http://127.0.0.1:${port}`,
    token: OPERATOR_TOKEN,
    timeoutMs: 300_000,
  })
  const organization = await client.createOrganization({ name: 'Measured' })
  const project = await client.createProject({ organization: organization.id, name: 'bench' })
  const { key } = await client.createKey({ project: project.id, label: 'bench' })
  await client.createGrant({
    organization: organization.id,
    bucket: 'rmb',
    amount: '1000000000',
    reason: 'bench',
  })
  return {
    name: 'tokens-forge',
    pid,
    port,
    headers: [`authorization: Bearer ${key}`],
    async audit() {
      const report = await client.getAudit()
      const broken = report.checks.filter((check) => !check.ok)
      if (broken.length > 0)
        throw new Error(
          `the books do not balance: ${broken.map((check) => `${check.name}: ${check.detail}`).join('; ')}`,
        )
      return `${report.checks.length} checks of the audit hold`
    },
  }
}

/** What its own lock file has: with what npm resolves today, every stream of it fails. */
const PORTKEY = {
  private: true,
  dependencies: { '@portkey-ai/gateway': '1.15.2' },
  overrides: { hono: '4.9.7', '@hono/node-server': '1.13.5' },
}

async function installPortkey(): Promise<string> {
  const dir = join(tmpdir(), `forge-bench-portkey-${PORTKEY.dependencies['@portkey-ai/gateway']}`)
  const program = join(dir, 'node_modules', '@portkey-ai', 'gateway', 'build', 'start-server.js')
  if (existsSync(program)) return program
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'package.json'), JSON.stringify(PORTKEY))
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: dir,
    timeout: 180_000,
  })
  return program
}

/** @returns null where it cannot be installed */
export async function startPortkey(stand: Stand, upstreamPort: number): Promise<Subject | null> {
  try {
    const program = await installPortkey()
    const port = await freePort()
    const env = { PATH: process.env['PATH'], NODE_ENV: 'production' }
    const { pid } = await stand.run(process.execPath, [program, `--port=${port}`, '--headless'], {
      core: CORE,
      port,
      env,
      quiet: true,
    })
    return {
      name: 'portkey',
      pid,
      port,
      headers: [
        'x-portkey-provider: openai',
        `x-portkey-custom-host: http://127.0.0.1:${upstreamPort}/v1`,
        'authorization: Bearer sk-bench',
      ],
    }
  } catch {
    return null
  }
}
