import { isObject, type JsonObject } from '../../kernel/index.ts'
import { arrayAt } from '../members.ts'
import { type ProtocolAnswer, type ProtocolRequest, wholeAnswer } from '../protocol.ts'
import { failsInBody } from '../stream-faults.ts'
import { countTokens } from '../tokens.ts'
import { usageText } from '../usage-text.ts'
import { vectorOf } from '../vector.ts'
import { invalidJson, midStreamJson } from './errors.ts'
import { member, memberObject, readTurn } from './request.ts'

const DIMENSIONS = 768
const DIMENSIONS_MAX = 8192

/** One text: `{content}` → `{embedding}`. */
export function embedContent({ body, switches }: ProtocolRequest): ProtocolAnswer {
  const read = isObject(body) ? readEmbed(body) : null
  if (read === null) return unread('EmbedContentRequest.content: contents is not specified')
  if (failsInBody(switches)) return wholeAnswer(200, midStreamJson(switches))
  return withUsage({ embedding: read.embedding }, read.tokens, switches)
}

/** Several texts: `{requests: [{content}]}` → `{embeddings}` in their order. */
export function batchEmbedContents({ body, switches }: ProtocolRequest): ProtocolAnswer {
  const requests = isObject(body) ? arrayAt(body, 'requests').filter(isObject) : []
  const read = requests.map(readEmbed)
  if (read.length === 0 || !read.every((one) => one !== null)) {
    return unread('BatchEmbedContentsRequest.requests: contents is not specified')
  }
  if (failsInBody(switches)) return wholeAnswer(200, midStreamJson(switches))
  const embeddings = switches.flags.has('empty') ? [] : read.map(({ embedding }) => embedding)
  return withUsage(
    { embeddings },
    read.reduce((sum, { tokens }) => sum + tokens, 0),
    switches,
  )
}

function unread(what: string): ProtocolAnswer {
  return wholeAnswer(400, invalidJson(`* ${what}`))
}

function readEmbed(request: JsonObject): { readonly embedding: JsonObject; readonly tokens: number } | null {
  const { text } = readTurn(memberObject(request, 'content'))
  if (text === '') return null
  const asked = member(request, 'outputDimensionality')
  const dimensions = typeof asked === 'number' && asked > 0 && asked <= DIMENSIONS_MAX ? asked : DIMENSIONS
  return { embedding: { values: vectorOf(text, dimensions) }, tokens: countTokens(text) }
}

function withUsage(head: JsonObject, tokens: number, switches: ProtocolRequest['switches']): ProtocolAnswer {
  const details = [{ modality: 'TEXT', tokenCount: tokens }]
  const usage = usageText({ promptTokenCount: tokens, promptTokenDetails: details }, switches)
  const text = JSON.stringify(head)
  return wholeAnswer(200, usage === null ? text : `${text.slice(0, -1)},"usageMetadata":${usage}}`)
}
