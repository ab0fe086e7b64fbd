import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'

/**
 * Tools of this format have kinds and namespaces; everywhere else a tool is a function with one flat name. The same name
 * comes out for the same tool wherever it stands (declaration, call, choice), so that the way back is a look-up in the
 * caller's own request.
 */

export type ToolKind = 'function' | 'custom' | 'local_shell' | 'tool_search'

export interface ToolIdentity {
  readonly kind: ToolKind
  /** Null for none; a call must come back with the namespace that its tool was declared in. */
  readonly namespace: string | null
  readonly name: string
}

export interface Declaration {
  readonly tool: JsonObject
  readonly namespace: string | null
  readonly path: string
}

export const LOCAL_SHELL = 'local_shell'
export const TOOL_SEARCH = 'tool_search'

const NAME_MAX = 64
const FIT = /^[a-zA-Z0-9_-]{1,64}$/
const UNFIT = /[^a-zA-Z0-9_-]/g

/** FNV-1a over UTF-16 units, as eight hex digits: names that differ only in what is replaced stay apart. */
function hash(text: string): string {
  let value = 0x811c9dc5
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0
  return value.toString(16).padStart(8, '0')
}

/** `functions` is the namespace of what has none: Codex answers to both. */
function isDefault(namespace: string | null): boolean {
  return namespace === null || namespace === '' || namespace === 'functions'
}

export function flatName(namespace: string | null, name: string): string {
  const joint = namespace?.endsWith('__') === true ? '' : '__'
  const full = isDefault(namespace) ? name : `${String(namespace)}${joint}${name}`
  return FIT.test(full) ? full : `${full.replace(UNFIT, '_').slice(0, NAME_MAX - 9)}_${hash(full)}`
}

/** The flat name of a call's tool. */
export function calledName(item: JsonObject): string {
  const { name, namespace } = item
  return flatName(typeof namespace === 'string' ? namespace : null, typeof name === 'string' ? name : '')
}

function unfold(tools: Json | undefined, path: string, namespace: string | null): readonly Declaration[] {
  if (!isArray(tools)) return []
  return tools.flatMap((tool, at): readonly Declaration[] => {
    if (!isObject(tool)) return []
    const place = `${path}[${at}]`
    if (tool['type'] !== 'namespace') return [{ tool, namespace, path: place }]
    const name = typeof tool['name'] === 'string' ? tool['name'] : ''
    return unfold(tool['tools'], `${place}.tools`, name)
  })
}

/**
 * Every tool that a request declares: in `tools`, in `additional_tools` items (Codex puts all of them there for models
 * that it knows) and in what a search of the client's own found.
 */
export function declarations(body: JsonObject): readonly Declaration[] {
  const { input } = body
  const items = isArray(input) ? input : []
  return [
    ...unfold(body['tools'], 'tools', null),
    ...items.flatMap((item, at) =>
      isObject(item) && (item['type'] === 'additional_tools' || item['type'] === 'tool_search_output')
        ? unfold(item['tools'], `input[${at}].tools`, null)
        : [],
    ),
  ]
}

/** @returns null for a tool that runs at OpenAI */
export function identityOf({ tool, namespace }: Declaration): ToolIdentity | null {
  const { type } = tool
  if (type === 'local_shell') return { kind: type, namespace: null, name: LOCAL_SHELL }
  if (type === 'tool_search' && tool['execution'] === 'client')
    return { kind: type, namespace: null, name: TOOL_SEARCH }
  if (type !== 'function' && type !== 'custom') return null
  return { kind: type, namespace, name: typeof tool['name'] === 'string' ? tool['name'] : '' }
}

/** By flat name; of a tool that is declared again, the last. */
export function toolIdentities(body: JsonObject): ReadonlyMap<string, ToolIdentity> {
  const found = new Map<string, ToolIdentity>()
  for (const declaration of declarations(body)) {
    const identity = identityOf(declaration)
    if (identity !== null) found.set(flatName(identity.namespace, identity.name), identity)
  }
  return found
}
