import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralTool, NeutralToolChoice } from '../neutral.ts'
import { HOSTED_TOOLS } from './bound.ts'
import { field, listOf, objectField, objectsOf, textField } from './fields.ts'
import type { Notes } from './notes.ts'
import { jsonSchema } from './schema.ts'

/** Functions and how they may be called, out of the wire. */

const NO_PARAMETERS: JsonObject = { type: 'object', properties: {} }

function readFunction(declaration: JsonObject, notes: Notes): NeutralTool {
  for (const member of ['response', 'responseJsonSchema', 'behavior'])
    if (field(declaration, member) !== undefined) notes.drop(`tools[].functionDeclarations[].${member}`)
  const own = objectField(declaration, 'parameters')
  return {
    name: textField(declaration, 'name') ?? '',
    description: textField(declaration, 'description'),
    parameters:
      objectField(declaration, 'parametersJsonSchema') ?? (own === null ? NO_PARAMETERS : jsonSchema(own)),
    strict: null,
  }
}

function readTools(body: JsonObject, notes: Notes): readonly NeutralTool[] {
  return objectsOf(field(body, 'tools')).flatMap((tool, at) => {
    for (const name of HOSTED_TOOLS)
      if ((field(tool, name) ?? null) !== null)
        notes.refuse(`tools[${at}].${name}`, "is one of Google's own tools, which this route does not have")
    notes.dropRest(tool, new Set([...HOSTED_TOOLS, 'functionDeclarations']), 'tools[].')
    return objectsOf(field(tool, 'functionDeclarations')).map((declaration) =>
      readFunction(declaration, notes),
    )
  })
}

interface Calling {
  readonly tools: readonly NeutralTool[]
  readonly toolChoice: NeutralToolChoice | null
}

/** Functions that may not be called are as good as not there, but for the prompt's cache. */
function allowedOf(tools: readonly NeutralTool[], names: readonly unknown[]): readonly NeutralTool[] {
  return names.length === 0 ? tools : tools.filter((tool) => names.includes(tool.name))
}

export function readCalling(body: JsonObject, notes: Notes): Calling {
  const all = readTools(body, notes)
  const toolConfig = objectField(body, 'toolConfig') ?? {}
  notes.dropRest(toolConfig, new Set(['functionCallingConfig']), 'toolConfig.')
  const config = objectField(toolConfig, 'functionCallingConfig')
  if (config === null) return { tools: all, toolChoice: null }
  notes.dropRest(config, new Set(['mode', 'allowedFunctionNames']), 'toolConfig.functionCallingConfig.')
  const mode = textField(config, 'mode')?.toUpperCase() ?? 'AUTO'
  const names = listOf(field(config, 'allowedFunctionNames'))
  const tools = allowedOf(all, names)
  switch (mode) {
    case 'NONE':
      return { tools: all, toolChoice: { kind: 'none' } }
    case 'AUTO':
    case 'MODE_UNSPECIFIED':
      return { tools: all, toolChoice: { kind: 'auto' } }
    case 'ANY': {
      const [only] = names
      if (names.length === 1 && typeof only === 'string')
        return { tools: all, toolChoice: { kind: 'tool', name: only } }
      return { tools, toolChoice: { kind: 'required' } }
    }
    case 'VALIDATED':
      // That arguments fit their schema is promised elsewhere tool by tool, and not for every schema.
      notes.drop('toolConfig.functionCallingConfig.mode')
      return { tools, toolChoice: { kind: 'auto' } }
    default:
      notes.refuse('toolConfig.functionCallingConfig.mode', `is unknown: ${mode}`)
      return { tools, toolChoice: null }
  }
}
