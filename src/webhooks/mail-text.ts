import type { AlertFacts, EventType } from '../contract/index.ts'
import { isObject, type Json, parseJson } from '../kernel/index.ts'
import type { Due } from './queue.ts'

/** Events as mails. Plain text, in the language that was asked for. */

const SUBJECTS: Readonly<Record<'en' | 'zh', Partial<Record<EventType, string>>>> = {
  en: {
    'alert.raised': 'Alert',
    'alert.resolved': 'Alert ended',
    'webhook.disabled': 'A webhook was disabled',
  },
  zh: { 'alert.raised': '告警', 'alert.resolved': '告警已解除', 'webhook.disabled': 'Webhook 已被停用' },
}

function dataOf(payload: string): Json {
  const parsed = parseJson(payload)
  return parsed.ok && isObject(parsed.value) ? (parsed.value['data'] ?? null) : null
}

const DISABLED = {
  en: (url: string) =>
    `Deliveries to ${url} have failed, and it was disabled. What was not delivered is kept.\n\nRepair the receiver, activate the webhook again and replay what failed (docs/webhooks.md).`,
  zh: (url: string) =>
    `向 ${url} 的投递持续失败，该 Webhook 已被停用。未送达的事件均已保留。\n\n请修复接收端，重新启用该 Webhook，然后重放失败的投递（docs/webhooks.md）。`,
}

export function mailOf({ type, payload, language }: Pick<Due, 'type' | 'payload' | 'language'>): {
  readonly subject: string
  readonly text: string
} {
  const data = dataOf(payload)
  const subject = `Tokens Forge: ${SUBJECTS[language][type] ?? type}`
  if (type === 'alert.raised' || type === 'alert.resolved') {
    const { text, alert, rule, subject: about } = data as AlertFacts
    return { subject: `${subject}: ${about}`, text: `${text[language]}\n\n${alert}, ${rule}` }
  }
  const url = isObject(data) && typeof data['url'] === 'string' ? data['url'] : ''
  return {
    subject,
    text: type === 'webhook.disabled' ? DISABLED[language](url) : JSON.stringify(data, null, 2),
  }
}
