import { createPicker } from './tokens.ts'

export type Language = 'en' | 'zh'

const ECHO_CHARS = 80
const SENTENCE_WORDS = 9
const PDF = 'application/pdf'

const ENGLISH =
  `a river carries small boats past the old mill while morning light settles on quiet roofs and someone
opens a window to hear bread being sold below every gate has its keeper each road a name and maps are drawn again
when the snow is gone travellers count their coins twice before supper then tell the truth about how far they came`
    .split(/\s+/)
    .filter((word) => word !== '')

const CHINESE = [
  ...'晨光落在河面小船慢慢驶过旧磨坊有人推开窗听见街上叫卖声远山还留着雪旅人数好盘缠写下今天走过的路',
]

const EN_CLOSERS = [
  'Add a channel with your own provider key and the same request reaches a real model.',
  'Tokens are counted here as they would be for a real model, so the receipt is a real receipt.',
  'Nothing left this machine; set up a channel when you are ready for real answers.',
  'Try max_tokens, tools or streaming next: the sandbox plays along.',
]

const ZH_CLOSERS = [
  '接入您自己的渠道后，同样的请求就会由真实模型回答。',
  '这里照样计量词元，因此您看到的账单格式与真实请求一致。',
  '没有任何内容离开本机；准备好之后再配置渠道即可。',
  '还可以试试流式输出、工具调用或限制输出长度。',
]

/** The first words of what was asked, on one line. */
function echoOf(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  const chars = [...line.slice(0, ECHO_CHARS * 2)]
  return chars.length > ECHO_CHARS ? `${chars.slice(0, ECHO_CHARS).join('')}…` : line
}

export function plainAnswer(
  language: Language,
  asked: string,
  /** Media types of what came with the text. */
  seenTypes: readonly string[],
  seed: number,
): string {
  const echo = echoOf(asked)
  const pick = createPicker(seed)
  if (language === 'zh') {
    const noun = seenTypes.includes(PDF) ? '个附件' : '张图片'
    const seen =
      seenTypes.length === 0 ? '' : `我看到 ${seenTypes.length} ${noun}（${seenTypes.join('、')}）。`
    const said = `您说的是：“${echo}”。`
    return `您好，这里是 Tokens Forge 沙盒，没有调用真实模型。${said}${seen}${ZH_CLOSERS[pick(ZH_CLOSERS.length)]}`
  }
  const noun = `${seenTypes.includes(PDF) ? 'attachment' : 'image'}${seenTypes.length === 1 ? '' : 's'}`
  const seen = seenTypes.length === 0 ? '' : ` I see ${seenTypes.length} ${noun} (${seenTypes.join(', ')}).`
  const said = echo === '' ? 'You sent no text.' : `You asked: "${echo}"`
  const hello = 'Hello from the Tokens Forge sandbox; no real model was called.'
  return `${hello} ${said}${seen} ${EN_CLOSERS[pick(EN_CLOSERS.length)]}`
}

export function toolAnswer(language: Language, result: string): string {
  return language === 'zh'
    ? `这里是 Tokens Forge 沙盒。工具返回的结果是：${echoOf(result)}`
    : `The Tokens Forge sandbox read what your tool returned: ${echoOf(result)}`
}

export function reasoningText(language: Language, asked: string): string {
  return language === 'zh'
    ? `用户在问：“${echoOf(asked)}”。我是沙盒，不会真的推理，只需说明这一点并简短作答。`
    : `The user asks: "${echoOf(asked)}". I am a sandbox and do not really think; I will say so and answer in short.`
}

export function refusalText(language: Language): string {
  return language === 'zh'
    ? '这里是 Tokens Forge 沙盒：按要求，我拒绝回答这个问题。'
    : 'This is the Tokens Forge sandbox: I was told to refuse, so I will not answer that.'
}

/** Text of exactly `words` words (Chinese: characters), the same for the same seed. */
export function longText(language: Language, words: number, seed: number): string {
  const intro = language === 'zh' ? [...'沙盒文章：'] : ['The', 'Tokens', 'Forge', 'sandbox', 'writes:']
  const flow = wordFlow(language, seed)
  const out = words > intro.length * 2 ? [...intro] : []
  while (out.length < words) out.push(flow())
  return language === 'zh' ? out.join('') : out.join(' ')
}

/** Words without end; for a stream that ignores its limit. */
export function wordFlow(language: Language, seed: number): () => string {
  const pick = createPicker(seed)
  const words = language === 'zh' ? CHINESE : ENGLISH
  let written = 0
  return () => {
    const word = words[pick(words.length)] ?? ''
    const place = written++ % SENTENCE_WORDS
    if (language === 'zh') return word
    if (place === 0) return `${word.charAt(0).toUpperCase()}${word.slice(1)}`
    return place === SENTENCE_WORDS - 1 ? `${word}.` : word
  }
}

const EN_WORDS = /\b(?:write|say|give|output|generate)\s+(?:\w+\s+){0,8}?(\d{1,6})(?:\s+|-)words?\b/i
const ZH_WORDS = /(?:写|输出|生成|说)[^\d]{0,8}(\d{1,6})\s*个?(?:汉字|字|词)/

/** @returns how many words the text asks for ("write 200 words", "写 200 字"), or null */
export function wordsAsked(text: string): number | null {
  const match = EN_WORDS.exec(text) ?? ZH_WORDS.exec(text)
  return match?.[1] === undefined ? null : Number.parseInt(match[1], 10)
}
