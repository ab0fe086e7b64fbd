import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import { errorText, isObject, parseJson, type Uuid } from '../kernel/index.ts'
import { sweep } from './attempts.ts'
import { SERVED } from './guards.ts'
import { cookiesOf, formFields, jsonFields, readBody, sendWebResponse, textOf } from './http.ts'
import { BASE_PATH, createLibrary, type Library } from './library.ts'
import { loadAuth } from './load.ts'
import { createPost } from './mails.ts'
import { choicePage, choiceText, donePage, failedPage, tokenPage, tokenText } from './operator-page.ts'
import { createOperatorBook } from './operators.ts'
import { isReading, isSameOrigin } from './origin.ts'
import { type Language, languageOf, PAGE_POLICY } from './page.ts'
import { createPages, type Pages } from './page-door.ts'
import { openPeople, type People } from './people.ts'
import type { Identity, IdentityOptions } from './types.ts'
import { refusalOf } from './words.ts'

const OPERATOR_PATH = /^\/operator\/([A-Za-z0-9_-]{1,200})$/
const SWEEP_MS = 10 * 60_000

type Handler = (request: Request) => Promise<Response>

const CSRF = fault('csrf', 'The request comes from another site, or does not say where it comes from.')
const NO_LINK = fault('not_found', 'This link was used, is too old, or never was one.')

const TOO_MANY_LINKS = fault(
  'rate_limit_exceeded',
  'Too many links were tried from here. Try again in a while.',
)

/** A browser's request that changes something, or one with cookies, must be from our own pages. */
function isForeign(req: IncomingMessage, origins: readonly string[]): boolean {
  if (isReading(req.method)) return false
  const { cookie, origin } = req.headers
  const asked = cookie !== undefined || origin !== undefined || req.headers['sec-fetch-site'] !== undefined
  return asked && !isSameOrigin(req, origins)
}

class Door {
  private readonly options: IdentityOptions
  private readonly people: People
  private readonly library: Library
  private readonly pages: Pages

  constructor(options: IdentityOptions, people: People, library: Library) {
    this.options = options
    this.people = people
    this.library = library
    this.pages = createPages(options, people, library)
  }

  ownsPage(path: string): boolean {
    return this.pages.owns(path)
  }

  async handle(req: IncomingMessage, res: ServerResponse, requestId: Uuid): Promise<Fault | null> {
    if (isForeign(req, this.options.origins())) return CSRF
    const [path = ''] = (req.url ?? '').split('?', 1)
    if (this.pages.owns(path)) return await this.pages.handle(req, res, requestId)
    const code = OPERATOR_PATH.exec(path)?.[1]
    return code === undefined
      ? await this.paths(req, res, requestId, path.slice(BASE_PATH.length))
      : await this.operatorLink(req, res, requestId, code)
  }

  private async paths(
    req: IncomingMessage,
    res: ServerResponse,
    requestId: Uuid,
    path: string,
  ): Promise<Fault | null> {
    const served = Object.hasOwn(SERVED, path) ? SERVED[path] : undefined
    if (served === undefined) return fault('not_found', `There is no ${BASE_PATH}${path} here.`)
    if (req.method !== served.method) {
      res.setHeader('allow', served.method)
      return fault('method_not_allowed', `${BASE_PATH}${path} takes ${served.method}.`)
    }
    const body = served.method === 'POST' ? await readBody(req) : ({ ok: true, text: '' } as const)
    if (!body.ok) return body.fault
    const read = jsonFields(req, body.text)
    if (!read.ok) return read.fault
    const { fields } = read
    const { waitSeconds, response } = await this.library.call(req, requestId, {
      path,
      fields: served.method === 'POST' ? fields : null,
      target: req.url ?? '',
    })
    if (waitSeconds !== null) {
      res.setHeader('retry-after', waitSeconds)
      return fault('rate_limit_exceeded', `Too many attempts. Try again in ${waitSeconds} seconds.`, {
        retryAfterMs: waitSeconds * 1_000,
      })
    }
    // The library calls every answer of an authenticator that does not hold a failure of its own.
    const wrong = path === '/passkey/verify-registration' && response.status === 500
    await sendWebResponse(res, response, wrong ? 400 : response.status)
    return null
  }

  private async operatorLink(
    req: IncomingMessage,
    res: ServerResponse,
    requestId: Uuid,
    code: string,
  ): Promise<Fault | null> {
    const { database, operatorCodeLives } = this.options
    if (req.method !== 'GET' && req.method !== 'POST') {
      res.setHeader('allow', 'GET, POST')
      return fault('method_not_allowed', 'An operator link takes GET and POST.')
    }
    const asker = { address: this.options.addressOf(req), email: '', session: null, isKnownPlace: false }
    if ((await this.library.wait('/operator/claim', asker)) !== null) return TOO_MANY_LINKS
    if (!(await operatorCodeLives(database, code))) return NO_LINK
    res.setHeader('content-security-policy', PAGE_POLICY)
    // Under "no-referrer" a form would not say where it comes from.
    res.setHeader('referrer-policy', 'same-origin')
    if (req.method === 'GET') {
      const url = `${this.options.origins()[0] ?? ''}/operator/${code}`
      const page = choicePage(req, await this.people.personOf(req.headers))
      return show(req, res, { page, text: choiceText(url) })
    }
    const body = await readBody(req)
    if (!body.ok) return body.fault
    const read = formFields(req, body.text)
    if (!read.ok) return read.fault
    if (textOf(read.fields, 'use') === 'token') {
      if (!(await this.redeemForToken(req, requestId, code))) return NO_LINK
      const { operatorToken } = this.options
      return show(req, res, { page: tokenPage(req, operatorToken), text: tokenText(operatorToken) })
    }
    const { response } = await this.library.call(req, requestId, {
      path: '/operator/claim',
      fields: { ...read.fields, code },
    })
    if (response === null) return TOO_MANY_LINKS
    res.statusCode = response.status
    if (response.ok) {
      res.setHeader('set-cookie', cookiesOf(response))
      return show(req, res, { page: donePage(req), text: 'You operate this installation.\n' })
    }
    const message = messageIn(languageOf(req), await response.text())
    return show(req, res, { page: failedPage(req, message), text: `${message}\n` })
  }

  private redeemForToken(req: IncomingMessage, requestId: Uuid, code: string): Promise<boolean> {
    const { database, redeemOperatorCode, recordEvent, addressOf } = this.options
    return database.tx(async (tx) => {
      if (!(await redeemOperatorCode(tx, code))) return false
      const by = { kind: 'system', id: null, requestId, address: addressOf(req) } as const
      await recordEvent(tx, by, {
        orgId: null,
        action: 'operator_token.show',
        objectKind: 'operator_link',
        objectId: requestId,
      })
      return true
    })
  }
}

/** A page for a browser, plain text for a terminal. */
function show(req: IncomingMessage, res: ServerResponse, shown: { page: string; text: string }): null {
  const html = (req.headers.accept ?? '').includes('text/html')
  res.setHeader('content-type', html ? 'text/html; charset=utf-8' : 'text/plain; charset=utf-8')
  res.end(html ? shown.page : shown.text)
  return null
}

function messageIn(language: Language, text: string): string {
  const parsed = parseJson(text)
  const { code, message } = parsed.ok && isObject(parsed.value) ? parsed.value : {}
  const known = typeof code === 'string' ? refusalOf(language, code) : null
  return known ?? (typeof message === 'string' ? message : text)
}

export function createIdentity(options: IdentityOptions): Identity {
  const { database, log, keyring } = options
  const secret = keyring.keyOf('session').toString('hex')
  const people = openPeople(options, secret)
  const post = createPost(options.mailer, log)
  let loading: Promise<Handler> | null = null

  // Not before somebody signs in: most processes of a gateway never need it.
  const handler = (): Promise<Handler> => {
    loading ??= loadAuth()
      .then(({ createAuth }) => createAuth({ ...options, secret, post }).handler)
      .catch((thrown: unknown) => {
        loading = null
        throw thrown
      })
    return loading
  }
  const door = new Door(options, people, createLibrary(options, people, handler))
  const sweeping = setInterval(() => {
    sweep(database).catch((thrown: unknown) =>
      log.warn({ error: errorText(thrown) }, 'ended sessions were not swept'),
    )
  }, SWEEP_MS)
  sweeping.unref()

  return {
    owns: (path) => path.startsWith(`${BASE_PATH}/`) || path.startsWith('/operator/') || door.ownsPage(path),
    handle: (req, res, requestId) => door.handle(req, res, requestId),
    personOf: (req) => people.personOf(req.headers),
    isSameOrigin: (req) => isSameOrigin(req, options.origins()),
    async describe(ids) {
      const text = 'select id, email, name from identity.person where id = any($1)'
      const rows = await database.query<{ id: Uuid; email: string; name: string }>(text, [ids])
      return new Map(rows.map(({ id, email, name }) => [id, { email, name }]))
    },
    operators: createOperatorBook(database, options, people.forget),
    async close() {
      clearInterval(sweeping)
      await post.close()
      await people.close()
    },
  }
}
