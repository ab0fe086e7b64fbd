import { errorText, type Log } from '../kernel/index.ts'
import type { Mail, Mailer } from '../mail/index.ts'

/** What is written to people, in both languages: whom a mail is for is known by the address alone. */

export function confirmMail(to: string, url: string): Mail {
  return {
    to,
    subject: 'Tokens Forge: confirm your address / 确认您的邮箱',
    text: [
      'Open this link to confirm that this address is yours, and choose your password there. It works once, within one hour.',
      '打开以下链接，确认此邮箱属于您，并在其中设置密码。链接仅可使用一次，一小时内有效。',
      '',
      url,
      '',
      'If you did not ask for it, do nothing. / 如果不是您本人操作，请忽略此邮件。',
      '',
    ].join('\n'),
  }
}

export function resetMail(to: string, url: string): Mail {
  return {
    to,
    subject: 'Tokens Forge: set a new password / 重设密码',
    text: [
      'Open this link to set a new password. It works once, within one hour, and ends all of your sessions.',
      '打开以下链接重设密码。链接仅可使用一次，一小时内有效；重设后所有会话都会结束。',
      '',
      url,
      '',
      'If you did not ask for it, do nothing: your password stays as it is. / 如果不是您本人操作，请忽略此邮件，密码不会改变。',
      '',
    ].join('\n'),
  }
}

/** Somebody tried to make a second account with this address; the one who tried is not told that there is one. */
export function existingMail(to: string, url: string): Mail {
  return {
    to,
    subject: 'Tokens Forge: you have an account already / 您已有账户',
    text: [
      'Somebody asked for an account with this address, which has one. Sign in, or set a new password:',
      '有人用此邮箱注册，但该邮箱已有账户。请直接登录，或重设密码：',
      '',
      url,
      '',
    ].join('\n'),
  }
}

/** Sends later, so that the time of an answer does not tell whether there was anybody to write to. */
export function createPost(mailer: Mailer, log: Log) {
  const underWay = new Set<Promise<unknown>>()
  const afterwards = (work: () => Promise<unknown>): void => {
    const working = work()
      .catch((thrown: unknown) => log.error({ error: errorText(thrown) }, 'a mail was not sent'))
      .finally(() => underWay.delete(working))
    underWay.add(working)
  }
  return {
    later: (mail: Mail): void => afterwards(() => mailer.send(mail)),
    afterwards,
    async close(): Promise<void> {
      // What is under way may ask for a mail.
      while (underWay.size > 0) await Promise.all(underWay)
    },
  }
}
