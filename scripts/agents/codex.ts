import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Agent } from './agent.ts'
import { eventsIn } from './agent.ts'
import { blockOf } from './page.ts'

interface Event {
  readonly type?: string
  readonly item?: {
    readonly type: string
    readonly text?: string
    readonly aggregated_output?: string
    readonly exit_code?: number | null
  }
}

interface Tool {
  readonly type: string
  readonly name?: string
  readonly tools?: readonly Tool[]
}

/** Tools of a namespace are called by both names; those without a name run at OpenAI. */
function namesOf(tool: Tool): readonly string[] {
  if (tool.type === 'namespace') return (tool.tools ?? []).map(({ name }) => `${tool.name}__${name}`)
  return [tool.name ?? tool.type]
}

function itemsOf(output: string): ReadonlyArray<NonNullable<Event['item']>> {
  const events = eventsIn(output) as readonly Event[]
  return events.flatMap(({ type, item }) => (type === 'item.completed' && item !== undefined ? [item] : []))
}

function saidIn(output: string): string {
  return itemsOf(output)
    .map(({ type, text }) => (type === 'agent_message' ? (text ?? '') : ''))
    .join('')
}

export const CODEX: Agent = {
  name: 'Codex',
  command: 'codex',
  endpoint: 'openai.responses',
  path: '/v1/responses',
  native: 'openai-responses',
  sessionHeader: 'session-id',
  runPrefix: 'codex ',
  toolPrompt: 'Please use exec_command once, then say what it printed.',
  arguments: (kind, model, prompt) => [
    ...['exec', '--skip-git-repo-check', '--model', model],
    ...(kind === 'text' ? [] : ['--json']),
    // Its own sandbox wants rights that a container may not have; the folder is empty and thrown away.
    ...(kind === 'tool' ? ['--sandbox', 'danger-full-access'] : []),
    prompt,
  ],
  async settle(home, { url, key }) {
    const folder = join(home, '.codex')
    await mkdir(folder)
    await writeFile(join(folder, 'config.toml'), await blockOf('Codex', 'toml', url))
    return { FORGE_KEY: key }
  },
  textOf: (kind, output) => (kind === 'text' ? output : saidIn(output)),
  toolOf: (output) => ({
    output: itemsOf(output)
      .filter(({ type, exit_code: code }) => type === 'command_execution' && code === 0)
      .map(({ aggregated_output: printed }) => printed ?? '')
      .join('\n'),
    text: saidIn(output),
  }),
  says: {
    unknownModel: /There is no model "nothing-here" in the catalog/,
    unpaid: /Quota exceeded\. Check your plan and billing details/,
    down: /Selected model is at capacity\. Please try a different model/,
  },
  toolsIn: (body) => ((body as { tools?: readonly Tool[] }).tools ?? []).flatMap(namesOf),
}
