import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type YAMLError,
} from 'yaml'
import { type ConfigFault, faultAt, type Path, shorten } from './fault.ts'

/** A number as it stands in the file: a price is read from `source`, never from a float. */
export class NumberLiteral {
  readonly value: number
  readonly source: string

  constructor(value: number, source: string) {
    this.value = value
    this.source = source
  }
}

/** Plain data; maps have no prototype, so no key of the file can mean anything to the language. */
export type Tree = null | boolean | string | NumberLiteral | readonly Tree[] | TreeMap
export type TreeMap = { readonly [key: string]: Tree }

export type Environment = Readonly<Record<string, string | undefined>>

export interface ReadTree {
  /** Null when the text is no YAML at all. */
  readonly tree: Tree
  readonly readable: boolean
  readonly faults: readonly ConfigFault[]
  /** What strings were before `${NAME}` was filled in, by the JSON of its path: fault texts show this instead of the value. */
  readonly written: ReadonlyMap<string, string>
  /** Values that came from the environment. */
  readonly filledIn: ReadonlySet<string>
}

export const FILE_BYTES_MAX = 10 * 1024 * 1024
export const FILE_TOO_LARGE = faultAt([], `the file is larger than ${FILE_BYTES_MAX / 1024 / 1024} MB`)
const DEPTH_MAX = 64
/** Tokens, several a level. */
const PARSER_DEPTH_MAX = 400
const ALIASED_VALUES_MAX = 100_000

/** Our own words for the parser's codes: its messages quote the file, and the file holds secrets. */
const SYNTAX: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias (*name) cannot carry an anchor or a tag',
  BAD_ALIAS: 'the name of an anchor or alias is not valid',
  BAD_DIRECTIVE: 'a %directive is not valid',
  BAD_DQ_ESCAPE: 'a backslash in double quotes is followed by something that is no escape',
  BAD_INDENT: 'the indentation does not fit, or a bracket, brace or quote above is not closed',
  BAD_SCALAR_START: 'plain text cannot begin with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a list or map stands where a name is expected; is a line break or a quote missing?',
  BLOCK_IN_FLOW: 'an indented list or map cannot stand inside [ ] or { }',
  KEY_OVER_1024_CHARS: 'a name is longer than 1024 characters',
  MISSING_CHAR: 'a closing bracket, brace, quote, comma or colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a name runs over several lines; is a colon missing?',
  TAB_AS_INDENT: 'tabs cannot be used for indentation',
  TAG_RESOLVE_FAILED: 'a tag (!name) is not known here',
  UNEXPECTED_TOKEN: 'something stands here that YAML does not allow',
}

export function isTreeMap(tree: Tree | undefined): tree is TreeMap {
  return typeof tree === 'object' && tree !== null && !Array.isArray(tree) && !(tree instanceof NumberLiteral)
}

/** `$${NAME}` writes `${NAME}` itself. */
const PLACEHOLDER = /\$?\$\{([^}]*)(\}?)/g
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/

interface Walk {
  readonly env: Environment
  readonly lines: LineCounter
  readonly faults: ConfigFault[]
  readonly written: Map<string, string>
  readonly filledIn: Set<string>
  readonly anchors: Map<string, { tree: Tree; size: number } | 'open'>
  aliased: number
  /** Values seen so far, aliases counted at their full size. */
  size: number
}

/**
 * Reads YAML (and so JSON) into plain data with `${NAME}` filled in, and lists every fault: syntax, names written
 * twice, variables that are not set, aliases that multiply.
 */
export function readTree(text: string, env: Environment): ReadTree {
  const walk: Walk = {
    env,
    lines: new LineCounter(),
    faults: [],
    written: new Map(),
    filledIn: new Set(),
    anchors: new Map(),
    aliased: 0,
    size: 0,
  }
  const document = parseText(text, walk)
  if (document === null) return { ...walk, tree: null, readable: false }
  const tree = treeOf(document.contents, [], walk)
  return { ...walk, tree, readable: true }
}

function parseText(text: string, walk: Walk): Document.Parsed | null {
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) {
    walk.faults.push(FILE_TOO_LARGE)
    return null
  }
  const tokens = tokensOf(text, walk)
  if (tokens === null) return null
  const composer = new Composer({
    // Found in the walk instead, which is linear and knows the path.
    uniqueKeys: false,
    logLevel: 'error',
  })
  const [document, second] = [...composer.compose(tokens, true, text.length)]
  const problems = [...(document?.errors ?? []), ...(document?.warnings ?? [])]
  for (const problem of problems) walk.faults.push(syntaxFault(problem, walk.lines))
  if (second !== undefined) walk.faults.push(faultAt([], 'the file holds more than one document (---)'))
  return document === undefined || walk.faults.length > 0 ? null : document
}

/**
 * The parser keeps a stack of its own, but what composes its tokens recurses: absurd nesting would end the process, so
 * it is refused before that.
 */
function tokensOf(text: string, walk: Walk): CST.Token[] | null {
  const parser = new Parser(walk.lines.addNewLine)
  const tokens: CST.Token[] = []
  walk.lines.addNewLine(0)
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token)
    if (parser.stack.length <= PARSER_DEPTH_MAX) continue
    walk.faults.push(
      faultAt([], `lists or maps are nested too deeply (line ${walk.lines.linePos(parser.offset).line})`),
    )
    return null
  }
  for (const token of parser.end()) tokens.push(token)
  return tokens
}

function syntaxFault(problem: YAMLError, lines: LineCounter): ConfigFault {
  const { line, col } = lines.linePos(problem.pos[0])
  return faultAt([], `line ${line}, column ${col}: ${SYNTAX[problem.code] ?? 'this is not valid YAML'}`)
}

function place(node: unknown, walk: Walk): string {
  const offset = (node as { range?: readonly number[] | null } | null)?.range?.[0]
  if (offset === undefined) return ''
  const { line, col } = walk.lines.linePos(offset)
  return ` (line ${line}, column ${col})`
}

function treeOf(node: unknown, path: Path, walk: Walk): Tree {
  walk.size += 1
  if (path.length > DEPTH_MAX) {
    walk.faults.push(faultAt(path.slice(0, 8), `is nested more than ${DEPTH_MAX} levels deep`))
    return null
  }
  if (isAlias(node)) return aliasValue(node.source, path, walk)
  const anchor = (node as { anchor?: string } | null)?.anchor
  if (anchor === undefined) return ownValue(node, path, walk)
  walk.anchors.set(anchor, 'open')
  const before = walk.size
  const tree = ownValue(node, path, walk)
  walk.anchors.set(anchor, { tree, size: walk.size - before + 1 })
  return tree
}

/** An alias shares the value it names; its size still counts, since whatever reads the tree visits it again. */
function aliasValue(name: string, path: Path, walk: Walk): Tree {
  const target = walk.anchors.get(name)
  if (target === undefined) {
    walk.faults.push(faultAt(path, `there is no anchor &${shorten(name)} above this alias`))
    return null
  }
  if (target === 'open') {
    walk.faults.push(faultAt(path, `the alias *${shorten(name)} contains itself`))
    return null
  }
  const before = walk.aliased
  walk.aliased += target.size
  walk.size += target.size
  if (walk.aliased <= ALIASED_VALUES_MAX) return target.tree
  if (before <= ALIASED_VALUES_MAX)
    walk.faults.push(faultAt(path, `aliases stand for more than ${ALIASED_VALUES_MAX} values in all`))
  return null
}

function ownValue(node: unknown, path: Path, walk: Walk): Tree {
  if (isMap(node)) return mapValue(node.items, path, walk)
  if (isSeq(node)) return node.items.map((item, i) => treeOf(item, [...path, i], walk))
  if (!isScalar(node)) return null
  const { value } = node
  if (typeof value === 'number') return new NumberLiteral(value, node.source ?? String(value))
  if (typeof value === 'string') return value.includes('${') ? filled(value, path, walk) : value
  return typeof value === 'boolean' ? value : null
}

function mapValue(items: readonly { key: unknown; value: unknown }[], path: Path, walk: Walk): Tree {
  const map: Record<string, Tree> = Object.create(null)
  const seen = new Set<string>()
  for (const { key, value } of items) {
    const name = keyText(key)
    if (name === null) {
      walk.faults.push(faultAt(path, `a name must be plain text${place(key, walk)}`))
      continue
    }
    if (seen.has(name)) walk.faults.push(faultAt([...path, name], `is written twice${place(key, walk)}`))
    if (name === '__proto__') walk.faults.push(faultAt([...path, name], 'this name cannot be used'))
    seen.add(name)
    const child = treeOf(value, [...path, name], walk)
    if (name !== '__proto__') map[name] = child
  }
  return map
}

/** Numbers and words such as `true` are taken as they are written: `above: {200000: …}` needs no quotes. */
function keyText(key: unknown): string | null {
  if (!isScalar(key)) return null
  return typeof key.value === 'string' ? key.value : (key.source ?? null)
}

function filled(text: string, path: Path, walk: Walk): string {
  walk.written.set(JSON.stringify(path), text)
  return text.replace(PLACEHOLDER, (whole, name: string, close: string) => {
    if (whole.startsWith('$$')) return whole.slice(1)
    if (close === '' || !VARIABLE.test(name)) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the text names the placeholder's form
      walk.faults.push(faultAt(path, 'only ${NAME} can stand for an environment variable'))
      return ''
    }
    const value = Object.hasOwn(walk.env, name) ? walk.env[name] : undefined
    if (value === undefined || value === '') {
      walk.faults.push(faultAt(path, `the environment variable ${shorten(name)} is not set`))
      return ''
    }
    walk.filledIn.add(value)
    return value
  })
}
