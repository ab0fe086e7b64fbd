import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Endpoint } from '../../src/contract/index.ts'
import { startForge, testConfig } from '../forge.ts'
import { assertPaid, MODELS, storyOf, UPSTREAMS } from './stand.ts'

/** Every program of docs/clients.md, run as a reader would run it. */

const ROOT = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)

/** What the program under each heading asks. */
const ASKED: Readonly<Record<string, ReadonlyArray<readonly [Endpoint, string]>>> = {
  openai: [['openai.responses', 'gpt-5.5']],
  anthropic: [['anthropic.messages', 'claude-sonnet-5']],
  genai: [['gemini.generate_content', 'gemini-3.8-flash']],
  'AI SDK': [
    ['openai.responses', 'gpt-5.5'],
    ['anthropic.messages', 'claude-sonnet-5'],
  ],
  LangChain: [['openai.chat_completions', 'deepseek-v4-pro']],
}

/** A folder of a reader, in which the packages are installed. */
async function readersFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'forge-page-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

test('every program of docs/clients.md is served, and paid', async (t) => {
  const page = await readFile(join(ROOT, 'docs', 'clients.md'), 'utf8')
  const programs = [...page.matchAll(/^### (.+)\n\n```js\n([\s\S]*?)```/gm)]
  assert.deepEqual(
    programs.map(([, heading]) => heading),
    Object.keys(ASKED),
  )
  const models = UPSTREAMS.map((protocol) => [MODELS[protocol], { protocol, ordinary: [''] }] as const)
  const forge = await startForge(t, { config: testConfig(Object.fromEntries(models)) })
  const folder = await readersFolder(t)
  for (const [, heading = '', program = ''] of programs)
    await t.test(heading, async () => {
      const account = await forge.account()
      const file = join(folder, 'program.mjs')
      await writeFile(file, program.replaceAll('http://127.0.0.1:8700', forge.url))
      const env = { PATH: process.env['PATH'] ?? '', FORGE_KEY: account.key }
      const { result, receipts } = await storyOf(forge, account, () =>
        run(process.execPath, [file], { cwd: folder, env, timeout: 60_000 }),
      )
      const expected = ASKED[heading] ?? []
      assert.equal(result.stdout.split('You asked: "Which balance pays?"').length - 1, expected.length)
      assert.equal(receipts.length, expected.length)
      for (const [at, [endpoint, model]] of expected.entries()) {
        const receipt = receipts[at]
        assert.ok(receipt !== undefined)
        assertPaid(receipt, { endpoint, model })
      }
    })
  await forge.settled()
  await forge.audit()
})
