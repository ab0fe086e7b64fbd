import { createTransport } from 'nodemailer'
import { errorText, type Log } from '../kernel/index.ts'

export interface Mail {
  readonly to: string
  readonly subject: string
  /** Plain text; there is no other form, so nothing of it can be markup. */
  readonly text: string
}

/** `unconfigured`: there is no mail server. `failed`: it may be tried again, unless it was refused for good. */
export type Sent =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'unconfigured' }
  | { readonly ok: false; readonly reason: 'failed'; readonly detail: string; readonly final: boolean }

export interface Mailer {
  readonly configured: boolean
  send(mail: Mail): Promise<Sent>
  close(): void
}

export interface MailerOptions {
  /** `smtp://user:password@host:587` or `smtps://…`; null: no mail is sent. */
  readonly smtpUrl: string | null
  /** Name and address of the sender. */
  readonly from: string
  readonly log: Log
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 10_000
/** An SMTP answer from here on is for good; below it the server asks for another try. */
const FINAL_REPLY = 500

/** One line: a subject with a line break would add headers of its own. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim()
}

export function createMailer(options: MailerOptions): Mailer {
  const { smtpUrl, from, log, timeoutMs = TIMEOUT_MS } = options
  if (smtpUrl === null)
    return { configured: false, send: async () => ({ ok: false, reason: 'unconfigured' }), close: () => {} }
  const transport = createTransport({
    url: smtpUrl,
    pool: true,
    maxConnections: 2,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // A message is text of ours: no file and no address of it is ever fetched.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    configured: true,
    async send({ to, subject, text }) {
      try {
        await transport.sendMail({ from, to: { name: '', address: to }, subject: oneLine(subject), text })
        return { ok: true }
      } catch (thrown) {
        const reply = (thrown as { responseCode?: unknown }).responseCode
        const final = typeof reply === 'number' && reply >= FINAL_REPLY
        // Neither address nor text: a log is read by more people than a mailbox.
        log.warn({ error: errorText(thrown), final }, 'a mail was not sent')
        return { ok: false, reason: 'failed', detail: errorText(thrown), final }
      }
    },
    close: () => transport.close(),
  }
}
