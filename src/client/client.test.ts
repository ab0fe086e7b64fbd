import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { ClientError, createClient } from './index.ts'

async function clientOf(t: TestContext, answer: RequestListener, timeoutMs = 5_000) {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return createClient({ baseUrl: `http://127.0.0.1:${port}/`, token: 'secret', timeoutMs })
}

const ORG = { id: 'org_1', name: 'n', time_zone: 'UTC', created_at: 't' }

const kindOf = (kind: ClientError['kind']) => (thrown: unknown) =>
  thrown instanceof ClientError && thrown.kind === kind

test('fields that this client does not know yet are kept', async (t) => {
  const client = await clientOf(t, (req, res) => {
    assert.equal(req.headers.authorization, 'Bearer secret')
    res.end(JSON.stringify({ ...ORG, plan: 'gold' }))
  })
  assert.deepEqual(await client.createOrganization({ name: 'n' }), { ...ORG, plan: 'gold' })
})

test('ids and filters cannot leave their place in the address', async (t) => {
  const seen: string[] = []
  const client = await clientOf(t, (req, res) => {
    seen.push(req.url ?? '')
    res.end('{}')
  })
  await assert.rejects(client.getReceipt('../keys?x=1'), kindOf('unexpected'))
  await assert.rejects(
    client.listKeys({ project: 'a&b=c', limit: 5, cursor: undefined }),
    kindOf('unexpected'),
  )
  assert.deepEqual(seen, ['/api/v1/receipts/..%2Fkeys%3Fx%3D1', '/api/v1/keys?project=a%26b%3Dc&limit=5'])
})

test('a refusal carries the problem; what is not understood, and what never answers, are told apart', async (t) => {
  const problem = {
    type: 't',
    title: 'T',
    status: 404,
    detail: 'D',
    code: 'not_found',
    hint: 'H',
    request_id: 'req_1',
  }
  const refused = await clientOf(t, (_req, res) => res.writeHead(404).end(JSON.stringify(problem)))
  await assert.rejects(
    refused.getAudit(),
    (thrown) => kindOf('refused')(thrown) && (thrown as ClientError).problem?.code === 'not_found',
  )
  const strange = await clientOf(t, (_req, res) => res.writeHead(502).end('<html>'))
  await assert.rejects(strange.getAudit(), kindOf('unexpected'))
  const html = await clientOf(t, (_req, res) => res.end('<html>'))
  await assert.rejects(html.getAudit(), kindOf('unexpected'))
  const silent = await clientOf(t, () => {}, 50)
  await assert.rejects(silent.getAudit(), kindOf('timeout'))
  const away = await clientOf(t, (_req, res) => res.writeHead(302, { location: 'http://127.0.0.1:1/' }).end())
  await assert.rejects(away.getAudit(), kindOf('unreachable'), 'the token is never taken to another place')
})

test('readiness is read also from a server that is not ready', async (t) => {
  const checks = [{ name: 'database', ok: false, detail: 'd' }]
  const client = await clientOf(t, (_req, res) =>
    res.writeHead(503).end(JSON.stringify({ ready: false, checks })),
  )
  assert.deepEqual(await client.getReady(), { ready: false, checks })
})
