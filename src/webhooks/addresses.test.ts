import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { lookup as systemLookup } from 'node:dns'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, isIP, type LookupFunction } from 'node:net'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../kernel/index.ts'
import { checkTarget, guardedLookup, mayConnect, targetOf } from './addresses.ts'
import { networkLookup } from './resolver.ts'
import { createSender } from './sender.ts'

const CLOSED = { privateTargets: false }
const OPEN = { privateTargets: true }

const HEADERS = { 'webhook-id': 'evt_1', 'webhook-timestamp': '1', 'webhook-signature': 'v1,x' }

/** A service that only this machine should reach; everything of it is a secret. */
async function secretService(t: TestContext) {
  let connections = 0
  const server = createServer((_req, res) => void res.end('secret'))
  server.on('connection', () => {
    connections++
  })
  server.listen(0, '0.0.0.0')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, connections: () => connections }
}

/** A resolver that knows these names, and counts how often it was asked. */
function resolver(names: Readonly<Record<string, readonly (readonly string[])[]>>): LookupFunction {
  const asked = new Map<string, number>()
  return (hostname, _options, callback) => {
    const n = asked.get(hostname) ?? 0
    asked.set(hostname, n + 1)
    const answers = names[hostname]
    const addresses = answers?.[Math.min(n, answers.length - 1)]
    if (addresses === undefined) callback(Object.assign(new Error('none'), { code: 'ENOTFOUND' }), [])
    else
      callback(
        null,
        addresses.map((address) => ({ address, family: isIP(address) })),
      )
  }
}

const SPELLINGS = [
  '127.0.0.1',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0177.0.0.1',
  '①②⑦.0.0.1',
  '127。0。0。1',
  '0',
  '0.0.0.0',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:7f00:0001]',
  '[::127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b:1::7f00:1]',
  '[2002:7f00:1::]',
  '[2001:0:7f00:1::]',
  '[fe80::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '169.254.169.254',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.1.1',
  '100.64.0.1',
  '100.100.100.200',
  '224.0.0.1',
  '255.255.255.255',
  'localhost',
  'localhost.',
  'a.localhost',
  'metadata.google.internal',
  'printer.local',
]

test('no spelling of an address that is not public is taken, and none is connected to', async (t) => {
  const service = await secretService(t)
  const names = { 'nip.test': [['127.0.0.1']], 'both.test': [['93.184.216.34', '::ffff:127.0.0.1']] }
  const sender = createSender({
    rules: CLOSED,
    clock: systemClock,
    version: 't',
    lookup: resolver(names),
    timeoutMs: 500,
  })
  t.after(() => sender.close())
  for (const host of [...SPELLINGS, 'nip.test', 'both.test']) {
    for (const scheme of ['https', 'http']) {
      const url = `${scheme}://${host}:${service.port}/`
      const checked = await checkTarget(url, CLOSED, resolver(names))
      assert.equal(typeof checked, 'string', `${url} was taken`)
      // Also where the check when it was made was passed by: a name may have come to lead elsewhere since.
      const sent = await sender.send({ url, body: '{}', headers: HEADERS })
      assert.equal(sent.status, null, url)
    }
  }
  assert.equal(service.connections(), 0)
})

test('forms of URLs that hide a host, a user or another scheme are refused', () => {
  for (const url of [
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    '//example.com/',
    'example.com',
    'http://example.com/',
    'https://user@example.com/',
    'https://example.com@127.0.0.1/',
    'https://example.com\\@127.0.0.1/',
    'https://exa mple.com/',
    'https://example.com/#x',
    '',
  ])
    assert.equal(typeof targetOf(url, CLOSED), 'string', url)
  for (const url of ['https://example.com/a?b=c', 'https://93.184.216.34/', 'https://[2606:2800:21f::1]/'])
    assert.ok(targetOf(url, CLOSED) instanceof URL, url)
})

test('a name that leads to a public address when it is checked and to us when it is called reaches nothing', async (t) => {
  const service = await secretService(t)
  const lookup = resolver({ 'flip.test': [['93.184.216.34'], ['127.0.0.1']] })
  assert.ok((await checkTarget(`https://flip.test:${service.port}/`, CLOSED, lookup)) instanceof URL)
  const sender = createSender({ rules: CLOSED, clock: systemClock, version: 't', lookup, timeoutMs: 1_000 })
  t.after(() => sender.close())
  const sent = await sender.send({ url: `https://flip.test:${service.port}/`, body: '{}', headers: HEADERS })
  assert.equal(sent.error, 'address_not_allowed')
  assert.equal(service.connections(), 0)
})

test('a redirect to the secret service is not followed', async (t) => {
  const service = await secretService(t)
  const server = createServer(
    (_req, res) => void res.writeHead(307, { location: `http://127.0.0.1:${service.port}/` }).end(),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const sender = createSender({ rules: OPEN, clock: systemClock, version: 't', lookup: resolver({}) })
  t.after(() => sender.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  assert.equal((await sender.send({ url, body: '{}', headers: HEADERS })).error, 'redirect_not_followed')
  assert.equal(service.connections(), 0)
})

test('who hosts for himself may reach his own networks, plain text only on this machine, and never link-local', async () => {
  for (const url of [
    'http://127.0.0.1:8080/',
    'http://localhost:1/',
    'http://[::1]/',
    'https://10.0.0.1/',
    'https://nas.local/',
  ])
    assert.ok(targetOf(url, OPEN) instanceof URL, url)
  for (const url of [
    'http://10.0.0.1/',
    'http://example.com/',
    'https://169.254.169.254/',
    'https://[fe80::1]/',
    'https://[fd00:ec2::254]/',
  ])
    assert.equal(typeof targetOf(url, OPEN), 'string', url)
  for (const address of ['127.0.0.1', '10.1.2.3', '::1', 'fd12::1', '93.184.216.34'])
    assert.ok(mayConnect(address, OPEN), address)
  for (const address of ['169.254.169.254', '::ffff:169.254.169.254', 'fe80::1%eth0', '0.0.0.0', 'nonsense'])
    assert.ok(!mayConnect(address, OPEN), address)
})

test('a name that leads nowhere yet may be registered, one that has a bad address among good ones not', async () => {
  assert.ok((await checkTarget('https://soon.test/', CLOSED, resolver({}))) instanceof URL)
  const lookup = guardedLookup(CLOSED, resolver({ 'mixed.test': [['93.184.216.34', '10.0.0.1']] }))
  await new Promise<void>((resolve) => {
    lookup('mixed.test', {}, (error) => {
      assert.match(String(error), /may not be called/)
      resolve()
    })
  })
})

/** A name server that answers each question for an IPv4 address with the next of these, or says nothing. */
async function nameServer(t: TestContext, answers: readonly string[]) {
  const socket = createSocket('udp4')
  let n = 0
  socket.on('message', (question, from) => {
    const end = question.indexOf(0, 12) + 5
    const type = question.readUInt16BE(end - 4)
    if (answers.length === 0) return
    const address = type === 1 ? (answers[Math.min(n++, answers.length - 1)] ?? '') : ''
    const head = Buffer.from([0x81, 0x80, 0, 1, 0, address === '' ? 0 : 1, 0, 0, 0, 0])
    const body = Buffer.from([
      0xc0,
      12,
      0,
      1,
      0,
      1,
      0,
      0,
      0,
      0,
      0,
      4,
      ...address.split('.').map((part) => Number.parseInt(part, 10)),
    ])
    const answer = [
      question.subarray(0, 2),
      head,
      question.subarray(12, end),
      ...(address === '' ? [] : [body]),
    ]
    socket.send(Buffer.concat(answer), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  return `127.0.0.1:${socket.address().port}`
}

test('a name server that turns from a public address to ours after the check reaches nothing', async (t) => {
  const service = await secretService(t)
  const lookup = networkLookup([await nameServer(t, ['93.184.216.34', '127.0.0.1'])])
  const url = `https://flip.example.test:${service.port}/`
  assert.ok((await checkTarget(url, CLOSED, lookup)) instanceof URL)
  assert.equal(typeof (await checkTarget(url, CLOSED, lookup)), 'string', 'asked again it is refused')
  const sender = createSender({ rules: CLOSED, clock: systemClock, version: 't', lookup, timeoutMs: 2_000 })
  t.after(() => sender.close())
  assert.equal((await sender.send({ url, body: '{}', headers: HEADERS })).error, 'address_not_allowed')
  assert.equal(service.connections(), 0)
})

test('a name server that keeps silent holds no thread of the system resolver', async (t) => {
  const silent = networkLookup([await nameServer(t, [])])
  const waiting = Array.from({ length: 20 }, (_, i) =>
    checkTarget(`https://n${i}.example.test/`, CLOSED, silent),
  )
  const begun = performance.now()
  await new Promise<void>((resolve, reject) => {
    systemLookup('localhost', (error) => (error === null ? resolve() : reject(error)))
  })
  assert.ok(performance.now() - begun < 1_000)
  for (const checked of await Promise.all(waiting))
    assert.ok(checked instanceof URL, 'a name may lead somewhere later')
})
