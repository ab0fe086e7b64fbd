import type { IncomingMessage, ServerResponse } from 'node:http'
import { isObject, type Json, parseJson, type Uuid } from '../kernel/index.ts'
import { cookiesOf, type Fields } from './http.ts'
import type { Call, Library } from './library.ts'
import { languageOf, PAGE_POLICY } from './page.ts'
import type { Shown } from './pages.ts'
import type { People } from './people.ts'
import type { IdentityOptions } from './types.ts'
import { refusalIn, waitIn } from './words.ts'

/** One look at a page, or one form that was sent, and what every page does with it. */

/** Where a sign-in may lead: pages of ours alone, whatever a link says. */
export const NEXT = /^\/(?:account|join\/[A-Za-z0-9_-]{1,200})$/
export const HOME = '/account'
export interface Visit {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly requestId: Uuid
  readonly path: string
  readonly query: URLSearchParams
  /** Of the form; null where the page is only looked at. */
  readonly form: Fields | null
}

/** What became of asking the library. `code` is null where it did what it was asked. */
export interface Outcome {
  readonly code: string | null
  readonly status: number
  readonly json: Readonly<Record<string, Json>>
  readonly waitSeconds: number | null
}

export const nextOf = (text: string | null): string => (text !== null && NEXT.test(text) ? text : HOME)

export function show(visit: Visit, page: string, status = 200): null {
  const { res } = visit
  res.setHeader('content-security-policy', PAGE_POLICY)
  // Under "no-referrer" a form would not say where it comes from.
  res.setHeader('referrer-policy', 'same-origin')
  res.setHeader('content-type', 'text/html; charset=utf-8')
  res.statusCode = status
  res.end(page)
  return null
}

export function leadTo({ res }: Visit, path: string): null {
  res.statusCode = 303
  res.setHeader('location', path)
  res.end()
  return null
}

/** Cookies of several answers reach the browser together. */
function giveCookies(res: ServerResponse, cookies: readonly string[]): void {
  if (cookies.length > 0) res.appendHeader('set-cookie', [...cookies])
}

/** What pages are made from. */
export class Desk {
  readonly options: IdentityOptions
  readonly people: People
  readonly library: Library

  constructor(options: IdentityOptions, people: People, library: Library) {
    this.options = options
    this.people = people
    this.library = library
  }

  shown({ req }: Visit, bad: string | null = null): Shown {
    return { language: languageOf(req), bad }
  }

  async ask(visit: Visit, call: Call): Promise<Outcome> {
    const { waitSeconds, response } = await this.library.call(visit.req, visit.requestId, call)
    if (response === null) {
      visit.res.setHeader('retry-after', waitSeconds)
      return { code: 'rate_limit', status: 429, json: {}, waitSeconds }
    }
    giveCookies(visit.res, cookiesOf(response))
    const parsed = parseJson(await response.text())
    const json = parsed.ok && isObject(parsed.value) ? parsed.value : {}
    const code = typeof json['code'] === 'string' ? json['code'] : 'FAILED'
    return { code: response.ok ? null : code, status: response.status, json, waitSeconds: null }
  }

  refusal(visit: Visit, { code, waitSeconds }: Pick<Outcome, 'code' | 'waitSeconds'>): Shown {
    const language = languageOf(visit.req)
    return this.shown(
      visit,
      waitSeconds === null ? refusalIn(language, code ?? 'FAILED') : waitIn(language, waitSeconds),
    )
  }
}
