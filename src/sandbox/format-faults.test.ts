import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { type Sandbox, startSandbox } from './index.ts'

/** Faults that only some formats have. */

let sandbox: Sandbox
before(async () => {
  sandbox = await startSandbox()
})
after(() => sandbox.close())

interface Answer {
  readonly status: number
  readonly text: string
}

const STREAMED = { stream: true }

async function post(switches: string, path: string, content: object): Promise<Answer> {
  const answer = await fetch(sandbox.with(switches) + path, {
    method: 'POST',
    body: JSON.stringify(content),
    headers: { 'anthropic-version': '2023-06-01' },
  })
  return { status: answer.status, text: await answer.text() }
}

function chat(switches: string, more: object = {}) {
  const said = [{ role: 'user', content: 'Hi' }]
  return post(switches, '/v1/chat/completions', { model: 'gpt-4.1', messages: said, ...more })
}

function messages(switches: string, more: object = {}) {
  const said = [{ role: 'user', content: 'Hi' }]
  return post(switches, '/v1/messages', {
    model: 'claude-opus-4-6',
    max_tokens: 500,
    messages: said,
    ...more,
  })
}

function responses(switches: string, more: object = {}) {
  return post(switches, '/v1/responses', { model: 'gpt-4.1', input: 'Hi', ...more })
}

function gemini(switches: string, more: object = {}) {
  const contents = [{ role: 'user', parts: [{ text: 'Hi' }] }]
  return post(switches, '/v1beta/models/gemini-2.5-flash:generateContent', { contents, ...more })
}

const CASES: Readonly<Record<string, () => Promise<void>>> = {
  async overloaded() {
    assert.equal((await chat('overloaded')).status, 503)
    assert.equal((await messages('overloaded')).status, 529)
    assert.match((await messages('overloaded,error-event=2', STREAMED)).text, /"type":"overloaded_error"/)
  },
  async strict() {
    const unknown = { seven: 7 }
    assert.equal((await messages('delay=0', unknown)).status, 200)
    assert.match((await messages('strict', unknown)).text, /seven: Extra inputs/)
    assert.match((await responses('strict', unknown)).text, /Unknown parameter: 'seven'/)
    assert.match((await gemini('strict', unknown)).text, /Unknown name \\"seven\\"/)
  },
  async refusal() {
    assert.match((await chat('refusal')).text, /"content":null,"refusal":"[^"]+".*"finish_reason":"stop"/)
    assert.match((await chat('refusal', STREAMED)).text, /"delta":\{"refusal":"/)
    assert.match((await messages('refusal')).text, /"content":\[\],"stop_reason":"refusal"/)
    assert.match((await responses('refusal')).text, /"content":\[\{"type":"refusal","refusal":"/)
    assert.match((await responses('refusal', STREAMED)).text, /event: response\.refusal\.delta\n/)
    assert.match((await gemini('refusal')).text, /"finishReason":"SAFETY"/)
  },
  async blocked() {
    const { text } = await gemini('blocked')
    assert.match(text, /^\{"promptFeedback":\{"blockReason":"PROHIBITED_CONTENT"\},"usageMetadata":/)
    assert.doesNotMatch(text, /candidates/)
  },
  async 'double-start'() {
    assert.equal((await messages('double-start', STREAMED)).text.match(/event: message_start\n/g)?.length, 2)
  },
  async iterations() {
    const { text } = await messages('iterations')
    for (const type of ['compaction', 'message', 'advisor_message']) {
      assert.ok(text.includes(`"type":"${type}"`), type)
    }
    assert.match(
      (await messages('iterations', STREAMED)).text,
      /"message_delta".*"iterations":\[\{"input_tokens":5000/,
    )
  },
  async 'split-lost'() {
    const long = (word: string) => ({
      messages: [
        {
          role: 'user',
          content: [{ type: 'text', text: word.repeat(2000), cache_control: { type: 'ephemeral' } }],
        },
      ],
    })
    const whole = (await messages('split-lost', long('tide '))).text
    assert.match(whole, /"cache_creation_input_tokens":2504/)
    assert.doesNotMatch(whole, /ephemeral/)
    const { text } = await messages('split-lost', { ...STREAMED, ...long('ebb, ') })
    assert.match(
      text,
      /"message_start".*"cache_creation_input_tokens":1252.*"ephemeral_5m_input_tokens":1252/,
    )
    assert.match(text, /"message_delta".*"cache_creation_input_tokens":2504/)
  },
  async 'redacted-thinking'() {
    const thinking = { type: 'enabled', budget_tokens: 1024 }
    const { text } = await messages('redacted-thinking', { thinking, max_tokens: 2000 })
    assert.match(text, /"content":\[\{"type":"redacted_thinking","data":"/)
    assert.doesNotMatch(text, /"type":"thinking"/)
  },
  async websearch() {
    assert.match((await messages('websearch=3')).text, /"web_search_requests":3/)
    const openai = (await responses('websearch=3', { model: 'gpt-5.6' })).text
    assert.match(openai, /"web_search":\{"num_requests":3\}/)
    assert.equal(openai.match(/"type":"web_search_call"/g)?.length, 3)
    const google = (await gemini('websearch=3')).text
    assert.match(google, /"webSearchQueries":\["[^"]+","[^"]+","[^"]+"\]/)
    assert.match(google, /"toolUsePromptTokenCount":300/)
  },
  async fallback() {
    const { text } = await messages('fallback=claude-opus-4-8')
    assert.match(text, /^\{"model":"claude-opus-4-8"/)
    assert.match(text, /"type":"fallback_message","model":"claude-opus-4-8"/)
  },
}

for (const [name, run] of Object.entries(CASES)) test(`the switch ${name} does what it says`, run)
