import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import { type TestContext, test } from 'node:test'
import { createIdSource, systemClock } from '../../src/kernel/index.ts'
import { hashApiKey, makeApiKey } from '../../src/tenancy/api-key.ts'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'

/** A32: neither the answer nor its time tells whether a key that does not work exists. */

const EACH = 5_000
const AT_ONCE = 100

interface Answered {
  readonly status: number
  readonly text: string
  readonly ms: number
  readonly headers: string
}

function ask(url: URL, agent: Agent, key: string): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const begun = performance.now()
    const asked = request(
      {
        host: url.hostname,
        port: url.port,
        path: '/v1/models',
        agent,
        headers: { authorization: `Bearer ${key}` },
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (data: string) => {
          text += data
        })
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            text,
            ms: performance.now() - begun,
            headers: Object.keys(response.headers).join(),
          }),
        )
      },
    )
    asked.on('error', reject)
    asked.end()
  })
}

/** So many that each is asked about once, as an unknown one is: neither is in anybody's memory. */
async function revokedKeys(forge: Forge, account: Account): Promise<string[]> {
  const secrets = Array.from({ length: EACH }, () => makeApiKey(randomBytes))
  const ids = createIdSource(systemClock.nowMs, randomBytes)
  const values = [
    account.orgId,
    account.projectId,
    secrets.map(() => ids.uuid()),
    secrets.map((secret) => secret.slice(0, 10)),
    secrets.map((secret) => hashApiKey(secret)),
  ]
  await forge.owner.query(
    `with k as (
       insert into tenancy.api_key (org_id, id, project_id, label, prefix, policy, state)
         select $1, u.id, $2, 'gone', u.prefix, 'ordinary_only', 'revoked' from unnest($3::uuid[], $4::text[]) u(id, prefix)
       returning id)
     insert into tenancy.api_key_secret (org_id, id, key_id, prefix, key_sha256)
       select $1, u.id, u.id, u.prefix, decode(u.hash, 'base64')
         from unnest($3::uuid[], $4::text[], $5::text[]) u(id, prefix, hash), (select count(*) from k) done`,
    values,
  )
  return secrets
}

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.floor(sorted.length * share)] ?? 0

/** The chance that one of the first takes longer than one of the second; a half where nothing can be told from it. */
function chanceLonger(first: readonly number[], second: readonly number[]): number {
  let below = 0
  let wins = 0
  for (const one of first) {
    while (below < second.length && (second[below] ?? 0) < one) below++
    wins += below
  }
  return wins / (first.length * second.length)
}

interface Told {
  readonly unknown: readonly number[]
  readonly revoked: readonly number[]
  readonly answers: ReadonlySet<string>
}

/** In turns, so that whatever else the machine does meets both. */
async function measure(
  url: URL,
  atOnce: number,
  unknown: readonly string[],
  revoked: readonly string[],
): Promise<Told> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce })
  const asked = unknown.flatMap((key, i) => [
    { kind: 'unknown' as const, key },
    { kind: 'revoked' as const, key: revoked[i] ?? '' },
  ])
  const times = { unknown: [] as number[], revoked: [] as number[] }
  const answers = new Set<string>()
  let next = 0
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let one = asked[next++]; one !== undefined; one = asked[next++]) {
        const { status, text, ms, headers } = await ask(url, agent, one.key)
        answers.add(`${status} ${headers} ${text.replace(/req_[0-9a-z]{26}/g, 'req_')}`)
        times[one.kind].push(ms)
      }
    }),
  )
  agent.destroy()
  const sorted = (list: number[]): number[] => list.sort((a, b) => a - b)
  return { unknown: sorted(times.unknown), revoked: sorted(times.revoked), answers }
}

/** The middle halves lie over each other, and a guess by the time is hardly better than a coin. */
function assertAlike(t: TestContext, { unknown, revoked, answers }: Told): void {
  assert.equal(answers.size, 1, `one answer for all: ${[...answers].join('\n')}`)
  assert.match([...answers][0] ?? '', /^401 .*invalid_api_key/)
  const chance = chanceLonger(unknown, revoked)
  const shares = [0.05, 0.25, 0.5, 0.75, 0.95]
  const told = shares.map(
    (share) => `${quantile(unknown, share).toFixed(1)}/${quantile(revoked, share).toFixed(1)}`,
  )
  t.diagnostic(`unknown/revoked ms at 5, 25, 50, 75, 95 %: ${told.join(' ')}; chance ${chance.toFixed(3)}`)
  assert.ok(quantile(unknown, 0.25) <= quantile(revoked, 0.75))
  assert.ok(quantile(revoked, 0.25) <= quantile(unknown, 0.75))
  assert.ok(chance > 0.35 && chance < 0.65, `${chance}`)
  const apart = Math.abs(quantile(unknown, 0.5) - quantile(revoked, 0.5))
  assert.ok(apart < Math.max(15, quantile(unknown, 0.5) * 0.2), `${apart} ms between the medians`)
}

test('A32: 10,000 keys that do not work: revoked and unknown ones are answered alike, and as fast', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({ m: { ordinary: [''] } }),
    // What is compared here are the answers before addresses are told to wait.
    failuresPerMinute: 1_000_000,
  })
  const account = await forge.account()
  const url = new URL(forge.url)
  const revoked = await revokedKeys(forge, account)
  const fresh = (count: number): string[] => Array.from({ length: count }, () => makeApiKey(randomBytes))

  await t.test('each asked about once', async (t) => {
    assertAlike(t, await measure(url, AT_ONCE, fresh(EACH), revoked))
  })

  await t.test('a revoked one that is in memory, and keys that are none', async (t) => {
    const known = Array.from({ length: 400 }, () => revoked[0] ?? '')
    const none = fresh(400).map((key, i) => (i % 2 === 0 ? key : `${key.slice(0, -1)}-`))
    // As few at once as a look-up fits into the step that bad news waits for.
    assertAlike(t, await measure(url, 8, none, known))
  })
  const { n } = await forge.owner.one<{ n: number }>('select count(*)::int as n from ledger.receipt')
  assert.equal(n, 0)
})
