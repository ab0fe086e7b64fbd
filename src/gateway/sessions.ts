import type { IncomingMessage } from 'node:http'
import { isObject, type JsonObject, parseJson } from '../kernel/index.ts'

/**
 * Agents name their session by themselves; its requests are grouped into a run without anybody changing code. Names are
 * prefixed with the agent, so that two agents' sessions cannot be one.
 */

interface Source {
  readonly agent: string
  readonly read: (req: IncomingMessage, body: JsonObject) => string | undefined
}

function headerText(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name]
  return Array.isArray(value) ? value[0] : value
}

const SESSION_TAIL = 120

/** Claude Code writes JSON with a session id into the user id. */
function metadataSession(body: JsonObject): string | undefined {
  const metadata = body['metadata']
  const userId = isObject(metadata) ? metadata['user_id'] : undefined
  if (typeof userId !== 'string') return undefined
  const parsed = userId.startsWith('{') ? parseJson(userId) : null
  if (parsed?.ok === true && isObject(parsed.value)) {
    const session = parsed.value['session_id']
    return typeof session === 'string' ? session : undefined
  }
  // Its end alone: in a long text every beginning of one would be read on to the end.
  return /_session_([\w-]{1,100})$/.exec(userId.slice(-SESSION_TAIL))?.[1]
}

const SOURCES: readonly Source[] = [
  {
    agent: 'claude-code',
    read: (req, body) => headerText(req, 'x-claude-code-session-id') ?? metadataSession(body),
  },
  {
    agent: 'codex',
    read: (req) =>
      headerText(req, 'session-id') ?? headerText(req, 'session_id') ?? headerText(req, 'thread-id'),
  },
  {
    agent: 'session',
    read: (req) => headerText(req, 'x-session-id') ?? headerText(req, 'x-session-affinity'),
  },
]

const SESSION = /^[\w.:-]{4,100}$/

/** @returns the name of the run that the request belongs to, or null */
export function sessionOf(req: IncomingMessage, body: JsonObject): string | null {
  for (const { agent, read } of SOURCES) {
    const session = read(req, body)
    if (session !== undefined && SESSION.test(session)) return `${agent} ${session}`
  }
  return null
}
