import {
  type BudgetPeriod,
  type BudgetScope,
  ERRORS,
  type Policy,
  type RateMeasure,
  type ReceiptRateLimit,
  type Settlement,
} from '../contract/index.ts'
import type {
  AttemptFacts,
  BilledReason,
  CandidateReason,
  DecisionReason,
  NoChargeReason,
  ReceiptDocument,
  ReceiptFlag,
} from './document.ts'

/** Sentences from stored facts, in both languages. Pure: the same document always explains itself the same way. */

export type Language = 'en' | 'zh'
type Text = Readonly<Record<Language, string>>

export const POLICY_TEXT: Readonly<Record<Policy, Text>> = {
  ordinary_then_official: { en: 'ordinary first, then official', zh: '先普通线路，后官方线路' },
  official_then_ordinary: { en: 'official first, then ordinary', zh: '先官方线路，后普通线路' },
  official_only: { en: 'official routes only', zh: '只用官方线路' },
  ordinary_only: { en: 'ordinary routes only', zh: '只用普通线路' },
  cheapest: { en: 'the cheapest route', zh: '最便宜的线路' },
}

export const DECISION_TEXT: Readonly<Record<DecisionReason, Text>> = {
  asked_by_header: {
    en: 'the request asked for this route (x-tf-route)',
    zh: '请求通过 x-tf-route 指定了这条线路',
  },
  asked_by_suffix: {
    en: 'the request asked for this route (model suffix)',
    zh: '请求通过模型名后缀指定了这条线路',
  },
  policy: { en: 'the policy of the API key chose it', zh: '由 API 密钥的策略选定' },
  only_route: {
    en: 'it is the only route this key may use for the model',
    zh: '这是该密钥可用于此模型的唯一线路',
  },
  crossed_after_failure: {
    en: 'the route before it failed, and changing the balance was allowed beforehand',
    zh: '前一条线路失败，且事先允许更换余额',
  },
  crossed_for_balance: {
    en: 'the balance of the route before it was not enough, and changing the balance was allowed beforehand',
    zh: '前一条线路的余额不足，且事先允许更换余额',
  },
  crossed_for_budget: {
    en: 'a budget of the route before it was used up, and changing the balance was allowed beforehand',
    zh: '前一条线路的预算已用完，且事先允许更换余额',
  },
  crossed_for_rate_limit: {
    en: 'a rate limit of the route before it was reached, and changing the balance was allowed beforehand',
    zh: '前一条线路已达到速率限额，且事先允许更换余额',
  },
  next_route_after_failure: {
    en: 'the route before it failed; this one is paid from the same balance',
    zh: '前一条线路失败；此线路由同一余额支付',
  },
  none: { en: 'no route was chosen', zh: '未选择线路' },
}

export const CANDIDATE_TEXT: Readonly<Record<CandidateReason, Text>> = {
  served: { en: 'served the request', zh: '完成了请求' },
  failed: { en: 'failed', zh: '失败' },
  first_served: { en: 'not needed: an earlier channel served', zh: '无需使用：前面的渠道已完成' },
  attempts_used_up: { en: 'the attempt limit was reached', zh: '已达到尝试次数上限' },
  caller_left: { en: 'the caller had gone', zh: '调用方已离开' },
  output_had_begun: {
    en: 'too late: a part of the answer had been delivered',
    zh: '为时已晚：部分答复已送达',
  },
  crossing_not_allowed: { en: 'charges another balance, which was not allowed', zh: '需更换余额，未获允许' },
  route_not_asked_for: { en: 'the request asked for another route', zh: '请求指定了其他线路' },
  policy_excludes: { en: 'the policy of the key excludes it', zh: '密钥策略不允许' },
  key_excludes: { en: 'the key may not use it', zh: '密钥不可使用' },
  bucket_excluded: { en: 'the key may not spend from its balance', zh: '密钥不可使用该线路的余额' },
  balance_insufficient: { en: 'the balance was not enough', zh: '余额不足' },
  budget_exceeded: { en: 'a budget was used up', zh: '预算已用完' },
  rate_limited: { en: 'a rate limit was reached', zh: '已达到速率限额' },
  request_refused: { en: 'the request was refused before', zh: '请求在此之前已被拒绝' },
  cannot_translate: { en: 'its wire format cannot express the request', zh: '其协议无法表达该请求' },
}

export const BILLED_TEXT: Readonly<Record<BilledReason, Text>> = {
  answer_delivered: { en: 'the answer was delivered', zh: '答复已送达' },
  part_delivered: { en: 'a part of the answer was delivered', zh: '部分答复已送达' },
  nothing_delivered: { en: 'nothing was delivered', zh: '没有送达任何内容' },
  empty_answer: { en: 'the answer was empty', zh: '答复为空' },
  reported_nothing: { en: 'the provider reported no tokens', zh: '服务商报告的用量为零' },
}

export const NO_CHARGE_TEXT: Readonly<Record<NoChargeReason, Text>> = {
  refused: {
    en: 'the request was refused before anything was sent to a provider',
    zh: '请求在发送给服务商之前已被拒绝',
  },
  nothing_delivered: { en: 'no output reached you', zh: '没有任何输出送达' },
  empty_completion: {
    en: 'the answer was empty: no text, no tool call',
    zh: '答复为空：没有文本也没有工具调用',
  },
  client_left_before_output: {
    en: 'the connection was closed by the caller before a provider had accepted the request',
    zh: '调用方在服务商接受请求之前关闭了连接',
  },
  reported_nothing: { en: 'the provider reported that no tokens were used', zh: '服务商报告未使用任何词元' },
  price_is_zero: { en: 'the price of this route is zero', zh: '此线路价格为零' },
  nothing_provable: {
    en: 'the gateway stopped while the request ran, and nothing it delivered can be proven',
    zh: '请求进行中网关停止，无法证明已送达的内容',
  },
  replayed: {
    en: 'this is a retry of a request whose answer was kept, and that request paid for it',
    zh: '这是一次重试：答复取自已保存的原请求，费用由原请求承担',
  },
}

export const SETTLEMENT_TEXT: Readonly<Record<Settlement, Text>> = {
  completed_reported: {
    en: 'completed; charged by the usage the provider reported',
    zh: '已完成；按服务商报告的用量计费',
  },
  completed_estimated: {
    en: 'completed; the provider reported no usable usage, so it was counted here (estimated)',
    zh: '已完成；服务商未提供可用的用量，由网关自行计数（估算）',
  },
  completed_bounded: {
    en: 'completed; the reported usage is impossible and was capped at what can be proven',
    zh: '已完成；报告的用量不可能成立，已按可证明的上限计',
  },
  empty_completion: { en: 'completed with an empty answer', zh: '已完成，但答复为空' },
  failed_before_output: { en: 'failed before any output', zh: '在任何输出之前失败' },
  failed_after_output: {
    en: 'the provider failed after a part of the answer had reached you; charged for that part, the input once',
    zh: '部分答复送达后服务商失败；只对已送达部分计费，输入只计一次',
  },
  client_left_before_output: {
    en: 'the caller left before a provider had accepted the request',
    zh: '调用方在服务商接受请求前离开',
  },
  client_left: {
    en: 'the caller left; charged for what had been generated by then',
    zh: '调用方离开；按当时已生成的内容计费',
  },
  cut_at_limit: {
    en: 'cut at the limit that the balance or a budget could pay for',
    zh: '在余额或预算可支付的上限处截断',
  },
  refused: { en: 'refused', zh: '已拒绝' },
  recovered: {
    en: 'the gateway stopped while the request ran; settled afterwards from the stored hold',
    zh: '请求进行中网关停止；事后依据已存的预留结算',
  },
  replayed: { en: 'the stored answer was given again', zh: '再次返回已保存的答复' },
}

const FLAG_TEXT: Readonly<Record<ReceiptFlag, Text>> = {
  usage_impossible: { en: 'the provider reported impossible usage', zh: '服务商报告了不可能的用量' },
  usage_invalid: { en: 'the reported usage was malformed', zh: '报告的用量格式错误' },
  usage_missing: { en: 'the provider reported no usage', zh: '服务商未报告用量' },
  usage_zero_with_output: {
    en: 'the provider reported zero tokens for an answer with content',
    zh: '答复有内容但报告用量为零',
  },
  output_not_reported: {
    en: 'the provider reported the input only; the output was counted here',
    zh: '服务商只报告了输入用量；输出由网关自行计数',
  },
  usage_total_mismatch: { en: 'the reported total differs from its parts', zh: '报告的总量与各部分不符' },
  cached_exceeds_input: { en: 'more cached tokens than input were reported', zh: '报告的缓存词元多于输入' },
  reasoning_outside_output: {
    en: 'reasoning was reported beside the output and added to it',
    zh: '推理词元在输出之外报告，已计入输出',
  },
  cache_write_split_lost: {
    en: 'the provider did not say how cache writes split by lifetime; priced as five-minute writes',
    zh: '服务商未说明缓存写入的时长拆分，按 5 分钟写入计价',
  },
  provider_repriced: {
    en: 'the provider gave a fallback credit that counts alone cannot show',
    zh: '服务商给予了回退抵扣，仅凭用量无法体现',
  },
  other_models_used: {
    en: 'other models took part in the answer and are priced as their own',
    zh: '其他模型参与了答复，按各自价格计费',
  },
  reasoning_inside_output: {
    en: 'reasoning was reported inside the output where it usually is beside',
    zh: '推理词元报告在输出之内，而通常在输出之外',
  },
  cached_modalities_unknown: {
    en: 'which cached tokens were text and which media was not reported',
    zh: '未报告缓存词元中文本与媒体各占多少',
  },
  media_overlaps_cache: {
    en: 'reported media and cached tokens overlap',
    zh: '报告的媒体词元与缓存词元有重叠',
  },
  image_generation_beside: {
    en: 'images were generated beside the answer and reported apart',
    zh: '答复之外另有图像生成，单独报告',
  },
  web_searches_counted: { en: 'web searches were counted from the answer', zh: '网络搜索次数由答复内容计得' },
  written_off: {
    en: 'the part above the hold was written off to the operator',
    zh: '超出预留的部分由运营方承担',
  },
  model_mismatch: {
    en: 'the provider served another model than was asked for',
    zh: '服务商返回的模型与请求不符',
  },
  cut_at_limit: { en: 'the stream was cut at its limit', zh: '输出流在上限处被截断' },
}

const number = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',')

function roleText(role: string, language: Language): string {
  if (language === 'en') return role === 'primary' ? 'the primary channel' : role
  return role === 'primary' ? '主渠道' : role.replace('backup', '备用渠道')
}

/** How an attempt ended, for people: a status code or a kind of failure. */
function outcome(attempt: AttemptFacts, language: Language): string {
  if (attempt.result === 'cancelled') return language === 'en' ? 'was cancelled' : '已取消'
  if (attempt.result === 'timeout') return language === 'en' ? 'did not answer in time' : '未及时答复'
  if (attempt.status !== undefined && attempt.status >= 300)
    return language === 'en' ? `answered ${attempt.status}` : `返回 ${attempt.status}`
  return language === 'en' ? `failed (${attempt.code ?? 'error'})` : `失败（${attempt.code ?? '错误'}）`
}

function attemptsSentence(doc: ReceiptDocument, language: Language): string {
  const failed = doc.attempts.filter((attempt) => attempt.result !== 'ok' && attempt.next !== 'none')
  const last = doc.attempts.at(-1)
  if (last === undefined) return ''
  const name = (attempt: AttemptFacts): string => `${roleText(attempt.role, language)} ${attempt.public}`
  if (language === 'en') {
    const trail = failed.map((attempt) => `${name(attempt)} ${outcome(attempt, language)}`).join(', ')
    const end =
      last.result === 'ok'
        ? `${name(last)} served it`
        : last.next === 'none' && !failed.includes(last)
          ? `${name(last)} ${outcome(last, language)}`
          : ''
    const told = [trail, end].filter(Boolean).join('; then ')
    return ` ${told.charAt(0).toUpperCase()}${told.slice(1)}.`
  }
  const trail = failed.map((attempt) => `${name(attempt)} ${outcome(attempt, language)}`).join('，')
  const end =
    last.result === 'ok'
      ? `由${name(last)} 完成`
      : failed.includes(last)
        ? ''
        : `${name(last)} ${outcome(last, language)}`
  return `${[trail, end].filter(Boolean).join('；随后')}。`
}

function moneySentence(doc: ReceiptDocument, language: Language): string {
  const { charge, decision } = doc
  if (charge === undefined) {
    const reason = doc.noCharge === undefined ? '' : NO_CHARGE_TEXT[doc.noCharge][language]
    return language === 'en' ? `Nothing was charged: ${reason}.` : `未扣费：${reason}。`
  }
  const bucket = decision?.bucketName ?? charge.bucket
  return language === 'en'
    ? `${bucket} paid ${charge.currency} ${charge.total}, because the ${decision?.type ?? ''} route "${decision?.route ?? ''}" of ${doc.model ?? ''} charges ${bucket}.`
    : `由「${bucket}」支付 ${charge.currency} ${charge.total}，因为 ${doc.model ?? ''} 的${decision?.type === 'official' ? '官方' : '普通'}线路「${decision?.route ?? ''}」从「${bucket}」扣费。`
}

function choiceSentence(doc: ReceiptDocument, language: Language): string {
  const decision = doc.decision
  if (decision === undefined || decision.route === undefined) return ''
  const why = DECISION_TEXT[decision.reason][language]
  const policy = decision.reason === 'policy' ? POLICY_TEXT[decision.policy][language] : ''
  if (language === 'en') return ` Route: ${why}${policy === '' ? '' : ` (${policy})`}.`
  return `线路：${why}${policy === '' ? '' : `（${policy}）`}。`
}

function usageSentence(doc: ReceiptDocument, language: Language): string {
  const usage = doc.usage
  if (usage === undefined) return ''
  const cached = usage.counts.cache_read ?? 0
  const written = (usage.counts.cache_write_5m ?? 0) + (usage.counts.cache_write_1h ?? 0)
  const input = (usage.counts.input ?? 0) + (usage.counts.input_audio ?? 0) + (usage.counts.input_image ?? 0)
  const output = (usage.counts.output ?? 0) + (usage.counts.output_audio ?? 0)
  if (language === 'en') {
    const cache = `${cached > 0 ? `, ${number(cached)} read from cache` : ''}${written > 0 ? `, ${number(written)} written to cache` : ''}`
    return ` Tokens: ${number(input)} input${cache}, ${number(output)} output (${usage.source}).`
  }
  const source = { reported: '服务商报告', derived: '推算', estimated: '估算', unknown: '未知' }[usage.source]
  const cache = `${cached > 0 ? `，缓存读取 ${number(cached)}` : ''}${written > 0 ? `，缓存写入 ${number(written)}` : ''}`
  return `词元：输入 ${number(input)}${cache}，输出 ${number(output)}（${source}）。`
}

/** Nothing is decided about a request that runs but where it runs and what is set aside for it. */
function explainPending(doc: ReceiptDocument, language: Language): string {
  const { hold, decision } = doc
  const bucket = decision?.bucketName ?? hold?.bucket ?? ''
  const money = hold === undefined ? '' : `${hold.currency} ${hold.amount}`
  if (language === 'en')
    return `The request is running${money === '' ? '' : `: ${money} of ${bucket} is set aside for it`}. What it costs is decided when it ends.${choiceSentence(doc, language)}`
  return `请求正在进行${money === '' ? '' : `：已从「${bucket}」预留 ${money}`}。费用在结束时确定。${choiceSentence(doc, language)}`
}

function flagsSentence(doc: ReceiptDocument, language: Language): string {
  const told = (doc.flags ?? []).map((flag) => FLAG_TEXT[flag][language])
  if (told.length === 0) return ''
  return language === 'en' ? ` Note: ${told.join('; ')}.` : `备注：${told.join('；')}。`
}

/** Only what was answered, in whole or in part, has an origin to tell. */
function sandboxSentence(doc: ReceiptDocument, language: Language): string {
  if (doc.sandbox !== true) return ''
  const answered = doc.status === 'completed' || doc.charge !== undefined
  if (language === 'en')
    return answered
      ? ' The answer came from the built-in sandbox, not from a model.'
      : ' The route leads to the built-in sandbox, not to a model.'
  return answered ? '答复来自内置沙盒，而非真实模型。' : '该路线通向内置沙盒，而非真实模型。'
}

const SCOPE_TEXT: Readonly<Record<BudgetScope, Text>> = {
  organization: { en: 'organization', zh: '组织' },
  project: { en: 'project', zh: '项目' },
  key: { en: 'API key', zh: 'API 密钥' },
  route: { en: 'route', zh: '线路' },
  run: { en: 'run', zh: '任务' },
}
const PERIOD_TEXT: Readonly<Record<BudgetPeriod, Text>> = {
  day: { en: 'daily', zh: '每日' },
  week: { en: 'weekly', zh: '每周' },
  month: { en: 'monthly', zh: '每月' },
  total: { en: 'total', zh: '总' },
}

const MEASURE_TEXT: Readonly<Record<RateMeasure, Text>> = {
  requests_per_minute: { en: 'requests a minute', zh: '每分钟请求数' },
  tokens_per_minute: { en: 'tokens a minute', zh: '每分钟令牌数' },
  concurrency: { en: 'requests at one time', zh: '并发请求数' },
}

function rateSentence(limit: ReceiptRateLimit, language: Language): string {
  const { amount, used, needed, resets_at } = limit
  const [scope, measure] = [SCOPE_TEXT[limit.scope][language], MEASURE_TEXT[limit.measure][language]]
  return language === 'en'
    ? ` Limit: the ${scope} allows ${amount} ${measure}; ${used} was used and this request needed ${needed}. Try again from ${resets_at}.`
    : `限额：${scope}的${measure}上限为 ${amount}，已用 ${used}，本次请求需要 ${needed}。可于 ${resets_at} 后重试。`
}

/** What stopped or shortened the request, and when there is room again. */
function limitSentence({ limit }: ReceiptDocument, language: Language): string {
  if (limit === undefined) return ''
  if ('rate_limit' in limit) return rateSentence(limit, language)
  if (limit.period === 'request')
    return language === 'en'
      ? ` Limit: the API key allows at most ${limit.currency} ${limit.amount} for one request.`
      : `限额：该 API 密钥每次请求最多 ${limit.currency} ${limit.amount}。`
  const [scope, period] = [SCOPE_TEXT[limit.scope][language], PERIOD_TEXT[limit.period][language]]
  const { currency, amount, used, held, resets_at } = limit
  if (language === 'en')
    return ` Limit: the ${period} budget of the ${scope} is ${currency} ${amount}; ${used} was used and ${held} held by running requests.${resets_at === null ? '' : ` It resets at ${resets_at}.`}`
  return `限额：${scope}的${period}预算为 ${currency} ${amount}，已用 ${used}，进行中的请求预留 ${held}。${resets_at === null ? '' : `将于 ${resets_at} 重置。`}`
}

function replaySentence({ replayOf }: ReceiptDocument, language: Language): string {
  if (replayOf === undefined) return ''
  return language === 'en' ? ` It repeats ${replayOf}.` : `原请求：${replayOf}。`
}

function explainIn(doc: ReceiptDocument, language: Language): string {
  if (doc.status === 'pending') return explainPending(doc, language)
  const ending = SETTLEMENT_TEXT[doc.settlement][language]
  const end =
    doc.settlement === 'refused' ? '' : language === 'en' ? ` Ending: ${ending}.` : `结束方式：${ending}。`
  const refusal =
    doc.error === undefined
      ? ''
      : language === 'en'
        ? ` Reason: ${doc.error.message}`
        : `原因：${doc.error.message}`
  return `${moneySentence(doc, language)}${replaySentence(doc, language)}${choiceSentence(doc, language)}${attemptsSentence(doc, language)}${usageSentence(doc, language)}${end}${flagsSentence(doc, language)}${refusal}${limitSentence(doc, language)}${sandboxSentence(doc, language)}`.trim()
}

export function explain(doc: ReceiptDocument): Text {
  return { en: explainIn(doc, 'en'), zh: explainIn(doc, 'zh') }
}

/** What the caller can do next; null when there is nothing to do. */
export function nextStep(doc: ReceiptDocument): string | null {
  return doc.error === undefined ? null : ERRORS[doc.error.code].hint
}
