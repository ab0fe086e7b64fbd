import { createHmac } from 'node:crypto'
import type { Database } from '../db/index.ts'
import { isObject, type Json, type JsonObject, type Uuid } from '../kernel/index.ts'
import type { MemberEdit } from '../protocols/index.ts'

/**
 * Who a request is from, as providers are told it. Many organizations share one upstream key, and with it one prompt cache
 * and one name space of users: the names by which providers keep callers apart are replaced by ones that only the same
 * organization gets again (docs/decisions/0009-upstream-names.md).
 */

/** Where a format names a user or a cache. */
const OPENAI_NAMES = ['prompt_cache_key', 'safety_identifier', 'user']
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'openai-chat': OPENAI_NAMES,
  'openai-responses': OPENAI_NAMES,
  'openai-compaction': OPENAI_NAMES,
  'openai-embeddings': ['user'],
}

/** Formats in which the cache can be named, so that a name may be added. */
const CACHE_NAMED = new Set(['openai-chat', 'openai-responses'])
const CACHE_KEY = 'prompt_cache_key'

const NOTHING: readonly never[] = []

function isThere(value: Json | undefined): value is Json {
  return value !== undefined && value !== null
}

export interface Aliased {
  readonly body: JsonObject
  readonly edits: readonly MemberEdit[]
}

export class Aliases {
  private readonly salt: Buffer
  private readonly orgId: Uuid

  constructor(salt: Buffer, orgId: Uuid) {
    this.salt = salt
    this.orgId = orgId
  }

  /** 43 characters, within the 64 that OpenAI takes; equal for equal values of one member and organization only. */
  private of(name: string, value: Json): string {
    const hmac = createHmac('sha256', this.salt).update(`${this.orgId}\n${name}\n${JSON.stringify(value)}`)
    return `tf_${hmac.digest('base64url').slice(0, 40)}`
  }

  /** @param format of the caller */
  apply(format: string, body: JsonObject): Aliased {
    const named = NAMES[format] ?? NOTHING
    if (format !== 'anthropic-messages' && !named.some((name) => isThere(body[name])))
      return { body, edits: NOTHING }
    const changed: [string, Json][] = []
    for (const name of named) {
      const value = body[name]
      if (isThere(value)) changed.push([name, this.of(name, value)])
    }
    const { metadata } = body
    if (format === 'anthropic-messages' && isObject(metadata)) {
      const { user_id: user } = metadata
      if (isThere(user)) changed.push(['metadata', { ...metadata, user_id: this.of('user_id', user) }])
    }
    if (changed.length === 0) return { body, edits: NOTHING }
    return {
      body: { ...body, ...Object.fromEntries(changed) },
      edits: changed.map(([name, value]) => ({ name, json: JSON.stringify(value) })),
    }
  }

  /** What to add where the caller named no cache and the channel is known to take a name. @param format of the upstream */
  missing(format: string, body: JsonObject): Readonly<Record<string, string>> {
    return isThere(body[CACHE_KEY]) || !CACHE_NAMED.has(format)
      ? {}
      : { [CACHE_KEY]: this.of(CACHE_KEY, null) }
  }
}

/** One for the installation, made by its migrations. */
export async function readUpstreamSalt(database: Database): Promise<Buffer> {
  const { value } = await database.one<{ value: Buffer }>('select value from gateway.upstream_salt')
  return value
}
