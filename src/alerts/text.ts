import type { AlertScope, Language, RuleKind } from '../contract/index.ts'
import { formatId, type IdPrefix, isUuid } from '../kernel/index.ts'
import type { Figures, Rule } from './records.ts'

/** What an alert says: the figures, and what to do. Each kind has its sentences in both languages. */

const PREFIXES: Readonly<Partial<Record<AlertScope, IdPrefix>>> = {
  organization: 'org',
  project: 'prj',
  key: 'key',
  run: 'run',
}

export function scopeOf(rule: Rule): AlertScope | 'bucket' {
  return rule.kind === 'balance' ? 'bucket' : rule.parameters.scope
}

/** The subject as it is shown. */
export function shownSubject(rule: Rule, subject: string): string {
  const scope = scopeOf(rule)
  const prefix = scope === 'bucket' ? undefined : PREFIXES[scope]
  return prefix === undefined || !isUuid(subject) ? subject : formatId(prefix, subject)
}

type Sentence = (about: string, figures: Figures) => string

const SCOPES: Readonly<Record<Language, Readonly<Record<AlertScope | 'bucket', string>>>> = {
  en: {
    organization: 'Organization',
    project: 'Project',
    key: 'API key',
    model: 'Model',
    route: 'Route',
    run: 'Run',
    bucket: 'Balance',
  },
  zh: {
    organization: '组织',
    project: '项目',
    key: 'API 密钥',
    model: '模型',
    route: '线路',
    run: '运行',
    bucket: '余额',
  },
}

const money = (figures: Figures, name: string): string =>
  `${figures[name] ?? 0} ${figures['currency'] ?? ''}`.trim()
const span = (figures: Figures, language: Language): string => {
  const minutes = figures['window_minutes'] ?? 60
  if (minutes === 1440) return language === 'en' ? '24 hours' : '24 小时'
  return language === 'en' ? `${minutes} minutes` : `${minutes} 分钟`
}

const RAISED: Readonly<Record<RuleKind, Readonly<Record<Language, Sentence>>>> = {
  spend: {
    en: (about, f) =>
      `${about} spent ${money(f, 'spent')} of ${f['bucket']} in the last ${span(f, 'en')}, in ${f['requests']} requests; the limit of the rule is ${money(f, 'limit')}. Look at the receipts of that time; to stop it, pause the key or set a hard budget.`,
    zh: (about, f) =>
      `${about}在最近 ${span(f, 'zh')}内通过 ${f['requests']} 个请求消费了 ${f['bucket']} ${money(f, 'spent')}，规则上限为 ${money(f, 'limit')}。请查看这段时间的收据；如需停止，可暂停密钥或设置硬性预算。`,
  },
  balance: {
    en: (about, f) =>
      `${about} has ${money(f, 'available')} available, less than ${money(f, 'limit')}. Add money, or requests that are paid from it will be refused when it is spent.`,
    zh: (about, f) =>
      `${about}可用金额为 ${money(f, 'available')}，低于 ${money(f, 'limit')}。请充值，否则耗尽后由该余额支付的请求将被拒绝。`,
  },
  velocity: {
    en: (about, f) =>
      `${about} spent ${money(f, 'spent')} of ${f['bucket']} in the last 60 minutes; usual for this time is ${money(f, 'usual')} (median of ${f['hours']} hours), and more than ${money(f, 'limit')} is unusual. If nobody meant to, look for a key that leaked or a loop, and pause the key.`,
    zh: (about, f) =>
      `${about}在最近 60 分钟内消费了 ${f['bucket']} ${money(f, 'spent')}；此时段通常为 ${money(f, 'usual')}（${f['hours']} 个小时的中位数），超过 ${money(f, 'limit')} 即为异常。若非有意为之，请检查密钥是否泄露或程序是否陷入循环，并暂停密钥。`,
  },
  failure_rate: {
    en: (about, f) =>
      `${about}: ${f['failed']} of ${f['requests']} requests failed in the last ${span(f, 'en')} (${f['percent']} %; the rule says ${f['limit']} %). Failures are not charged. Look at the errors of the receipts, and allow a route or a backup channel that works.`,
    zh: (about, f) =>
      `${about}：最近 ${span(f, 'zh')}内 ${f['requests']} 个请求中有 ${f['failed']} 个失败（${f['percent']}%，规则为 ${f['limit']}%）。失败不收费。请查看收据中的错误，并允许可用的线路或备用通道。`,
  },
  fallback_rate: {
    en: (about, f) =>
      `${about}: ${f['fallbacks']} of ${f['requests']} requests were answered by another channel than the first in the last ${span(f, 'en')} (${f['percent']} %; the rule says ${f['limit']} %). Answers still come; look at the first channel before the backup fails too.`,
    zh: (about, f) =>
      `${about}：最近 ${span(f, 'zh')}内 ${f['requests']} 个请求中有 ${f['fallbacks']} 个由首选以外的通道应答（${f['percent']}%，规则为 ${f['limit']}%）。服务仍可用；请在备用通道也失效之前检查首选通道。`,
  },
  latency: {
    en: (about, f) =>
      `${about}: one of twenty requests took ${f['p95_ms']} ms or longer in the last ${span(f, 'en')} (${f['requests']} requests; the rule says ${f['limit']} ms). Compare routes and channels on the receipts.`,
    zh: (about, f) =>
      `${about}：最近 ${span(f, 'zh')}内有二十分之一的请求耗时达到或超过 ${f['p95_ms']} 毫秒（共 ${f['requests']} 个请求，规则为 ${f['limit']} 毫秒）。请在收据上比较各线路和通道。`,
  },
}

const RESOLVED: Readonly<Record<Language, string>> = {
  en: 'This is over. It was: ',
  zh: '已恢复正常。此前情况：',
}

export function textOf(
  rule: Rule,
  subject: string,
  figures: Figures,
  resolved: boolean,
): Readonly<Record<Language, string>> {
  const one = (language: Language): string => {
    const about = `${SCOPES[language][scopeOf(rule)]} ${shownSubject(rule, subject)}`
    const sentence = RAISED[rule.kind][language](about, figures)
    return resolved ? `${RESOLVED[language]}${sentence}` : sentence
  }
  return { en: one('en'), zh: one('zh') }
}
