import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The literal regular expressions of the product, found by reading the source as a scanner would. */

export interface Literal {
  readonly at: string
  readonly source: string
  readonly flags: string
}

const ROOT = join(import.meta.dirname, '../..')

/** After these a slash begins an expression; after anything else it divides. */
const BEFORE = new Set(['', '(', ',', '=', ':', '[', '!', '&', '|', '?', '{', '}', ';', '>', '+', '<'])
const WORDS = /(?:^|[^\w$.])(?:return|typeof|case|of|in|await|throw|else)$/

class Scanner {
  private readonly path: string
  private readonly text: string
  private at = 0
  /** What stands before the place, without space and comments. */
  private behind = ''
  readonly found: Literal[] = []

  constructor(path: string, text: string) {
    this.path = path
    this.text = text
  }

  scan(until = ''): void {
    while (this.at < this.text.length) {
      const char = this.text[this.at] ?? ''
      if (until !== '' && char === until) return
      if (/\s/.test(char)) this.at++
      else if (this.text.startsWith('//', this.at)) this.skipTo('\n')
      else if (this.text.startsWith('/*', this.at)) this.skipTo('*/')
      else if (char === '"' || char === "'") this.quoted(char)
      else if (char === '`') this.template()
      else if (char === '/' && this.beginsHere()) this.literal()
      else if (char === '{' && until !== '') this.nested()
      else this.take(char)
    }
  }

  private take(char: string): void {
    this.behind = `${this.behind}${char}`.slice(-12)
    this.at++
    // Two words that only space keeps apart are two.
    if (/\w/.test(char) && /\s/.test(this.text[this.at] ?? '')) this.behind = `${this.behind} `.trimStart()
  }

  private beginsHere(): boolean {
    const behind = this.behind.trimEnd()
    return BEFORE.has(behind.at(-1) ?? '') || WORDS.test(behind)
  }

  private skipTo(end: string): void {
    const found = this.text.indexOf(end, this.at)
    this.at = found === -1 ? this.text.length : found + end.length
  }

  private quoted(quote: string): void {
    for (this.at++; this.text[this.at] !== quote; this.at++) if (this.text[this.at] === '\\') this.at++
    this.at++
    this.behind = '"'
  }

  private template(): void {
    for (this.at++; this.at < this.text.length && this.text[this.at] !== '`'; this.at++) {
      if (this.text[this.at] === '\\') this.at++
      else if (this.text.startsWith('${', this.at)) {
        this.at += 2
        this.behind = ''
        this.scan('}')
      }
    }
    this.at++
    this.behind = '"'
  }

  /** Braces inside of a template's hole. */
  private nested(): void {
    this.at++
    this.behind = '{'
    this.scan('}')
    this.take('}')
  }

  private literal(): void {
    const begin = this.at
    let inClass = false
    for (this.at++; this.at < this.text.length; this.at++) {
      const char = this.text[this.at]
      if (char === '\\') this.at++
      else if (char === '[') inClass = true
      else if (char === ']') inClass = false
      else if (char === '/' && !inClass) break
      else if (char === '\n') throw new Error(`no end of the expression at ${this.place(begin)}`)
    }
    const source = this.text.slice(begin + 1, this.at)
    const flags = /^[a-z]*/.exec(this.text.slice(this.at + 1))?.[0] ?? ''
    this.at += 1 + flags.length
    this.behind = '"'
    this.found.push({ at: this.place(begin), source, flags })
  }

  private place(at: number): string {
    return `${this.path}:${this.text.slice(0, at).split('\n').length}`
  }
}

export function literalsOf(path: string, text: string): readonly Literal[] {
  const scanner = new Scanner(path, text)
  scanner.scan()
  return scanner.found
}

export function productSources(): ReadonlyArray<readonly [path: string, text: string]> {
  return globSync('src/**/*.ts', { cwd: ROOT })
    .filter((path) => !path.endsWith('.test.ts'))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((path) => [path, readFileSync(join(ROOT, path), 'utf8')] as const)
}
