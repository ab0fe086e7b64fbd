import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort } from '../../scripts/free-port.ts'

/** What is published, as somebody has it who installed it: packed, unpacked beside its dependencies, and used from there. */

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

let home = ''
let files: string[] = []

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'forge-package-'))
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', home], { cwd: ROOT })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [
    { filename: string; files: { path: string }[] },
  ]
  files = packed.files.map(({ path }) => path)
  await run('tar', ['-xzf', join(home, packed.filename), '-C', home])
  await mkdir(join(home, 'node_modules'))
  for (const name of await readdir(join(ROOT, 'node_modules')))
    if (!name.startsWith('.'))
      await symlink(join(ROOT, 'node_modules', name), join(home, 'node_modules', name))
  await run('mv', [join(home, 'package'), join(home, 'node_modules', 'tokens-forge')])
  await writeFile(join(home, 'package.json'), '{"type":"module"}')
})
after(() => rm(home, { recursive: true, force: true }))

test('the package holds what runs and nothing of how it was tested', () => {
  for (const needed of [
    'bin/forge.mjs',
    'dist/main.js',
    'dist/client/index.d.ts',
    'migrations/0001_ledger.sql',
  ])
    assert.ok(files.includes(needed), needed)
  for (const path of files)
    assert.doesNotMatch(path, /\.test\.|^(?:test|src|bench|scripts|data|node_modules)\//, path)
})

test('tokens-forge/client is JavaScript with types of its own', async () => {
  const script = `import { ClientError, createClient, verifyWebhook } from 'tokens-forge/client'
const client = createClient({ baseUrl: 'http://127.0.0.1:9', token: 'none' })
const refused = await client.getBalances().catch((thrown) => thrown)
console.log(refused instanceof ClientError, refused.kind, typeof verifyWebhook)`
  await writeFile(join(home, 'use.mjs'), script)
  const { stdout } = await run(process.execPath, ['use.mjs'], { cwd: home })
  assert.equal(stdout, 'true unreachable function\n')

  const typed = `import { type Client, createClient } from 'tokens-forge/client'
const client: Client = createClient({ baseUrl: 'http://127.0.0.1:9', token: 'none' })
export const posted = async (): Promise<string | undefined> => (await client.getBalances()).buckets['rmb']?.posted
// @ts-expect-error: there is no such operation
client.getNothing()
// @ts-expect-error: an amount is text
export const wrong = async (): Promise<number | undefined> => (await client.getBalances()).buckets['rmb']?.posted
`
  await writeFile(join(home, 'use.ts'), typed)
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--skipLibCheck',
    'use.ts',
  ]
  await run(join(ROOT, 'node_modules', '.bin', 'tsc'), options, { cwd: home })
})

test('what is installed starts, serves and stops', async () => {
  const port = await freePort()
  const forge = join(home, 'node_modules', 'tokens-forge', 'bin', 'forge.mjs')
  const env = { ...process.env, FORGE_PORT: String(port), FORGE_DATA_DIR: join(home, 'data') }
  const server = spawn(process.execPath, [forge, 'start'], {
    cwd: home,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(server, 'exit')
  let said = ''
  server.stdout.on('data', (chunk) => (said += chunk))
  server.stderr.on('data', (chunk) => (said += chunk))
  try {
    const deadline = Date.now() + 60_000
    while (!said.includes('is ready') && server.exitCode === null && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 100))
    const live = await fetch(`http://127.0.0.1:${port}/livez`).catch(() => null)
    assert.equal(live?.status, 200, said)
    const key = /sk-tf-[0-9A-Za-z]{49}/.exec(said)?.[0] ?? ''
    const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gpt-5-mini',
        max_tokens: 20,
        messages: [{ role: 'user', content: 'hi' }],
      }),
    })
    assert.equal(answer.status, 200, await answer.text())
  } finally {
    server.kill('SIGTERM')
    await exited
  }
  assert.equal(server.exitCode, 0, said)
})
