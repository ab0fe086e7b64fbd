import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { arrayAt, objectAt, textAt, textsAt, wholeAt } from '../members.ts'
import { IMAGE_TOKENS, MESSAGE_TOKENS, type Question, type Turn } from '../plan.ts'
import { countTokens } from '../tokens.ts'
import { type Block, readBlocks, type Ttl, ttlOf } from './blocks.ts'

/** The prompt in the order in which prefixes of it are cached: tools, system, messages; piece by piece. */
export interface PromptPiece {
  /** What the piece says; two prompts share a prefix where these are equal. */
  readonly text: string
  readonly tokens: number
  /** Set where the caller marked the end of a prefix. */
  readonly ttl: Ttl | null
}

export interface MessagesRequest extends Question {
  readonly pieces: readonly PromptPiece[]
  readonly thinks: boolean
  /** Thinking is only in the signature, its text left out. */
  readonly thinkingOmitted: boolean
  readonly speed: string
  readonly geo: string
}

/** Reads a request that `problemIn` has found nothing wrong with; unknown members are ignored. */
export function readMessages(body: JsonObject): MessagesRequest {
  const turns = arrayAt(body, 'messages').filter(isObject).map(readTurn)
  const system = readBlocks(body['system'])
  const tools = arrayAt(body, 'tools').filter(isObject)
  const choice = objectAt(body, 'tool_choice')
  const thinking = objectAt(body, 'thinking')
  const config = objectAt(body, 'output_config')
  const format = isObject(config['format']) ? objectAt(config, 'format') : objectAt(body, 'output_format')
  const schema = format['type'] === 'json_schema' ? format['schema'] : undefined
  return {
    model: textAt(body, 'model'),
    messages: turns.map((one) => one.turn),
    pieces: [
      ...tools.map(toolPiece),
      ...(schema === undefined ? [] : [pieceOf(JSON.stringify(schema), 0, null)]),
      ...messagePieces('system', system),
      ...withAutomaticCache(
        turns.flatMap(({ turn, blocks }) => messagePieces(turn.role, blocks)),
        ttlOf(body),
      ),
    ],
    stream: body['stream'] === true,
    n: 1,
    tokensMax: wholeAt(body, 'max_tokens'),
    stops: textsAt(body, 'stop_sequences'),
    // Tools with a type are run by the provider; the sandbox does that only when a switch says so.
    tools: tools
      .filter((tool) => ['', 'custom'].includes(textAt(tool, 'type')))
      .map((tool) => ({ name: textAt(tool, 'name'), parameters: tool['input_schema'] })),
    extraPrompt: '',
    toolChoice: readToolChoice(choice),
    parallelTools: choice['disable_parallel_tool_use'] !== true,
    format: schema === undefined ? 'text' : { schema },
    seed: 0,
    thinks: thinking['type'] === 'enabled' || thinking['type'] === 'adaptive',
    thinkingOmitted: thinking['display'] === 'omitted',
    speed: textAt(body, 'speed'),
    geo: textAt(body, 'inference_geo'),
  }
}

/** The text of the last message of the user that has any. */
export function lastUserText(body: Json | undefined): string {
  const messages = isObject(body) ? arrayAt(body, 'messages') : []
  const texts = messages.map((message) => {
    if (!isObject(message) || message['role'] !== 'user') return ''
    return saidIn(readBlocks(message['content']))
  })
  return texts.findLast((text) => text !== '') ?? ''
}

function readTurn(message: JsonObject): { readonly turn: Turn; readonly blocks: readonly Block[] } {
  const blocks = readBlocks(message['content'])
  const results = blocks.filter((block) => block.type === 'tool_result')
  // With results in it a message goes on with the question before; texts beside them are an agent's notes.
  const role = results.length > 0 ? 'tool' : textAt(message, 'role')
  const turn = {
    role,
    text: results.length > 0 ? results.map((block) => block.counted).join('\n') : saidIn(blocks),
    images: blocks.flatMap((block) => block.media),
    counted: blocks.map((block) => block.counted).join(''),
  }
  return { turn, blocks }
}

function saidIn(blocks: readonly Block[]): string {
  return blocks
    .filter((block) => block.type === 'text')
    .map((block) => block.counted)
    .join('\n')
}

function pieceOf(text: string, tokens: number, ttl: Ttl | null): PromptPiece {
  return { text, tokens: tokens + countTokens(text), ttl }
}

function toolPiece(tool: JsonObject): PromptPiece {
  const { cache_control: _, ...rest } = tool
  return pieceOf(JSON.stringify(rest), 0, ttlOf(tool))
}

function messagePieces(role: string, blocks: readonly Block[]): readonly PromptPiece[] {
  return blocks.map(({ counted, media, ttl }, index) => {
    const head = index === 0 ? MESSAGE_TOKENS : 0
    const tokens = head + countTokens(counted) + media.length * IMAGE_TOKENS
    return { text: `${index === 0 ? role : ''}\n${counted}${media.join()}`, tokens, ttl }
  })
}

/** `cache_control` of the request itself marks the last piece. */
function withAutomaticCache(pieces: readonly PromptPiece[], ttl: Ttl | null): readonly PromptPiece[] {
  return ttl === null
    ? pieces
    : pieces.map((piece, index) => (index === pieces.length - 1 ? { ...piece, ttl } : piece))
}

function readToolChoice(choice: JsonObject): Question['toolChoice'] {
  switch (choice['type']) {
    case 'any':
      return 'required'
    case 'none':
      return 'none'
    case 'tool':
      return { name: textAt(choice, 'name') }
    default:
      return 'auto'
  }
}

/** Names the API of SDK 1.12 knows at the top of a body, betas included. */
export const KNOWN_MEMBERS: ReadonlySet<string> = new Set(
  `model messages max_tokens system tools tool_choice thinking stop_sequences stream temperature top_p top_k metadata
service_tier container context_management mcp_servers output_config output_format inference_geo speed cache_control
fallbacks fallback_credit_token user_profile_id`.split(/\s+/),
)

/** Texts of a content that may be a string or blocks, for the checks. */
export function blocksOf(content: Json | undefined): readonly JsonObject[] {
  return isArray(content) ? content.filter(isObject) : []
}
