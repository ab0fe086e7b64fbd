import { randomBytes } from 'node:crypto'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { RateGate } from '../src/gateway/rate-gate.ts'
import type { Planned, RoutePlan } from '../src/gateway/types.ts'
import { createIdSource, silentLog, systemClock } from '../src/kernel/index.ts'
import { PROTOCOLS } from '../src/protocols/index.ts'
import { type Limiter, openLimiter, type RateLimit, type RateSet } from '../src/rates/index.ts'
import type { Measured } from './ledger.ts'
import { figure, median, table } from './report.ts'

/**
 * CPU time of one admission and its ending with all rate limits on, in memory: four scopes with three kinds each, the
 * estimate of tokens and the headers included. Beside it the same without any limit, and a plain use of
 * rate-limiter-flexible, which keeps fixed windows and no concurrency, gives no room back and names nothing.
 */

const GOAL_US = 30
const ids = createIdSource(systemClock.nowMs, randomBytes)
const [orgId, projectId, apiKeyId] = [ids.uuid(), ids.uuid(), ids.uuid()]

const BODY = {
  model: 'm',
  max_tokens: 500,
  messages: [
    { role: 'system', content: 'You answer in one sentence.' },
    { role: 'user', content: 'Which balance pays for this request, and why? '.repeat(10) },
  ],
}

function limitOf(scope: RateLimit['scope'], scopeId: string, most: number): RateLimit {
  return {
    id: ids.uuid(),
    orgId,
    scope,
    scopeId,
    amounts: { requests_per_minute: most, tokens_per_minute: most * 1_000, concurrency: 1_000_000 },
    setBy: 'operator',
    createdAtMs: 0,
    endedAtMs: null,
  }
}

function setOf(most: number): RateSet {
  const own = [
    limitOf('organization', orgId, most),
    limitOf('project', projectId, most),
    limitOf('key', apiKeyId, most),
  ]
  const ofRoute = [limitOf('route', 'official', most)]
  return { isEmpty: false, of: () => own, ofRoute: () => ofRoute }
}

const NONE: RateSet = { isEmpty: true, of: () => [], ofRoute: () => [] }

/** What the gate reads of a planned request, and no more. */
function plannedOf(res: ServerResponse): { planned: Planned; plan: RoutePlan } {
  const route = { name: 'official', type: 'official', bucket: { id: 'credit' } }
  const plan = { route, channels: [{ target: { upstreamModel: 'gpt-5-mini' } }] } as unknown as RoutePlan
  const planned = {
    admitted: {
      model: { name: 'm', maxOutputTokens: 16_384 },
      inbound: {
        body: BODY,
        key: { orgId, projectId, id: apiKeyId },
        facts: { maxOutputTokens: 500, choices: 1 },
        exchange: { res, requestId: ids.uuid(), call: { protocol: PROTOCOLS['openai-chat'] } },
      },
    },
    routes: [plan],
  } as unknown as Planned
  return { planned, plan }
}

type Subject = (turns: number) => void | Promise<void>

function gated(limiter: Limiter, set: RateSet, refuses: boolean): Subject {
  const deps = { rates: { of: () => set }, limiter, clock: systemClock }
  return (turns) => {
    for (let turn = 0; turn < turns; turn++) {
      // A response of its own for each, as in the gateway.
      const { planned, plan } = plannedOf(new ServerResponse(REQUEST))
      const gate = new RateGate(deps, planned)
      const fault = gate.take(plan)
      if (fault instanceof Promise || (fault !== null) !== refuses) throw new Error('not what was measured')
      gate.end(300)
    }
  }
}

const REQUEST = new IncomingMessage(new Socket())

function plain(): Subject {
  const scopes = [orgId, projectId, apiKeyId, 'official'].map((name) => ({
    name,
    requests: new RateLimiterMemory({ points: 1_000_000_000, duration: 60 }),
    tokens: new RateLimiterMemory({ points: 1_000_000_000_000, duration: 60 }),
  }))
  return async (turns) => {
    for (let turn = 0; turn < turns; turn++)
      for (const { name, requests, tokens } of scopes) {
        await requests.consume(name)
        await tokens.consume(name, 600)
      }
  }
}

/** What making the objects around the gate costs, which the gateway has anyway. */
const around: Subject = (turns) => {
  for (let turn = 0; turn < turns; turn++) plannedOf(new ServerResponse(REQUEST))
}

async function cpuMicros(subject: Subject, turns: number): Promise<number> {
  const before = process.cpuUsage()
  await subject(turns)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / turns
}

export async function measureAdmission(quick: boolean): Promise<Measured> {
  const open = () =>
    openLimiter({
      redisUrl: null,
      processId: ids.uuid(),
      processes: 1,
      clock: systemClock,
      log: silentLog,
    })
  const subjects: Readonly<Record<string, Subject>> = {
    around,
    none: gated(await open(), NONE, false),
    'all limits': gated(await open(), setOf(1_000_000_000), false),
    refused: gated(await open(), setOf(0), true),
    'rate-limiter-flexible': plain(),
  }
  const turns = quick ? 20_000 : 100_000
  const rounds = quick ? 3 : 7
  const figures = new Map<string, number[]>(Object.keys(subjects).map((name) => [name, []]))
  for (const subject of Object.values(subjects)) await subject(turns)
  for (let round = 0; round < rounds; round++)
    for (const [name, subject] of Object.entries(subjects))
      figures.get(name)?.push(await cpuMicros(subject, turns))
  const at = (name: string): number => median(figures.get(name) ?? [])
  const own = (name: string): number => Math.max(0, at(name) - at('around'))
  const flexible = at('rate-limiter-flexible')
  const [all, none, refused] = [own('all limits'), own('none'), own('refused')]
  return {
    goals: [
      {
        name: 'CPU of an admission with all rate limits on, in memory',
        value: all,
        unit: 'µs',
        limit: GOAL_US,
        sense: 'at most',
        foreignCores: 0,
      },
    ],
    runs: Object.entries(subjects).map(([name]) => ({ name, micros: at(name) })),
    text: table(
      ['admission and ending', 'CPU µs', 'of none', 'of rate-limiter-flexible'],
      [
        ['no limit exists', figure(none), '1×', `${figure(none / flexible)}×`],
        ['4 scopes × 3 kinds', figure(all), `${figure(all / none)}×`, `${figure(all / flexible)}×`],
        [
          'the same, refused',
          figure(refused),
          `${figure(refused / none)}×`,
          `${figure(refused / flexible)}×`,
        ],
        ['rate-limiter-flexible, 4 × 2', figure(flexible), `${figure(flexible / none)}×`, '1×'],
      ],
    ),
    notes: [
      `${turns} admissions a subject and round, ${rounds} rounds in turns, medians; ${figure(at('around'))} µs for the response object and the request around it are taken off`,
      'rate-limiter-flexible counts requests and tokens only: no concurrency, no corrections, no headers, fixed windows',
    ],
  }
}
