import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBeside, startForge, testConfig } from '../forge.ts'
import { withUpstreams } from '../gateway/ask.ts'
import { answerBody, startStub } from '../gateway/stub.ts'

/**
 * A9: organizations share an upstream key, and with it one cache and one name space of users. No name that one of them
 * chooses reaches the provider as it is, nor is it the same as another organization's.
 */

type Sent = Record<string, unknown>

const QUESTION = { messages: [{ role: 'user', content: 'tide?' }] }
const NAMED = {
  prompt_cache_key: 'shared',
  safety_identifier: 'alice@acme.example',
  user: 'alice@acme.example',
}
const ALIAS = /^tf_[\w-]{40}$/

interface Way {
  readonly model: string
  readonly path: string
  readonly body: object
  /** What is sent upstream of the names, by where it is. */
  readonly names: (sent: Sent) => Record<string, unknown>
}

const topLevel =
  (...names: readonly string[]) =>
  (sent: Sent): Record<string, unknown> =>
    Object.fromEntries(names.map((name) => [name, sent[name]]))
const userId = (sent: Sent): Record<string, unknown> => ({
  user_id: (sent['metadata'] as Record<string, unknown> | undefined)?.['user_id'],
})

const CHAT = '/v1/chat/completions'
const WAYS: Readonly<Record<string, Way>> = {
  chat: {
    model: 'chat',
    path: CHAT,
    body: { ...QUESTION, ...NAMED },
    names: topLevel('prompt_cache_key', 'safety_identifier', 'user'),
  },
  'a stream of chat': {
    model: 'chat',
    path: CHAT,
    body: { ...QUESTION, ...NAMED, stream: true },
    names: topLevel('prompt_cache_key', 'safety_identifier', 'user'),
  },
  'names that are no text': {
    model: 'chat',
    path: CHAT,
    body: { ...QUESTION, user: { id: 'alice@acme.example' }, prompt_cache_key: ['shared'] },
    names: topLevel('prompt_cache_key', 'user'),
  },
  responses: {
    model: 'responses',
    path: '/v1/responses',
    body: { input: 'tide?', ...NAMED },
    names: topLevel('prompt_cache_key', 'safety_identifier', 'user'),
  },
  embeddings: {
    model: 'chat',
    path: '/v1/embeddings',
    body: { input: 'tide?', user: 'alice@acme.example' },
    names: topLevel('user'),
  },
  messages: {
    model: 'messages',
    path: '/v1/messages',
    body: { ...QUESTION, max_tokens: 50, metadata: { user_id: 'alice@acme.example' } },
    names: userId,
  },
  'messages over chat': {
    model: 'chat',
    path: '/v1/messages',
    body: { ...QUESTION, max_tokens: 50, metadata: { user_id: `alice@acme.example ${'x'.repeat(200)}` } },
    names: topLevel('user'),
  },
  'chat over messages': { model: 'messages', path: CHAT, body: { ...QUESTION, ...NAMED }, names: userId },
  'chat over responses': {
    model: 'responses',
    path: CHAT,
    body: { ...QUESTION, ...NAMED },
    names: topLevel('user'),
  },
}

const MODELS = {
  chat: { protocol: 'openai', ordinary: ['stub'] },
  responses: { protocol: 'openai-responses', ordinary: ['stub'] },
  messages: { protocol: 'anthropic', ordinary: ['stub'] },
}

test('A9: names of users and caches are an organization’s own upstream', async (t) => {
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(answerBody('At noon.', { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }))
  })
  const config = withUpstreams(testConfig(MODELS), { stub: stub.url })
  const forge = await startForge(t, { config })
  const [one, two] = [await forge.account(), await forge.account()]

  async function sent(url: string, key: string, way: Way): Promise<Sent> {
    const before = stub.calls.length
    const response = await fetch(`${url}${way.path}`, {
      method: 'POST',
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      body: JSON.stringify({ model: way.model, ...way.body }),
    })
    await response.text()
    const raw = stub.calls[before] ?? assert.fail('it was sent')
    assert.ok(!/alice|acme|shared/.test(raw), raw)
    return JSON.parse(raw) as Sent
  }

  for (const [name, way] of Object.entries(WAYS))
    await t.test(name, async () => {
      const first = await sent(forge.url, one.key, way)
      const names = way.names(first)
      for (const [member, value] of Object.entries(names)) assert.match(String(value), ALIAS, member)
      assert.equal(new Set(Object.values(names)).size, Object.keys(names).length, 'no name tells another')
      assert.deepEqual(way.names(await sent(forge.url, one.key, way)), names, 'the same for one organization')
      const others = way.names(await sent(forge.url, two.key, way))
      for (const [member, value] of Object.entries(others)) {
        assert.match(String(value), ALIAS, member)
        assert.notEqual(value, names[member], member)
      }
    })

  await t.test('all else of the request keeps its bytes', async () => {
    const text = `{ "user" : "alice@acme.example","messages":[{"role":"user","content":"tide\\u003f"}] ,"model":"chat", "temperature":1.0}`
    const before = stub.calls.length
    await (await forge.chat(one.key, text, { raw: true })).text()
    const raw = stub.calls[before] ?? ''
    assert.equal(
      raw
        .replace(/"tf_[\w-]{40}"/, '"alice@acme.example"')
        .replace('"up-chat"', '"chat"')
        .replace(/,"max_\w+":\d+/, ''),
      text,
    )
  })

  await t.test('what names nobody is left alone', async () => {
    for (const way of [WAYS['chat'], WAYS['messages']]) {
      const { model = '', path = '' } = way ?? {}
      const body = { ...QUESTION, max_tokens: 50 }
      const upstream = await sent(forge.url, one.key, { model, path, body, names: () => ({}) })
      for (const member of ['prompt_cache_key', 'safety_identifier', 'user', 'metadata'])
        assert.equal(upstream[member], undefined, member)
    }
  })

  await t.test('another process of the installation uses the same names', async () => {
    const way = WAYS['chat'] ?? assert.fail('chat')
    const here = way.names(await sent(forge.url, one.key, way))
    const { app: second, url } = await startBeside(forge, { sandboxUrl: () => stub.url })
    try {
      const there = await sent(url, one.key, { ...way, model: 'gpt-5-mini:official' })
      assert.deepEqual(way.names(there), here)
    } finally {
      await second.close(1_000)
    }
  })
  await forge.settled()
  await forge.audit()
})

test('A9: a request that names no cache is given its organization’s, where the channel takes one', async (t) => {
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(answerBody('At noon.', { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }))
  })
  const config = withUpstreams(testConfig(MODELS), { stub: stub.url }) as { channels: Record<string, object> }
  const channels = Object.entries(config.channels).map(([name, channel]) => [
    name,
    { ...channel, add_prompt_cache_key: true },
  ])
  const forge = await startForge(t, { config: { ...config, channels: Object.fromEntries(channels) } })
  const [one, two] = [await forge.account(), await forge.account()]
  const keyOf = async (key: string, path: string, body: object): Promise<unknown> => {
    const before = stub.calls.length
    await (await forge.post(path, key, body)).text()
    return (JSON.parse(stub.calls[before] ?? '{}') as Sent)['prompt_cache_key']
  }
  const ways: readonly (readonly [string, object])[] = [
    [CHAT, { model: 'chat', ...QUESTION }],
    [CHAT, { model: 'chat', ...QUESTION, prompt_cache_key: null }],
    [CHAT, { model: 'responses', ...QUESTION }],
    ['/v1/responses', { model: 'responses', input: 'tide?' }],
    ['/v1/messages', { model: 'chat', max_tokens: 50, ...QUESTION }],
  ]
  for (const [path, body] of ways) {
    const key = await keyOf(one.key, path, body)
    assert.match(String(key), ALIAS)
    assert.equal(await keyOf(one.key, path, body), key)
    assert.notEqual(await keyOf(two.key, path, body), key)
  }
  const own = await keyOf(one.key, CHAT, { model: 'chat', ...QUESTION, prompt_cache_key: 'mine' })
  assert.notEqual(
    own,
    await keyOf(one.key, CHAT, { model: 'chat', ...QUESTION }),
    'a name of its own stays one',
  )
  for (const [path, body] of [
    ['/v1/embeddings', { model: 'chat', input: 'tide?' }],
    ['/v1/messages', { model: 'messages', max_tokens: 50, ...QUESTION }],
  ] as const)
    assert.equal(await keyOf(one.key, path, body), undefined, 'formats without such a name')
})
