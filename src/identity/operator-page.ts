import type { IncomingMessage } from 'node:http'
import { escaped, field, htmlPage, languageOf, PASSWORD_RULES } from './page.ts'
import type { Person } from './types.ts'

/** The page behind an operator link: a form and no script, in the language that the browser asks for. */

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

function page(req: IncomingMessage, body: (words: typeof EN) => string): string {
  const language = languageOf(req)
  const words = language === 'zh' ? ZH : EN
  return htmlPage(language, words.title, body(words))
}

export function choicePage(req: IncomingMessage, person: Person | null): string {
  return page(req, (words) => {
    const fields =
      person === null
        ? `<h2>${words.account}</h2>
${field(words.name, 'name', 'maxlength="128" autocomplete="name"')}
${field(words.email, 'email', 'type="email" maxlength="320" autocomplete="username"')}
${field(words.password, 'password', PASSWORD_RULES)}
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
