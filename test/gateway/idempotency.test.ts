import assert from 'node:assert/strict'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { createIdempotency } from '../../src/gateway/idempotency.ts'
import { createIdSource, formatId, silentLog, systemClock } from '../../src/kernel/index.ts'
import { testDatabase } from '../database.ts'
import { type Account, type Forge, startBeside, startForge, testConfig } from '../forge.ts'
import { bodyOf, chargeNano, eventually } from './ask.ts'

const MODELS = testConfig({
  m: { ordinary: [''] },
  slow: { ordinary: ['first-token=300'] },
  bad: { ordinary: ['status=500'] },
})
const STREAM = { stream: true, stream_options: { include_usage: true } }

const send = (
  forge: Forge,
  account: Account,
  key: string,
  body: object,
  url = forge.url,
): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${account.key}`, 'idempotency-key': key },
    body: JSON.stringify(body),
  })

test('one Idempotency-Key is one outcome', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const spent = async (): Promise<bigint> => (await forge.balance(account.orgId, 'rmb')).posted

  for (const [name, more] of [
    ['whole', {}],
    ['stream', STREAM],
    ['stream without usage', { stream: true }],
  ] as const)
    await t.test(
      `a repeat gets the same bytes and the same receipt, and costs nothing (${name})`,
      async () => {
        const body = bodyOf({ model: 'm', text: name, body: more })
        const first = await send(forge, account, `repeat-${name.replaceAll(' ', '-')}`, body)
        const bytes = Buffer.from(await first.arrayBuffer())
        const receipt = await forge.receipt(first.headers.get('x-request-id'))
        assert.equal(receipt.idempotency_key, `repeat-${name.replaceAll(' ', '-')}`)
        const before = await spent()
        const calls = forge.sandbox.requests.count
        for (let turn = 0; turn < 3; turn++) {
          const again = await send(forge, account, `repeat-${name.replaceAll(' ', '-')}`, body)
          assert.equal(again.status, 200)
          assert.deepEqual(Buffer.from(await again.arrayBuffer()), bytes)
          assert.equal(again.headers.get('x-request-id'), first.headers.get('x-request-id'))
          assert.equal(again.headers.get('x-tf-replayed'), 'true')
          for (const header of ['x-tf-charge', 'x-tf-currency', 'x-tf-bucket', 'x-tf-route', 'x-tf-channel'])
            assert.equal(again.headers.get(header), first.headers.get(header), header)
        }
        await forge.settled()
        assert.equal(await spent(), before)
        assert.equal(forge.sandbox.requests.count, calls)
      },
    )

  await t.test('an answer in a stream of failure is replayed too: it was charged', async () => {
    const body = bodyOf({ model: 'm', sandbox: 'words=30, delay=0, cut=9', body: STREAM })
    const first = await (await send(forge, account, 'broken', body)).text()
    assert.match(first, /upstream_error/)
    assert.equal(await (await send(forge, account, 'broken', body)).text(), first)
  })

  await t.test(
    'the same key with another body or path is refused, and neither sent nor charged',
    async () => {
      const body = bodyOf({ model: 'm' })
      await (await send(forge, account, 'other', body)).text()
      await forge.settled()
      const before = await spent()
      const calls = forge.sandbox.requests.count
      const other = await send(forge, account, 'other', { ...body, temperature: 0.5 })
      const { error } = (await other.json()) as { error: { code: string } }
      assert.deepEqual(
        [other.status, error.code, other.headers.get('x-should-retry')],
        [422, 'idempotency_key_reused', 'false'],
      )
      assert.equal((await forge.receipt(other.headers.get('x-request-id'))).status, 'refused')
      assert.equal(forge.sandbox.requests.count, calls)
      assert.equal(await spent(), before)
    },
  )

  await t.test('while the first runs a repeat is told to wait', async () => {
    const body = bodyOf({ model: 'slow' })
    const calls = forge.sandbox.requests.count
    const first = send(forge, account, 'flight', body)
    await eventually('the upstream call', () => (forge.sandbox.requests.count > calls ? true : null))
    const second = await send(forge, account, 'flight', body)
    const { error } = (await second.json()) as { error: { code: string } }
    assert.deepEqual(
      [second.status, error.code, second.headers.get('x-should-retry')],
      [409, 'request_in_progress', 'true'],
    )
    assert.ok(second.headers.get('retry-after') !== null)
    assert.equal((await first).status, 200)
    await (await first).text()
    const third = await send(forge, account, 'flight', body)
    assert.equal(third.headers.get('x-tf-replayed'), 'true')
    await third.text()
    assert.equal(forge.sandbox.requests.count, calls + 1)
  })

  await t.test('fifty at once with one key: one upstream call, one charge', async () => {
    await forge.settled()
    const before = await spent()
    const calls = forge.sandbox.requests.count
    const body = bodyOf({ model: 'slow', text: 'fifty' })
    const responses = await Promise.all(Array.from({ length: 50 }, () => send(forge, account, 'fifty', body)))
    const statuses = responses.map((response) => response.status)
    await Promise.all(responses.map((response) => response.text()))
    assert.equal(
      statuses.filter((status) => status === 200).length + statuses.filter((status) => status === 409).length,
      50,
    )
    assert.ok(statuses.includes(200))
    assert.equal(forge.sandbox.requests.count, calls + 1)
    await forge.settled()
    const served = responses.find((response) => response.status === 200)
    const receipt = await forge.receipt(served?.headers.get('x-request-id') ?? null)
    assert.equal(before - (await spent()), chargeNano(receipt))
    const charges = await forge.owner.one<{ n: number }>(
      `select count(*)::int as n from ledger.receipt where charge > 0 and document like '%"idempotency":"fifty"%'`,
    )
    assert.equal(charges.n, 1)
  })

  await t.test('what cost nothing frees the key: the same call may be made again at once', async () => {
    for (const [key, body] of [
      ['failed', bodyOf({ model: 'bad' })],
      ['unknown', bodyOf({ model: 'nothing' })],
    ] as const)
      for (let turn = 0; turn < 5; turn++) {
        const response = await send(forge, account, key, body)
        assert.ok([502, 404].includes(response.status), `${response.status}`)
        assert.equal(response.headers.get('x-tf-replayed'), null)
        await response.text()
      }
    const poor = await forge.account({ grants: { rmb: '0' } })
    for (let turn = 0; turn < 5; turn++) {
      const response = await send(forge, poor, 'poor', bodyOf({ model: 'm' }))
      assert.equal(response.status, 429)
      await response.text()
    }
  })

  await t.test('a caller that leaves before anything was accepted frees the key', async () => {
    const stop = new AbortController()
    const body = bodyOf({ model: 'm', sandbox: 'slow-headers=5000' })
    const calls = forge.sandbox.requests.count
    const pending = fetch(`${forge.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${account.key}`, 'idempotency-key': 'left' },
      body: JSON.stringify(body),
      signal: stop.signal,
    }).catch(() => null)
    await eventually('the upstream call', () => (forge.sandbox.requests.count > calls ? true : null))
    stop.abort()
    await pending
    await forge.settled()
    const again = await forge.owner.query('select 1 from gateway.idempotency where stored_at is null')
    assert.deepEqual(again, [])
  })

  await t.test('A42: two organizations with one key and one body share nothing', async () => {
    const stranger = await forge.account()
    const body = bodyOf({ model: 'm', text: 'the same of both' })
    const calls = forge.sandbox.requests.count
    const told = []
    for (const who of [account, stranger, account, stranger]) {
      const response = await send(forge, who, 'shared-name', body)
      told.push({
        id: response.headers.get('x-request-id'),
        replayed: response.headers.get('x-tf-replayed'),
        text: await response.text(),
      })
    }
    const [mine, theirs, mineAgain, theirsAgain] = told
    assert.deepEqual(
      told.map(({ replayed }) => replayed),
      [null, null, 'true', 'true'],
    )
    assert.notEqual(mine?.id, theirs?.id)
    assert.deepEqual([mineAgain?.id, mineAgain?.text], [mine?.id, mine?.text])
    assert.deepEqual([theirsAgain?.id, theirsAgain?.text], [theirs?.id, theirs?.text])
    assert.ok(!theirs?.text.includes(mine?.id ?? '-') && !mine?.text.includes(theirs?.id ?? '-'))
    assert.equal(forge.sandbox.requests.count, calls + 2)
    await forge.settled()
    for (const [who, id] of [
      [account, mine?.id],
      [stranger, theirs?.id],
    ] as const) {
      const { organization } = await forge.receipt(id ?? null)
      assert.equal(organization.id, formatId('org', who.orgId))
    }
  })

  await t.test(
    'one byte more is another body, and the same body on another path is another request',
    async () => {
      const text = JSON.stringify(bodyOf({ model: 'm', text: 'bytes' }))
      const post = (path: string, bytes: string): Promise<Response> =>
        fetch(`${forge.url}${path}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${account.key}`, 'idempotency-key': 'bytes' },
          body: bytes,
        })
      const told: boolean[] = []
      for (const [path, bytes] of [
        ['/v1/chat/completions', text],
        ['/v1/chat/completions', `${text} `],
        ['/v1/chat/completions?a', text],
        ['/v1/messages', text],
        ['/v1/chat/completions', text],
      ] as const) {
        const response = await post(path, bytes)
        // Its status is the format's own: Anthropic's has no 422.
        const refused = (await response.text()).includes('idempotency_key_reused')
        assert.equal(response.status === 200, !refused, path)
        told.push(refused)
      }
      assert.deepEqual(told, [false, true, true, true, false])
    },
  )

  await t.test('after a day the key is free, also where it was not deleted yet', async () => {
    const body = bodyOf({ model: 'm', text: 'a day' })
    const first = await send(forge, account, 'daily', body)
    await first.text()
    await forge.owner.query(
      `update gateway.idempotency set created_at = created_at - interval '25 hours' where project_id = $1`,
      [account.projectId],
    )
    const other = await send(forge, account, 'daily', { ...body, temperature: 0.5 })
    await other.text()
    assert.deepEqual([other.status, other.headers.get('x-tf-replayed')], [200, null])
    assert.notEqual(other.headers.get('x-request-id'), first.headers.get('x-request-id'))
    const again = await send(forge, account, 'daily', { ...body, temperature: 0.5 })
    await again.text()
    assert.equal(again.headers.get('x-request-id'), other.headers.get('x-request-id'))
  })

  await t.test('keys of another project or organization are other keys', async () => {
    const body = bodyOf({ model: 'm', text: 'apart' })
    const one = await send(forge, account, 'apart', body)
    const project = await forge.app.tenancy.createProject({ orgId: account.orgId, name: 'second' })
    const made = await forge.app.tenancy.createKey({
      projectId: project?.id ?? '',
      label: 'k',
      policy: 'ordinary_only',
      allowCrossBalance: false,
      models: null,
      routes: null,
      expiresAtMs: null,
    })
    const two = await send(forge, { ...account, key: made?.secret ?? '' }, 'apart', body)
    const three = await send(forge, await forge.account(), 'apart', { ...body, temperature: 1 })
    assert.deepEqual([one.status, two.status, three.status], [200, 200, 200])
    const ids = [one, two, three].map((response) => response.headers.get('x-request-id'))
    assert.equal(new Set(ids).size, 3)
    await Promise.all([one.text(), two.text(), three.text()])
  })

  await forge.settled()
  await forge.audit()
})

test('an outcome is kept over a restart of the gateway, and never charged twice', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const body = bodyOf({ model: 'sandbox-chat:ordinary', body: STREAM })
  const database = await forge.owner.one<{ name: string }>('select current_database() as name')
  const databaseUrl = new URL((await testDatabase(t)).url)
  databaseUrl.pathname = `/${database.name}`
  const first = await send(forge, account, 'restart', bodyOf({ model: 'm', body: STREAM }))
  const text = await first.text()
  await forge.settled()
  const before = await forge.balance(account.orgId, 'rmb')
  const { app: second, url } = await startBeside({ ...forge, databaseUrl: databaseUrl.href })
  t.after(() => second.close(1_000))
  await forge.app.close(1_000)
  const calls = forge.sandbox.requests.count
  const again = await send(forge, account, 'restart', bodyOf({ model: 'm', body: STREAM }), url)
  assert.equal(await again.text(), text)
  assert.equal(again.headers.get('x-request-id'), first.headers.get('x-request-id'))
  const other = await send(forge, account, 'restart', body, url)
  assert.equal(other.status, 422)
  await other.text()
  await second.writer.drain()
  assert.equal(forge.sandbox.requests.count, calls)
  assert.deepEqual(await forge.balance(account.orgId, 'rmb'), before)
})

test('a key whose process died before anything was set aside is free after a minute, and not before', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const body = JSON.stringify(bodyOf({ model: 'm' }))
  const hash = (text: string) => createHash('sha256').update(text).digest()
  const claim = (name: string, seconds: number) =>
    forge.owner.query(
      `insert into gateway.idempotency (org_id, project_id, key_sha256, body_sha256, request_id, process_id, created_at)
       values ($1, $2, $3, $4, $5, $6, clock_timestamp() - make_interval(secs => $7))`,
      [
        account.orgId,
        account.projectId,
        hash(name),
        hash(`/v1/chat/completions\n${body}`),
        '0192d3a0-0000-7000-8000-000000000000',
        randomUUID(),
        seconds,
      ],
    )
  const ask = async (name: string) => {
    const response = await fetch(`${forge.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${account.key}`, 'idempotency-key': name },
      body,
    })
    await response.text()
    return response.status
  }
  await claim('dead', 61)
  assert.equal(await ask('dead'), 200)
  assert.equal(await ask('dead'), 200)
  await claim('just-now', 10)
  assert.equal(await ask('just-now'), 409)
  await forge.settled()
  await forge.audit()
})

test('an outcome that is kept is not forgotten by what fails after it', async (t) => {
  const { app } = await testDatabase(t)
  const ids = createIdSource(systemClock.nowMs, randomBytes)
  const [orgId, projectId, requestId] = [ids.uuid(), ids.uuid(), ids.uuid()]
  const idempotency = createIdempotency(app, ids.uuid(), silentLog)
  t.after(() => idempotency.close())
  const asked = { orgId, projectId, key: 'k', path: '/p', body: Buffer.from('{}'), requestId }
  const first = await idempotency.claim(asked)
  assert.ok(first.kind === 'claimed')
  await idempotency.store(first.claim, { status: 200, headers: {}, body: Buffer.from('paid') })
  await idempotency.release(first.claim)
  const again = await idempotency.claim({ ...asked, requestId: ids.uuid() })
  assert.equal(again.kind, 'replay', 'a second request under the key would be charged again')
})

test('a fault of ours while a key is claimed frees it, leaves a receipt, and answers honestly', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account({ grants: {} })
  const body = bodyOf({ model: 'm' })
  await forge.owner.query(
    'alter function ledger.open_accounts(uuid, text, text) rename to open_accounts_gone',
  )
  for (let turn = 0; turn < 2; turn++) {
    const response = await send(forge, account, 'ours', body)
    const { error } = (await response.json()) as { error: { code: string; receipt: string } }
    assert.deepEqual([response.status, error.code], [500, 'internal_error'])
    const receipt = await forge.receipt(response.headers.get('x-request-id'))
    assert.equal(receipt.charge, null)
    assert.equal(receipt.error?.code, 'internal_error')
  }
  await forge.owner.query(
    'alter function ledger.open_accounts_gone(uuid, text, text) rename to open_accounts',
  )
  const after = await send(forge, account, 'ours', body)
  assert.equal(after.status, 429, 'no 409: the key is free, and now it is the balance that is missing')
  await after.text()
  await forge.settled()
  await forge.audit()
})
