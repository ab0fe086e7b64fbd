import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** What all pages of sign-in have in common: forms and no script, in the language that the browser asks for. */

const STYLE = `:root{color-scheme:light dark;--ink:#1c1c1e;--paper:#fff;--soft:#f2f2f4;--line:#8a8a90;--act:#0b57d0;--on-act:#fff;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#eee;--paper:#161618;--soft:#2c2c2e;--line:#8a8a90;--act:#8ab4f8;--on-act:#111;--bad:#ff9d94}}
body{font:16px/1.5 system-ui,"Noto Sans CJK SC",sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:var(--ink);background:var(--paper);overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.15rem;margin:0 0 .5rem}a{color:var(--act)}
label{display:block;margin:.8rem 0}input{display:block;width:100%;padding:.5rem;margin-top:.2rem;font:inherit;box-sizing:border-box;border:1px solid var(--line);border-radius:.3rem;color:inherit;background:var(--paper)}
input[readonly]{background:var(--soft)}button{padding:.5rem 1rem;font:inherit;border:1px solid var(--act);border-radius:.3rem;color:var(--on-act);background:var(--act);cursor:pointer}
button.plain{color:var(--act);background:none}:focus-visible{outline:3px solid var(--act);outline-offset:2px}
form,section{margin:1.5rem 0;padding:1rem;border:1px solid var(--line);border-radius:.5rem}li form,form.bare{margin:.3rem 0;padding:0;border:0}
form>:first-child,section>:first-child,input[type=hidden]+*{margin-top:0}section>:last-child{margin-bottom:0}ul{padding-left:1.2rem}li{margin:.6rem 0}code{background:var(--soft);padding:.2rem .3rem}.small{font-size:.875rem}
.note,.bad{padding:.6rem .8rem;border-left:4px solid var(--act);background:var(--soft)}.bad{border-color:var(--bad)}`

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64')

/** Nothing is fetched, nothing runs, nobody frames it, and its forms go nowhere else. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

export type Language = 'en' | 'zh'

export const languageOf = (req: Pick<IncomingMessage, 'headers'>): Language =>
  /^\s*zh\b/i.test(req.headers['accept-language'] ?? '') ? 'zh' : 'en'

/** @param body HTML; what came from people is escaped in it already */
export function htmlPage(language: Language, title: string, body: string, head = ''): string {
  return `<!doctype html><html lang="${language === 'zh' ? 'zh-CN' : 'en'}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>${escaped(title)} · Tokens Forge</title>${head}<style>${STYLE}</style></head>
<body><main><h1>${escaped(title)}</h1>${body}</main></body></html>`
}

/** @param rest further attributes, as HTML */
export const field = (label: string, name: string, rest: string): string =>
  `<label>${escaped(label)}<input name="${name}" required ${rest}></label>`

export const hidden = (name: string, value: string): string =>
  `<input type="hidden" name="${name}" value="${escaped(value)}">`

export const PASSWORD_RULES = 'type="password" minlength="12" maxlength="128" autocomplete="new-password"'
