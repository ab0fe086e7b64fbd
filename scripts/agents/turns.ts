import assert from 'node:assert/strict'
import { MODELS, QUESTION, UPSTREAMS, type Upstream } from '../../test/clients/stand.ts'
import { type Agent, type Ran, runAgent, type TurnKind } from './agent.ts'
import type { Installed } from './install.ts'
import type { Account, Product } from './product.ts'
import { assertServed, assertTurnedAway, type Expected, receiptsOf, type Story } from './story.ts'
import type { Wall, Window } from './wire.ts'

/** The turns every agent is put through. */

export interface Stage {
  readonly product: Product
  readonly window: Window
  readonly wall: Wall
  readonly installed: Installed
}

export interface Turn {
  readonly name: string
  /** @returns what it came to, in a few words; throws when something is not as it must be */
  readonly go: (stage: Stage) => Promise<string>
}

const RICH = '10'
const POOR = '0.000001'
const TIMEOUT_MS = 90_000
/** Within this an agent has to give up by itself when trying cannot help. */
const AT_ONCE_MS = 20_000
const DOWN_MS = 45_000

interface Played extends Story {
  readonly ran: Ran
  readonly account: Account
}

async function play(stage: Stage, agent: Agent, rmb: string, args: readonly string[]): Promise<Played> {
  const { product, window, wall, installed } = stage
  const account = await product.account(rmb)
  const seen = window.seen.length
  const reached = product.sandbox.requests.all().length
  const ran = await runAgent(
    agent,
    {
      launcher: installed[agent.command],
      access: { url: window.url, key: account.key },
      wallUrl: wall.url,
      timeoutMs: TIMEOUT_MS,
    },
    args,
  )
  const said = `${ran.output}\n${ran.complaints}`
  const all = window.seen.slice(seen)
  // What it asks beside: whether there is anybody, which models there are.
  const exchanges = all.filter(({ method, path }) => method === 'POST' && path.split('?')[0] === agent.path)
  assert.ok(exchanges.length > 0, `nothing was asked:\n${said}`)
  return {
    ran,
    account,
    exchanges,
    receipts: await receiptsOf(account, exchanges),
    upstream: product.sandbox.requests.all().slice(reached),
  }
}

function summary({ ran, receipts }: Played): string {
  const charged = receipts.flatMap(({ charge }) =>
    charge === null ? [] : [`${charge.total} ${charge.currency}`],
  )
  const asked = `${receipts.length} request${receipts.length === 1 ? '' : 's'}`
  return `${asked}, ${charged.length === 0 ? 'nothing charged' : charged.join(' + ')}, ${(ran.tookMs / 1000).toFixed(1)} s`
}

function assertEnded({ ran }: Played, code: number): void {
  assert.equal(ran.code, code, `${ran.output}\n${ran.complaints}`)
}

async function serve(stage: Stage, kind: TurnKind, expected: Expected): Promise<string> {
  const { agent, model } = expected
  const prompt = kind === 'tool' ? agent.toolPrompt : QUESTION
  const played = await play(stage, agent, RICH, agent.arguments(kind, model, prompt))
  assertEnded(played, 0)
  const { output } = played.ran
  if (kind === 'tool') {
    const used = agent.toolOf(output)
    assert.equal(used.output.trim(), 'sandbox', output)
    assert.match(used.text, /sandbox read what your tool returned: /)
  } else {
    const text = agent.textOf(kind, output)
    assert.ok(text.includes(`You asked: "${QUESTION}"`), text)
  }
  await assertServed(played.account, played, kind === 'tool' ? 2 : 1, expected)
  const { dropped } = played.receipts[0] ?? { dropped: [] }
  return summary(played) + (dropped.length === 0 ? '' : `; dropped ${dropped.join(', ')}`)
}

const TITLES: Readonly<Record<TurnKind, string>> = {
  text: 'a text turn',
  stream: 'a streamed turn',
  tool: 'a tool turn',
}

function servedTurns(agent: Agent): readonly Turn[] {
  return UPSTREAMS.flatMap((upstream) => {
    const translated = upstream !== agent.native
    const expected: Expected = { agent, model: MODELS[upstream], route: 'ordinary', translated }
    return (['text', 'stream', 'tool'] as const).map((kind) => ({
      name: `${way(agent, upstream)}: ${TITLES[kind]}`,
      go: (stage: Stage) => serve(stage, kind, expected),
    }))
  })
}

function way(agent: Agent, upstream: Upstream): string {
  return `${agent.name} over ${upstream}${upstream === agent.native ? ' (native)' : ''}`
}

function officialTurn(agent: Agent): Turn {
  const model = `${MODELS[agent.native]}:official`
  return {
    name: `${way(agent, agent.native)}: a model with a route charges Credit`,
    go: (stage) => serve(stage, 'text', { agent, model, route: 'official', translated: false }),
  }
}

interface Refusal {
  readonly agent: Agent
  readonly model: string
  readonly rmb: string
  readonly code: string
  readonly says: RegExp
  readonly withinMs: number
}

async function refuse(stage: Stage, refusal: Refusal): Promise<Played> {
  const { agent, model, rmb, code, says, withinMs } = refusal
  const played = await play(stage, agent, rmb, agent.arguments('text', model, QUESTION))
  assertEnded(played, 1)
  const { ran } = played
  assert.match(`${ran.output}\n${ran.complaints}`, says)
  assert.ok(ran.tookMs < withinMs, `it took ${ran.tookMs} ms`)
  await assertTurnedAway(agent, played.account, played, code)
  return played
}

function unknownModelTurn(agent: Agent): Turn {
  const says = agent.says.unknownModel
  const refusal = {
    agent,
    model: 'nothing-here',
    rmb: RICH,
    code: 'model_not_found',
    says,
    withinMs: AT_ONCE_MS,
  }
  return {
    name: `${agent.name}: an unknown model`,
    async go(stage) {
      const played = await refuse(stage, refusal)
      // Claude Code asks once more without a stream.
      assert.ok(played.receipts.length <= 2)
      assert.equal(played.upstream.length, 0)
      return summary(played)
    },
  }
}

function unpaidTurns(agent: Agent): readonly Turn[] {
  return UPSTREAMS.map((upstream) => ({
    name: `${way(agent, upstream)}: a spent balance`,
    async go(stage) {
      const says = agent.says.unpaid
      const model = MODELS[upstream]
      const refusal = { agent, model, rmb: POOR, code: 'insufficient_balance', says, withinMs: AT_ONCE_MS }
      const played = await refuse(stage, refusal)
      assert.deepEqual([played.receipts.length, played.upstream.length], [1, 0])
      return summary(played)
    },
  }))
}

function downTurns(agent: Agent): readonly Turn[] {
  return ([agent.native, 'openai'] as const).map((upstream) => ({
    name: `${way(agent, upstream)}: an upstream that is down`,
    async go(stage) {
      const says = agent.says.down
      const model = `down-${upstream}`
      const refusal = { agent, model, rmb: RICH, code: 'upstream_error', says, withinMs: DOWN_MS }
      const played = await refuse(stage, refusal)
      assert.equal(played.upstream.length, played.receipts.length)
      return summary(played)
    },
  }))
}

export function turnsOf(agent: Agent): readonly Turn[] {
  return [
    ...servedTurns(agent),
    officialTurn(agent),
    unknownModelTurn(agent),
    ...unpaidTurns(agent),
    ...downTurns(agent),
  ]
}
