import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import { test } from 'node:test'
import { formatId, formatNano, parseNano } from '../../src/kernel/index.ts'
import { type Account, type Forge, OPERATOR_TOKEN, startForge, testConfig, withSandbox } from '../forge.ts'
import { bodyOf, eventually, withUpstreams } from '../gateway/ask.ts'
import { answerBody, startStub } from '../gateway/stub.ts'
import { startProcess } from './process.ts'

/**
 * A1 over HTTP: two gateway processes of one database, 1,000 requests at once, and room for 100 of them in the tightest of
 * the budgets of key, project and run. Nothing comes back while they run, so exactly what fits is let through.
 */

const REQUESTS = 1_000
const ROOM = 100n
/** Each in its turn is the tightest; what the others have room for differs. */
const WIDER = [173n, 251n]
const SCOPES = ['run', 'project', 'key'] as const
type Scope = (typeof SCOPES)[number]

/** Every request is the same, and so is what is held for it. */
const BODY = JSON.stringify(bodyOf({ model: 'm', text: 'race', body: { max_tokens: 10 } }))
const USAGE = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }

interface Answered {
  readonly status: number
  readonly id: string
  readonly text: string
}

function chat(url: string, agent: Agent, key: string): Promise<Answered> {
  const { hostname, port } = new URL(url)
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-tf-run': 'race' }
  return new Promise((resolve, reject) => {
    const asked = request(
      { hostname, port, agent, method: 'POST', path: '/v1/chat/completions', headers },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (data: string) => {
          text += data
        })
        const id = String(response.headers['x-request-id'])
        response.on('end', () => resolve({ status: response.statusCode ?? 0, id, text }))
      },
    )
    asked.on('error', reject)
    asked.end(BODY)
  })
}

async function manage(
  forge: Forge,
  method: string,
  path: string,
  body?: object,
): Promise<Record<string, string>> {
  const response = await fetch(`${forge.url}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const answer = (await response.json()) as Record<string, string>
  assert.ok(response.ok, JSON.stringify(answer))
  return answer
}

interface Race {
  readonly forge: Forge
  readonly urls: readonly string[]
  /** Lets the upstream answer, or keeps it from it. */
  readonly hold: (on: boolean) => void
  readonly sent: () => number
}

/** A budget for each scope, the first with room for as many as shall get through. @returns their ids, tightest first */
async function setBudgets(race: Race, account: Account, scopes: readonly Scope[]): Promise<string[]> {
  const { forge } = race
  const agent = new Agent()
  const first = await chat(race.urls[0] ?? '', agent, account.key)
  const receipt = await forge.receipt(first.id)
  const heldNano = parseNano(receipt.hold?.amount ?? '') ?? 0n
  assert.ok(heldNano > 0n)
  const ids: Readonly<Record<Scope, string>> = {
    run: receipt.run?.id ?? '',
    project: formatId('prj', account.projectId),
    key: formatId('key', account.keyId),
  }
  const made: string[] = []
  for (const [place, scope] of scopes.entries()) {
    const room = [ROOM, ...WIDER][place] ?? 0n
    const amount = formatNano(heldNano * room)
    const limit = { scope, scope_id: ids[scope], bucket: 'rmb', period: 'total', amount }
    made.push((await manage(forge, 'POST', 'budgets', limit))['id'] ?? '')
  }
  return made
}

async function runRace(race: Race, scopes: readonly Scope[]): Promise<void> {
  const { forge, urls, hold, sent } = race
  const account = await forge.account({ grants: { rmb: '100' } })
  hold(false)
  const budgets = await setBudgets(race, account, scopes)
  hold(true)
  const before = sent()
  const agent = new Agent({ keepAlive: true })
  let decided = 0
  const answers = Array.from({ length: REQUESTS }, (_, i) =>
    chat(urls[i % urls.length] ?? '', agent, account.key).then((answer) => {
      decided++
      return answer
    }),
  )
  await eventually('every one to be decided', () => (decided + (sent() - before) >= REQUESTS ? true : null))
  assert.equal(sent() - before, Number(ROOM), 'exactly what fits was sent')
  hold(false)
  const told = await Promise.all(answers)
  agent.destroy()
  const served = told.filter(({ status }) => status === 200)
  assert.equal(BigInt(served.length), ROOM)
  for (const { status, text } of told.filter((answer) => answer.status !== 200)) {
    assert.equal(status, 429, text)
    const { error } = JSON.parse(text) as { error: { reason: string; ledger: { scope: string } } }
    assert.deepEqual([error.reason, error.ledger.scope], ['budget_exceeded', scopes[0]])
  }
  await eventually('every receipt', async () => {
    const { n } = await forge.owner.one<{ n: number }>(
      'select count(*)::int as n from ledger.receipt where org_id = $1',
      [account.orgId],
    )
    return n === REQUESTS + 1 ? true : null
  })
  await forge.settled()
  const charged = await forge.owner.one<{ nano: bigint; n: number }>(
    'select sum(charge)::bigint as nano, count(*)::int as n from ledger.receipt where org_id = $1 and charge > 0',
    [account.orgId],
  )
  // With the one before the budgets were set.
  assert.equal(charged.n, Number(ROOM) + 1)
  assert.equal((await forge.balance(account.orgId, 'rmb')).posted, 100_000_000_000n - charged.nano)
  assert.equal((await forge.balance(account.orgId, 'rmb')).held, 0n)
  const each = charged.nano / (ROOM + 1n)
  for (const id of budgets) {
    const { used, held } = await manage(forge, 'GET', `budgets/${id}`)
    assert.deepEqual(
      [parseNano(used ?? ''), held],
      [each * ROOM, '0'],
      'each budget has counted each of them',
    )
  }
  const { n } = await forge.owner.one<{ n: number }>(
    `select count(*)::int as n from ledger.receipt where org_id = $1 and status = 'refused'`,
    [account.orgId],
  )
  assert.equal(n, REQUESTS - Number(ROOM), 'and each refusal has left its receipt')
}

test('A1: two processes, 1,000 requests at once, room for 100: exactly 100 are served, whichever budget is tightest', async (t) => {
  let open = Promise.withResolvers<void>()
  open.resolve()
  const stub = await startStub(t, (_req, res) => {
    void open.promise.then(() => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(answerBody('At noon.', USAGE))
    })
  })
  const config = withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url })
  // It serves nothing here: it is what the test looks at the books through.
  const forge = await startForge(t, { config })
  const started = { databaseUrl: forge.databaseUrl, config: withSandbox(config, forge.sandbox) }
  const processes = await Promise.all([startProcess(t, started), startProcess(t, started)])
  assert.notEqual(processes[0].pid, processes[1].pid)
  const race: Race = {
    forge,
    urls: processes.map(({ url }) => url),
    hold(on) {
      open.resolve()
      if (on) open = Promise.withResolvers<void>()
    },
    sent: () => stub.calls.length,
  }
  for (const tightest of SCOPES)
    await t.test(`the ${tightest}`, async () => {
      await runRace(race, [tightest, ...SCOPES.filter((scope) => scope !== tightest)])
    })
  race.hold(false)
  for (const gateway of processes) assert.equal(await gateway.stop(), 0)
  for (const gateway of processes) assert.ok(!/"level":(?:50|60)/.test(gateway.log()), gateway.log())
  await forge.audit()
})
