import { isObject, parseJson } from '../../kernel/index.ts'

/**
 * The free text of a custom tool, out of the arguments of the function that stands for it: `{"input":"…"}`, piece by
 * piece as the model writes it. A model that writes something else is taken at its word.
 */

const OPENING = /^\s*\{\s*"input"\s*:\s*"/
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Models forget to escape line ends and tabs; what is left is as it stands. */
function unescaped(text: string): string {
  let escaped = ''
  for (const character of text)
    escaped += character < ' ' ? JSON.stringify(character).slice(1, -1) : character
  const parsed = parseJson(`"${escaped}"`)
  return parsed.ok && typeof parsed.value === 'string' ? parsed.value : text
}

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code < 0xdc00

export class CustomInput {
  private raw = ''
  /** Offset of what is not yet told; -1 until the text begins. */
  private at = -1
  private closed = false
  /** Half of a character that was written as two escapes. */
  private half = ''
  private told = ''

  /** @returns the text that this fragment adds */
  push(fragment: string): string {
    this.raw += fragment
    if (this.at === -1) {
      const opening = OPENING.exec(this.raw)
      if (opening === null) return ''
      this.at = opening[0].length
    }
    if (this.closed) return ''
    const end = this.wholeEnd()
    const text = this.half + unescaped(this.raw.slice(this.at, end))
    this.at = end
    const cut = isHighSurrogate(text.charCodeAt(text.length - 1)) && !this.closed ? 1 : 0
    this.half = text.slice(text.length - cut)
    return this.tell(text.slice(0, text.length - cut))
  }

  /** @returns what is left when nothing more comes */
  end(): string {
    if (this.at !== -1) {
      const { half } = this
      this.half = ''
      return this.tell(half)
    }
    const parsed = parseJson(this.raw)
    const input = parsed.ok && isObject(parsed.value) ? parsed.value['input'] : undefined
    return this.tell(typeof input === 'string' ? input : this.raw)
  }

  /** All of it so far. */
  get text(): string {
    return this.told
  }

  private tell(text: string): string {
    this.told += text
    return text
  }

  /** Offset behind the last escape that is whole, or of the closing quote. */
  private wholeEnd(): number {
    const { raw } = this
    let end = this.at
    while (end < raw.length) {
      const code = raw.charCodeAt(end)
      if (code === QUOTE) {
        this.closed = true
        return end
      }
      if (code !== BACKSLASH) {
        end++
        continue
      }
      const length = raw[end + 1] === 'u' ? 6 : 2
      if (end + length > raw.length) return end
      end += length
    }
    return end
  }
}

export function customInput(argumentsText: string): string {
  const input = new CustomInput()
  input.push(argumentsText)
  input.end()
  return input.text
}
