import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Actions, runCli } from '../../src/cli/index.ts'
import { startApi } from '../api-stand.ts'

/** The commands of the README as they stand there; only the ids that it leaves out are those that came before. */

const README = join(import.meta.dirname, '../../README.md')

/** Words as a shell splits them: quotes hold what is inside together. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, plain]) => double ?? single ?? plain ?? '',
  )
}

test('every command that the README shows for limits and people does what it says', async (t) => {
  const stand = await startApi(t)
  const [, block = ''] =
    /## Who may spend what\n[\s\S]+?```sh\n([\s\S]+?)```/.exec(readFileSync(README, 'utf8')) ?? []
  const lines = block.trim().split('\n')
  assert.ok(lines.length >= 8)
  const ids = new Map<string, string>()
  const unused = (): Promise<number> => Promise.reject(new Error('not asked for'))
  const actions: Actions = { start: unused, migrate: unused, configCheck: unused, doctor: unused }
  for (const line of lines) {
    const words = wordsOf(line.replace(/\b(org|prj|key)_…/g, (_, prefix: string) => ids.get(prefix) ?? '?'))
    assert.deepEqual(words.slice(0, 2), ['npx', 'forge'])
    // The stand's catalog has other names.
    const argv = words.slice(2).map((word) => (word === 'gpt-5-mini' ? 'm-one' : word))
    let out = ''
    let err = ''
    const code = await runCli([...argv, '--json'], {
      settings: {
        url: stand.url,
        operatorToken: async () => stand.operator,
        language: 'en',
        version: '1.2.3',
        newId: () => stand.ids.uuid(),
      },
      actions,
      io: {
        out: (text) => {
          out += text
        },
        err: (text) => {
          err += text
        },
      },
    })
    assert.equal(code, 0, `${line}: ${err}`)
    const said = JSON.parse(out) as string | { id?: string }
    if (typeof said === 'string') {
      assert.match(said, /key\.create/)
      continue
    }
    const { id } = said
    const [prefix] = id?.split('_') ?? []
    if (id !== undefined && prefix !== undefined) ids.set(prefix, id)
  }
  const log = await stand.call('GET', `/api/v1/audit?organization=${ids.get('org')}&limit=200`)
  const actionsDone = log.json.data.map(({ action }: { action: string }) => action)
  for (const action of [
    'organization.create',
    'project.create',
    'grant.add',
    'key.create',
    'budget.create',
    'rate_limit.create',
  ])
    assert.ok(actionsDone.includes(action), `${action} of ${actionsDone}`)
})
