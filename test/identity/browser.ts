import { createHmac } from 'node:crypto'

/** As much of a browser as signing in takes: it keeps cookies, and says where its requests come from. */

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers whose shape they assert
  readonly json: any
  /** As they came. */
  readonly cookies: readonly string[]
}

/** A form of a page: what it sends when nothing is typed. */
interface Form {
  readonly action: string
  readonly fields: Record<string, string>
}

const unescaped = (text: string): string =>
  text.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 10)))

const attribute = (tag: string, name: string): string | null => {
  const found = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)
  return found === null ? null : unescaped(found[1] ?? '')
}

/** @param here where a form leads that names no place */
export function formsOf(page: string, here: string): Form[] {
  return [...page.matchAll(/(<form[^>]*>)(.*?)<\/form>/gs)].map(([, tag = '', inside = '']) => ({
    action: attribute(tag, 'action') ?? here,
    fields: Object.fromEntries(
      [...inside.matchAll(/<input[^>]*>/g)].map(([input]) => [
        attribute(input, 'name') ?? '',
        attribute(input, 'value') ?? '',
      ]),
    ),
  }))
}

const HTML = { accept: 'text/html,*/*' }

export class Browser {
  readonly jar = new Map<string, string>()
  private readonly url: string

  constructor(url: string) {
    this.url = url
  }

  cookieHeader(): string {
    return [...this.jar].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const cookie = this.cookieHeader()
    const response = await fetch(path.startsWith('http') ? path : this.url + path, {
      method,
      redirect: 'manual',
      headers: {
        'sec-fetch-site': 'same-origin',
        ...(method === 'GET' ? {} : { origin: this.url }),
        ...(cookie === '' ? {} : { cookie }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const cookies = response.headers.getSetCookie()
    for (const line of cookies) this.keep(line)
    return { status: response.status, headers: response.headers, text, json: jsonOf(text), cookies }
  }

  get(path: string, headers?: Record<string, string>): Promise<Answer> {
    return this.send('GET', path, undefined, headers)
  }

  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> {
    return this.send('POST', path, body ?? {}, headers)
  }

  /** Looks at a page as people do. */
  page(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.get(path, { ...HTML, ...headers })
  }

  /** Types into the first form of a page that has all of these fields, sends it, and goes where it leads. */
  async fill(page: Answer, here: string, typed: Record<string, string>, action?: string): Promise<Answer> {
    const form = formsOf(page.text, here).find(
      (one) =>
        (action === undefined || one.action === action) &&
        Object.keys(typed).every((name) => Object.hasOwn(one.fields, name)),
    )
    if (form === undefined) throw new Error(`no form for ${Object.keys(typed)} on ${here}: ${page.text}`)
    const body = new URLSearchParams({ ...form.fields, ...typed }).toString()
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    const answer = await this.send('POST', form.action, body, { ...HTML, ...type })
    const to = answer.headers.get('location')
    return answer.status === 303 && to !== null ? await this.follow(to) : answer
  }

  private async follow(path: string): Promise<Answer> {
    const answer = await this.page(path)
    const to = answer.headers.get('location')
    return answer.status === 303 && to !== null ? await this.follow(to) : answer
  }

  /** Another one with the same cookies: a replay of what it has now. */
  copy(): Browser {
    const other = new Browser(this.url)
    for (const [name, value] of this.jar) other.jar.set(name, value)
    return other
  }

  private keep(line: string): void {
    const [pair = '', ...attributes] = line.split(';')
    const at = pair.indexOf('=')
    const name = pair.slice(0, at)
    const gone = attributes.some((attribute) => /^\s*max-age=0$/i.test(attribute))
    if (gone) this.jar.delete(name)
    else this.jar.set(name, pair.slice(at + 1))
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** The secret of an otpauth:// address. */
export function secretOf(uri: string): Buffer {
  const text = new URL(uri).searchParams.get('secret') ?? ''
  let bits = ''
  for (const char of text.replace(/=+$/, '')) bits += BASE32.indexOf(char).toString(2).padStart(5, '0')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}

/** RFC 6238; @param step time steps from now */
export function totp(secret: Buffer, step = 0): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + step))
  const mac = createHmac('sha1', secret).update(counter).digest()
  const at = (mac[19] ?? 0) & 15
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}
