import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { createAsking, type Uuid } from '../kernel/index.ts'
import type { OperatorRole } from './operators.ts'
import { hashOf, SESSION_COOKIE } from './session-cookie.ts'
import type { IdentityOptions, Person } from './types.ts'

/**
 * Who a request is from. Remembered for seconds, and forgotten at once when a session ends or a role changes: here because
 * whoever changes it says so, elsewhere by the word of the database.
 */

const REMEMBER_MS = 5_000
const REMEMBERED_MAX = 10_000
const CHANNEL = 'forge_identity'

interface PersonRow {
  readonly id: Uuid
  readonly email: string
  readonly emailVerified: boolean
  readonly name: string
  readonly operatorRole: OperatorRole | null
  readonly sessionId: Uuid
  readonly twoFactor: boolean
  readonly endsInMs: number
}

const SELECT = `select p.id, p.email, p.email_verified as "emailVerified", p.name, o.role as "operatorRole",
    s.id as "sessionId", p.two_factor_enabled as "twoFactor",
    (extract(epoch from s.expires_at - clock_timestamp()) * 1000)::float8 as "endsInMs"
  from identity.session s join identity.person p on p.id = s.user_id left join identity.operator o on o.user_id = p.id
  where s.token_sha256 = $1 and s.expires_at > clock_timestamp()`

function cookieOf(headers: IncomingHttpHeaders): string | null {
  for (const part of (headers.cookie ?? '').split(';')) {
    const [name, value] = part.split('=', 2)
    if (name?.trim() === SESSION_COOKIE && value !== undefined && value !== '') return value.trim()
  }
  return null
}

/** The token of a cookie that we signed, or null. */
function tokenOf(cookie: string, key: string): string | null {
  let text: string
  try {
    text = decodeURIComponent(cookie)
  } catch {
    return null
  }
  const dot = text.lastIndexOf('.')
  const token = text.slice(0, dot)
  const given = Buffer.from(text.slice(dot + 1), 'base64')
  const own = createHmac('sha256', key).update(token).digest()
  return dot > 0 && given.length === own.length && timingSafeEqual(given, own) ? token : null
}

export interface People {
  personOf(headers: IncomingHttpHeaders): Promise<Person | null>
  hasSession(headers: IncomingHttpHeaders): boolean
  /** The hash of the token that came along, alive or not. */
  sessionKey(headers: IncomingHttpHeaders): string | null
  forget(): void
  close(): Promise<void>
}

/** @param key what session cookies are signed with */
export function openPeople(
  options: Pick<IdentityOptions, 'database' | 'listen' | 'log'>,
  key: string,
): People {
  const { database, log } = options
  const known = new Map<string, { readonly person: Person | null; readonly untilMs: number }>()

  const asking = createAsking(
    async (hash: string) => {
      const row = await database.maybeOne<PersonRow>({
        name: 'identity_person',
        text: SELECT,
        values: [hash],
      })
      if (row === null) return { person: null, endsInMs: REMEMBER_MS }
      const { endsInMs, ...person } = row
      return { person, endsInMs }
    },
    (hash, { person, endsInMs }) => {
      if (known.size >= REMEMBERED_MAX) known.clear()
      known.set(hash, { person, untilMs: performance.now() + Math.min(REMEMBER_MS, endsInMs) })
    },
  )
  const sessionKey = (headers: IncomingHttpHeaders): string | null => {
    const cookie = cookieOf(headers)
    const token = cookie === null ? null : tokenOf(cookie, key)
    return token === null ? null : hashOf(token)
  }
  const forget = (): void => {
    asking.distrust()
    known.clear()
  }
  const listener = options.listen(database, [CHANNEL], { onNotify: forget, onGap: forget, log })

  return {
    async personOf(headers) {
      const hash = sessionKey(headers)
      if (hash === null) return null
      const found = known.get(hash)
      if (found !== undefined && found.untilMs > performance.now()) return found.person
      return (await asking.ask(hash)).person
    },
    sessionKey,
    hasSession: (headers) => cookieOf(headers) !== null,
    forget,
    close: () => listener.close(),
  }
}
