import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import {
  EFFORTS,
  type Effort,
  type NeutralFormat,
  type NeutralReasoning,
  type NeutralTool,
  type NeutralToolChoice,
} from '../neutral.ts'
import { cacheOf } from './decode-parts.ts'
import { asksNothing, type Notes, Refusal } from './notes.ts'

const TOOL_MEMBERS = ['type', 'name', 'description', 'input_schema', 'strict', 'cache_control']

function decodeTool(tool: JsonObject, path: string, notes: Notes): NeutralTool {
  const { type, name, description, strict } = tool
  if (type !== undefined && type !== null && type !== 'custom')
    throw new Refusal(`${path}.type`, `the tool ${String(type)} is Anthropic's own and exists only there`)
  if (typeof name !== 'string' || name === '') throw new Refusal(`${path}.name`, 'must be a string')
  for (const [member, value] of Object.entries(tool))
    if (!asksNothing(value) && !TOOL_MEMBERS.includes(member)) notes.drop(`${path}.${member}`)
  return {
    name,
    description: typeof description === 'string' ? description : null,
    parameters: isObject(tool['input_schema']) ? tool['input_schema'] : { type: 'object' },
    strict: typeof strict === 'boolean' ? strict : null,
    ...cacheOf(tool),
  }
}

export function decodeTools(tools: Json | undefined, notes: Notes): NeutralTool[] {
  if (!isArray(tools)) return []
  return tools.map((tool, index) => {
    if (!isObject(tool)) throw new Refusal(`tools[${index}]`, 'must be an object')
    return decodeTool(tool, `tools[${index}]`, notes)
  })
}

export function decodeToolChoice(value: Json | undefined): {
  readonly choice: NeutralToolChoice | null
  readonly parallel: boolean | null
} {
  if (!isObject(value)) return { choice: null, parallel: null }
  const disabled = value['disable_parallel_tool_use']
  const parallel = typeof disabled === 'boolean' ? !disabled : null
  const { name } = value
  switch (value['type']) {
    case 'auto':
      return { choice: { kind: 'auto' }, parallel }
    case 'any':
      return { choice: { kind: 'required' }, parallel }
    case 'none':
      return { choice: { kind: 'none' }, parallel }
    case 'tool':
      if (typeof name === 'string') return { choice: { kind: 'tool', name }, parallel }
      throw new Refusal('tool_choice.name', 'must be a string')
    default:
      throw new Refusal('tool_choice.type', 'must be auto, any, tool or none')
  }
}

function effortOf(value: Json | undefined): Effort | null {
  return EFFORTS.find((effort) => effort === value) ?? null
}

function displayOf(thinking: JsonObject): boolean | null {
  const { display } = thinking
  if (display === 'omitted') return false
  // Where budgets are used thinking is shown unless it is refused; with adaptive thinking that depends on the model.
  return display === 'summarized' || thinking['type'] === 'enabled' ? true : null
}

/** How much to think: a budget (`enabled`), an effort (`adaptive`), or none. */
export function decodeReasoning(body: JsonObject, notes: Notes): NeutralReasoning | null {
  const config = isObject(body['output_config']) ? body['output_config'] : {}
  const effort = effortOf(config['effort'])
  const thinking = isObject(body['thinking']) ? body['thinking'] : null
  const budget = thinking?.['budget_tokens']
  switch (thinking?.['type']) {
    case undefined:
      return effort === null ? null : { effort, budgetTokens: null, visible: null }
    case 'enabled':
      return {
        effort,
        budgetTokens: typeof budget === 'number' ? budget : null,
        visible: thinking === null ? null : displayOf(thinking),
      }
    case 'disabled':
      // An effort without thinking means short answers, which no other format can say.
      if (effort !== null) notes.drop('output_config.effort')
      return { effort: 'none', budgetTokens: null, visible: null }
    case 'between_tools':
      notes.drop('thinking.type')
      return { effort: effort ?? 'low', budgetTokens: null, visible: null }
    default:
      return { effort, budgetTokens: null, visible: thinking === null ? null : displayOf(thinking) }
  }
}

/** The format has no name for a schema; others demand one. */
export const FORMAT_NAME = 'response'

export function decodeFormat(body: JsonObject, notes: Notes): NeutralFormat {
  const config = isObject(body['output_config']) ? body['output_config'] : {}
  for (const [name, value] of Object.entries(config))
    if (!asksNothing(value) && name !== 'effort' && name !== 'format') notes.drop(`output_config.${name}`)
  const format = config['format'] ?? body['output_format']
  if (format === undefined || format === null) return { kind: 'text' }
  const schema = isObject(format) ? format['schema'] : undefined
  if (!isObject(format) || format['type'] !== 'json_schema' || !isObject(schema))
    throw new Refusal('output_config.format', 'must be of type json_schema, with a schema')
  return { kind: 'schema', name: FORMAT_NAME, schema, strict: true, description: null }
}
