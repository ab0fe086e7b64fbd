import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Person } from './types.ts'

/** The page behind an operator link: a form and no script, in the language that the browser asks for. */

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#1c1c1e}
label{display:block;margin:.8rem 0}input{display:block;width:100%;padding:.5rem;font:inherit;box-sizing:border-box}
button{padding:.5rem 1rem;font:inherit}form{margin:1.5rem 0;padding:1rem;border:1px solid #ccc;border-radius:.5rem}
code{overflow-wrap:anywhere;background:#f2f2f4;padding:.2rem .3rem}
@media(prefers-color-scheme:dark){body{background:#161618;color:#eee}code{background:#2c2c2e}}`

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64')

/** Nothing is fetched, nothing runs, nobody frames it, and its forms go nowhere else. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`

const EN = {
  title: 'Operate this Tokens Forge',
  intro: 'This link works once. Choose what to use it for.',
  account: 'Make an account that may do everything',
  name: 'Name',
  email: 'E-mail address',
  password: 'Password (at least 12 characters)',
  create: 'Create the account',
  signedInAs: 'You are signed in as',
  take: 'Make this account an operator',
  token:
    'Or show the operator token, for the command line and programs. It may do everything, and is shown once.',
  show: 'Show the operator token',
  done: 'You operate this installation, and are signed in.',
  advice: 'Next, turn on a second factor. A further link for another person: forge operator link',
  shown: 'The operator token. Keep it in a password manager; this link will not work again.',
  failed: 'That did not work:',
  back: 'Back',
}

const ZH: typeof EN = {
  title: '管理此 Tokens Forge',
  intro: '此链接只能使用一次，请选择用途。',
  account: '创建拥有全部权限的账户',
  name: '姓名',
  email: '邮箱地址',
  password: '密码（至少 12 个字符）',
  create: '创建账户',
  signedInAs: '当前登录账户：',
  take: '将此账户设为管理员',
  token: '或显示管理员令牌，供命令行和程序使用。它拥有全部权限，仅显示一次。',
  show: '显示管理员令牌',
  done: '您已成为此系统的管理员，并已登录。',
  advice: '建议接着开启两步验证。为其他人生成新链接：forge operator link',
  shown: '管理员令牌如下，请保存到密码管理器。此链接已失效。',
  failed: '操作未成功：',
  back: '返回',
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

const isChinese = (req: IncomingMessage): boolean => /^\s*zh\b/i.test(req.headers['accept-language'] ?? '')

function page(req: IncomingMessage, body: (words: typeof EN) => string): string {
  const words = isChinese(req) ? ZH : EN
  return `<!doctype html><html lang="${isChinese(req) ? 'zh' : 'en'}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>${words.title}</title><style>${STYLE}</style></head>
<body><h1>${words.title}</h1>${body(words)}</body></html>`
}

const field = (label: string, name: string, rest: string): string =>
  `<label>${label}<input name="${name}" required ${rest}></label>`

export function choicePage(req: IncomingMessage, person: Person | null): string {
  return page(req, (words) => {
    const fields =
      person === null
        ? `<h2>${words.account}</h2>
${field(words.name, 'name', 'maxlength="128" autocomplete="name"')}
${field(words.email, 'email', 'type="email" maxlength="320" autocomplete="username"')}
${field(words.password, 'password', 'type="password" minlength="12" maxlength="128" autocomplete="new-password"')}
<button>${words.create}</button>`
        : `<p>${words.signedInAs} ${escaped(person.email)}</p><button>${words.take}</button>`
    return `<p>${words.intro}</p><form method="post"><input type="hidden" name="use" value="account">${fields}</form>
<form method="post"><input type="hidden" name="use" value="token"><p>${words.token}</p><button>${words.show}</button></form>`
  })
}

export function donePage(req: IncomingMessage): string {
  return page(req, (words) => `<p>${words.done}</p><p>${words.advice}</p>`)
}

export function failedPage(req: IncomingMessage, message: string): string {
  return page(req, (words) => `<p>${words.failed} ${escaped(message)}</p><p><a href="">${words.back}</a></p>`)
}

export function tokenPage(req: IncomingMessage, token: string): string {
  return page(req, (words) => `<p>${words.shown}</p><p><code>${escaped(token)}</code></p>`)
}

/** For a terminal, which takes what it is sent as it is. */
export function choiceText(url: string): string {
  return [
    'Tokens Forge: this link works once.',
    '',
    'Open it in a browser to make the account of an operator, or have the operator token shown here:',
    '',
    `  curl -d use=token ${url}`,
    '',
  ].join('\n')
}

export function tokenText(token: string): string {
  return [
    'Tokens Forge',
    '',
    'This link has now been used and will not work again.',
    '',
    `operator token: ${token}`,
    '',
    'It may do everything in this installation. On this machine the forge command finds it by itself;',
    'elsewhere set FORGE_OPERATOR_TOKEN, or send it as "Authorization: Bearer <token>" to /api/v1.',
    '',
  ].join('\n')
}
