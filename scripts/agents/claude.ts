import type { Agent } from './agent.ts'
import { eventsIn } from './agent.ts'
import { blockOf } from './page.ts'

interface Block {
  readonly type: string
  readonly content?: unknown
}

interface Event {
  readonly type?: string
  readonly result?: string
  readonly message?: { readonly content?: readonly Block[] }
  readonly event?: { readonly delta?: { readonly type: string; readonly text?: string } }
}

/** `export NAME=value` of the page. */
function exportsIn(block: string, key: string): Record<string, string> {
  const lines = [...block.matchAll(/^export (\w+)=(.*)$/gm)]
  return Object.fromEntries(
    lines.map(([, name = '', value = '']) => [name, value.replace('$FORGE_KEY', key)]),
  )
}

const EVENTS = ['--output-format', 'stream-json', '--verbose', '--include-partial-messages']

export const CLAUDE: Agent = {
  name: 'Claude Code',
  command: 'claude',
  endpoint: 'anthropic.messages',
  path: '/v1/messages',
  native: 'anthropic',
  sessionHeader: 'x-claude-code-session-id',
  runPrefix: 'claude-code ',
  toolPrompt: 'Please run Bash once, then say what it printed.',
  arguments: (kind, model, prompt) => [
    ...['-p', prompt, '--model', model],
    ...(kind === 'text' ? [] : EVENTS),
    ...(kind === 'tool' ? ['--allowedTools', 'Bash'] : []),
  ],
  settle: async (_home, { url, key }) => ({
    ...exportsIn(await blockOf('Claude Code', 'sh', url), key),
    DISABLE_TELEMETRY: '1',
    DISABLE_AUTOUPDATER: '1',
    DISABLE_ERROR_REPORTING: '1',
  }),
  textOf(kind, output) {
    if (kind === 'text') return output
    const deltas = (eventsIn(output) as readonly Event[]).map(({ event }) => event?.delta)
    return deltas.map((delta) => (delta?.type === 'text_delta' ? (delta.text ?? '') : '')).join('')
  },
  toolOf(output) {
    const events = eventsIn(output) as readonly Event[]
    const blocks = events.flatMap(({ type, message }) => (type === 'user' ? (message?.content ?? []) : []))
    const results = blocks.filter(({ type }) => type === 'tool_result')
    return {
      output: results.map(({ content }) => String(content)).join('\n'),
      text: events.findLast(({ type }) => type === 'result')?.result ?? '',
    }
  },
  says: {
    unknownModel: /selected model \(nothing-here\)/,
    unpaid: /402 RMB wallet has CNY 0\.000001 available; this request needs at least CNY \d/,
    down: /502 No channel of the route could serve the request .*nothing was charged/,
  },
  toolsIn: (body) =>
    ((body as { tools?: readonly { readonly name: string }[] }).tools ?? []).map(({ name }) => name),
}
