import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import { isArray, isObject, type Json, parseId, type Uuid } from '../kernel/index.ts'
import { formFields, readBody, textOf } from './http.ts'
import { JoinDoor } from './join-door.ts'
import type { Library } from './library.ts'
import { languageOf } from './page.ts'
import {
  accountPage,
  codePage,
  leadingPage,
  type Membership,
  notePage,
  type OwnSession,
  resetAskPage,
  resetPage,
  type Shown,
  signInPage,
  signUpPage,
} from './pages.ts'
import type { People } from './people.ts'
import type { IdentityOptions, Person } from './types.ts'
import { Desk, HOME, leadTo, NEXT, nextOf, show, type Visit } from './visit.ts'
import { refusalIn, wordsIn } from './words.ts'

/**
 * Pages without scripts over what the library and tenancy do: to sign in and out, to set a password, to join an
 * organization, to see one's own account. A form that did its work leads on (303), so that loading again does nothing twice.
 */

const JOIN_PATH = /^\/join\/([A-Za-z0-9_-]{1,200})$/
const TWO_FACTOR_COOKIE = '__Host-tf_two_factor'

export interface Pages {
  /** @param path without the query */
  owns(path: string): boolean
  handle(req: IncomingMessage, res: ServerResponse, requestId: Uuid): Promise<Fault | null>
}

class PageDoor {
  readonly joining: JoinDoor
  private readonly desk: Desk

  constructor(desk: Desk) {
    this.desk = desk
    this.joining = new JoinDoor(desk)
  }

  private signInForm(visit: Visit, shown: Shown, email: string, next: string, status = 200): null {
    const { oidc, signUp } = this.desk.options
    const view = { email, next, provider: oidc !== null, signUp: signUp === 'open' }
    return show(visit, signInPage(shown, view), status)
  }

  async signIn(visit: Visit): Promise<null> {
    const { form, query } = visit
    if (form === null) {
      const next = nextOf(query.get('next'))
      if ((await this.desk.people.personOf(visit.req.headers)) !== null) return leadTo(visit, next)
      const error = query.get('error')
      const bad =
        error === null
          ? null
          : refusalIn(languageOf(visit.req), PROVIDER_CODES.has(error) ? error : 'PROVIDER')
      return this.signInForm(visit, this.desk.shown(visit, bad), '', next)
    }
    const next = nextOf(textOf(form, 'next'))
    const email = textOf(form, 'email').trim()
    const fields = { email, password: textOf(form, 'password') }
    const outcome = await this.desk.ask(visit, { path: '/sign-in/email', fields })
    if (outcome.code !== null)
      return this.signInForm(visit, this.desk.refusal(visit, outcome), email, next, outcome.status)
    const second = outcome.json['twoFactorRedirect'] === true
    return leadTo(visit, second ? `/sign-in/code?next=${encodeURIComponent(next)}` : next)
  }

  async code(visit: Visit): Promise<null> {
    const { form, query, req } = visit
    if (form === null) {
      if (!(req.headers.cookie ?? '').includes(`${TWO_FACTOR_COOKIE}=`)) return leadTo(visit, '/sign-in')
      return show(visit, codePage(this.desk.shown(visit), nextOf(query.get('next'))))
    }
    const next = nextOf(textOf(form, 'next'))
    const recovery = textOf(form, 'recovery').trim()
    const outcome = await this.desk.ask(
      visit,
      recovery === ''
        ? { path: '/two-factor/verify-totp', fields: { code: textOf(form, 'code').replaceAll(' ', '') } }
        : { path: '/two-factor/verify-backup-code', fields: { code: recovery } },
    )
    if (outcome.code === null) return leadTo(visit, next)
    const shown = this.desk.refusal(visit, outcome)
    // No further code helps: the password is asked for again.
    return STARTS_AGAIN.has(outcome.code)
      ? this.signInForm(visit, shown, '', next, outcome.status)
      : show(visit, codePage(shown, next), outcome.status)
  }

  /** A form that led to another site itself would be stopped by the page's own policy; so a page leads there. */
  async provider(visit: Visit): Promise<null> {
    const next = nextOf(textOf(visit.form ?? {}, 'next'))
    const fields = { provider: 'oidc', callbackURL: next, errorCallbackURL: '/sign-in' }
    const outcome = await this.desk.ask(visit, { path: '/sign-in/social', fields })
    const url = outcome.json['url']
    if (outcome.code !== null || typeof url !== 'string') {
      const shown = this.desk.refusal(visit, { ...outcome, code: 'PROVIDER' })
      return this.signInForm(visit, shown, '', next, outcome.code === null ? 502 : outcome.status)
    }
    return show(visit, leadingPage(languageOf(visit.req), url, true))
  }

  async signOut(visit: Visit): Promise<null> {
    const next = textOf(visit.form ?? {}, 'next')
    await this.desk.ask(visit, { path: '/sign-out', fields: {} })
    return leadTo(visit, NEXT.test(next) && next !== HOME ? next : '/sign-in')
  }

  async reset(visit: Visit): Promise<null> {
    const { form, query } = visit
    const mails = this.desk.options.mailer.configured
    const words = wordsIn(languageOf(visit.req))
    const token = form === null ? (query.get('token') ?? '') : textOf(form, 'token')
    if (form === null)
      return show(
        visit,
        token === '' ? resetAskPage(this.desk.shown(visit), mails) : resetPage(this.desk.shown(visit), token),
      )
    if (token === '') {
      const outcome = await this.desk.ask(visit, {
        path: '/request-password-reset',
        fields: { email: textOf(form, 'email').trim() },
      })
      if (outcome.code !== null)
        return show(visit, resetAskPage(this.desk.refusal(visit, outcome), mails), outcome.status)
      const note = { title: words.reset, text: words.resetSent, href: '/sign-in', label: words.signIn }
      return show(visit, notePage(languageOf(visit.req), note))
    }
    const fields = { token, newPassword: textOf(form, 'password') }
    const outcome = await this.desk.ask(visit, { path: '/reset-password', fields })
    if (outcome.code !== null) {
      const shown = this.desk.refusal(visit, outcome)
      const page = outcome.code === 'INVALID_TOKEN' ? resetAskPage(shown, mails) : resetPage(shown, token)
      return show(visit, page, outcome.status)
    }
    const note = { title: words.setPassword, text: words.passwordSet, href: '/sign-in', label: words.signIn }
    return show(visit, notePage(languageOf(visit.req), note))
  }

  /** Where everybody may make an account. The password is chosen by whoever gets the mail; until then nobody knows one. */
  async signUp(visit: Visit): Promise<null> {
    const { form } = visit
    if (form === null) return show(visit, signUpPage(this.desk.shown(visit)))
    const outcome = await this.desk.ask(visit, {
      path: '/sign-up/email',
      fields: {
        email: textOf(form, 'email').trim(),
        name: textOf(form, 'name').trim(),
        password: randomBytes(32).toString('base64url'),
      },
    })
    if (outcome.code !== null)
      return show(visit, signUpPage(this.desk.refusal(visit, outcome)), outcome.status)
    const words = wordsIn(languageOf(visit.req))
    const note = { title: words.signUp, text: words.signUpSent, href: '/sign-in', label: words.signIn }
    return show(visit, notePage(languageOf(visit.req), note))
  }

  private async membershipsOf(person: Person): Promise<Membership[]> {
    const { joining } = this.desk.options
    const roles = await joining.membershipsOf(person.id)
    return Promise.all(
      [...roles].map(async ([orgId, role]) => ({
        orgId,
        role,
        name: (await joining.getOrganization(orgId))?.name ?? '',
      })),
    )
  }

  async account(visit: Visit): Promise<null> {
    const { req, query } = visit
    const person = await this.desk.people.personOf(req.headers)
    if (person === null) return leadTo(visit, '/sign-in')
    const { json } = await this.desk.ask(visit, { path: '/sessions', fields: null })
    const joined = parseId('org', query.get('joined') ?? '')
    return show(
      visit,
      accountPage(this.desk.shown(visit), {
        person,
        memberships: await this.membershipsOf(person),
        sessions: sessionsIn(json['data']),
        joined: joined === null ? null : { orgId: joined, before: query.get('before') === '1' },
      }),
    )
  }

  async rename(visit: Visit): Promise<null> {
    const name = textOf(visit.form ?? {}, 'name').trim()
    if (name !== '') await this.desk.ask(visit, { path: '/update-user', fields: { name } })
    return leadTo(visit, HOME)
  }

  async endSession(visit: Visit): Promise<null> {
    await this.desk.ask(visit, { path: '/sessions/revoke', fields: { id: textOf(visit.form ?? {}, 'id') } })
    return leadTo(visit, HOME)
  }

  async endOtherSessions(visit: Visit): Promise<null> {
    await this.desk.ask(visit, { path: '/sessions/revoke-others', fields: {} })
    return leadTo(visit, HOME)
  }
}

const PROVIDER_CODES = new Set(['sign_up_not_allowed', 'email_not_verified', 'account_not_linked'])
const STARTS_AGAIN = new Set([
  'TOO_MANY_ATTEMPTS_REQUEST_NEW_CODE',
  'INVALID_TWO_FACTOR_COOKIE',
  'ACCOUNT_TEMPORARILY_LOCKED',
])

function sessionsIn(data: Json | undefined): OwnSession[] {
  if (data === undefined || !isArray(data)) return []
  return data.filter(isObject).map((row) => {
    const text = (name: string): string | null => (typeof row[name] === 'string' ? row[name] : null)
    return {
      id: text('id') ?? '',
      createdAtMs: Date.parse(text('createdAt') ?? ''),
      address: text('address'),
      agent: text('agent'),
      current: row['current'] === true,
    }
  })
}

type Serve = (door: PageDoor, visit: Visit) => Promise<null>
interface Page {
  readonly methods: readonly ('GET' | 'POST')[]
  readonly serve: Serve
}

const both = (serve: Serve): Page => ({ methods: ['GET', 'POST'], serve })
const posted = (serve: Serve): Page => ({ methods: ['POST'], serve })

const PAGES: Readonly<Record<string, Page>> = {
  '/sign-in': both((door, visit) => door.signIn(visit)),
  '/sign-in/code': both((door, visit) => door.code(visit)),
  '/sign-in/provider': posted((door, visit) => door.provider(visit)),
  '/sign-out': posted((door, visit) => door.signOut(visit)),
  '/reset-password': both((door, visit) => door.reset(visit)),
  '/account': { methods: ['GET'], serve: (door, visit) => door.account(visit) },
  '/account/name': posted((door, visit) => door.rename(visit)),
  '/account/sessions/end': posted((door, visit) => door.endSession(visit)),
  '/account/sessions/end-others': posted((door, visit) => door.endOtherSessions(visit)),
}

const SIGN_UP = both((door, visit) => door.signUp(visit))

/**
 * A link in a mail that is read on the web, and the way back from a provider, come from another site: a strict cookie stays
 * behind. It comes along once a page of ours leads to the same address.
 */
const comesBare = ({ req, query }: Pick<Visit, 'req' | 'query'>, hasSession: boolean): boolean =>
  req.headers['sec-fetch-site'] === 'cross-site' && !hasSession && !query.has('here')

export function createPages(options: IdentityOptions, people: People, library: Library): Pages {
  const door = new PageDoor(new Desk(options, people, library))
  const pageAt = (path: string): Page | null => {
    if (Object.hasOwn(PAGES, path)) return PAGES[path] ?? null
    if (path === '/sign-up') return options.signUp === 'open' ? SIGN_UP : null
    const token = JOIN_PATH.exec(path)?.[1]
    return token === undefined ? null : both((door, visit) => door.joining.join(visit, token))
  }
  return {
    owns: (path) => path.startsWith('/join/') || pageAt(path) !== null,
    async handle(req, res, requestId) {
      const [path = '', search = ''] = (req.url ?? '').split('?', 2)
      const page = pageAt(path)
      if (page === null) return fault('not_found', `There is no ${path} here.`)
      const method = req.method === 'HEAD' ? 'GET' : req.method
      if (!page.methods.some((one) => one === method)) {
        res.setHeader('allow', page.methods.join(', '))
        return fault('method_not_allowed', `This page takes ${page.methods.join(' and ')}.`)
      }
      const visit = { req, res, requestId, path, query: new URLSearchParams(search) }
      if (method === 'GET') {
        if (!comesBare(visit, people.hasSession(req.headers)))
          return await page.serve(door, { ...visit, form: null })
        const again = new URLSearchParams([...visit.query, ['here', '1']])
        return show({ ...visit, form: null }, leadingPage(languageOf(req), `${path}?${again}`, false))
      }
      const body = await readBody(req)
      if (!body.ok) return body.fault
      const read = formFields(req, body.text)
      return read.ok ? await page.serve(door, { ...visit, form: read.fields }) : read.fault
    },
  }
}
