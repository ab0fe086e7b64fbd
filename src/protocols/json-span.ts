/**
 * Finds where the members of a JSON object lie in its bytes, so that a few of them can be replaced and everything else
 * reaches the upstream byte for byte. Also the guard before JSON.parse: nesting and the number of values are bounded
 * here, in one pass that never recurses.
 */

import { parseJson } from '../kernel/index.ts'

export interface Span {
  readonly start: number
  readonly end: number
}

export interface ObjectSpans {
  /** Value spans of the outermost object's members; of a repeated name, the last. */
  readonly members: ReadonlyMap<string, Span>
  /** Names that occur more than once in the outermost object. */
  readonly repeated: readonly string[]
  /** Offset of the outermost object's closing brace; -1 when the bytes hold no object. */
  readonly closeAt: number
}

export type SpanResult =
  | { readonly ok: true; readonly spans: ObjectSpans }
  | { readonly ok: false; readonly reason: 'too_deep' | 'too_many_values' }

export interface SpanLimits {
  readonly depthMax: number
  readonly valuesMax: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c

/** Offset just behind the string that opens at `start`, or the length of the bytes when it does not close. */
function stringEnd(bytes: Buffer, start: number): number {
  for (let at = start + 1; ; at++) {
    at = bytes.indexOf(QUOTE, at)
    if (at === -1) return bytes.length
    let slashes = 0
    while (bytes[at - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return at + 1
  }
}

function trimEnd(bytes: Buffer, end: number): number {
  let at = end
  while (at > 0 && (bytes[at - 1] ?? 0) <= 0x20) at--
  return at
}

/** A key may be spelt with escapes: who reads the parsed object and who edits the bytes must mean the same member. */
function keyText(bytes: Buffer, start: number, end: number): string {
  const raw = bytes.toString('utf8', start, end)
  const parsed = raw.includes('\\') ? parseJson(raw) : null
  return parsed?.ok && typeof parsed.value === 'string' ? parsed.value : raw.slice(1, -1)
}

/** One walk over the bytes; malformed JSON gives some answer and is left to the parser to refuse. */
class Walker {
  readonly members = new Map<string, Span>()
  readonly repeated: string[] = []
  closeAt = -1
  private depth = 0
  private values = 0
  private key = ''
  private keySeen = false
  private valueStart = -1
  private readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  private closeMember(at: number): void {
    if (this.valueStart === -1) return
    if (this.members.has(this.key)) this.repeated.push(this.key)
    this.members.set(this.key, { start: this.valueStart, end: trimEnd(this.bytes, at) })
    this.valueStart = -1
    this.keySeen = false
  }

  private string(at: number): number {
    const end = stringEnd(this.bytes, at)
    if (this.depth === 1 && !this.keySeen && this.valueStart === -1) {
      this.key = keyText(this.bytes, at, end)
      this.keySeen = true
    } else this.begin(at)
    return end
  }

  /** A value of the outermost object starts here, if one is due. */
  private begin(at: number): void {
    if (this.depth === 1 && this.keySeen && this.valueStart < 0) this.valueStart = at
  }

  walk(limits: SpanLimits): SpanResult {
    const { bytes } = this
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0
      if (byte <= 0x20) continue
      if (byte === QUOTE) {
        at = this.string(at) - 1
      } else if (byte === 0x7b || byte === 0x5b) {
        this.begin(at)
        if (++this.depth > limits.depthMax) return { ok: false, reason: 'too_deep' }
        if (++this.values > limits.valuesMax) return { ok: false, reason: 'too_many_values' }
      } else if (byte === 0x7d || byte === 0x5d) {
        if (this.depth === 1) {
          this.closeMember(at)
          this.closeAt = at
        }
        this.depth--
      } else if (byte === COMMA) {
        if (this.depth === 1) this.closeMember(at)
        if (++this.values > limits.valuesMax) return { ok: false, reason: 'too_many_values' }
      } else if (byte !== COLON) this.begin(at)
    }
    return { ok: true, spans: { members: this.members, repeated: this.repeated, closeAt: this.closeAt } }
  }
}

export function objectSpans(bytes: Buffer, limits: SpanLimits): SpanResult {
  return new Walker(bytes).walk(limits)
}

/** Sets a member of the outermost object to JSON text: in place when it is there, else as a new last member. */
export interface MemberEdit {
  readonly name: string
  readonly json: string
}

/** @returns the same bytes but for the edited members; the input itself when there is nothing to edit */
export function spliceMembers(bytes: Buffer, spans: ObjectSpans, edits: readonly MemberEdit[]): Buffer {
  if (edits.length === 0) return bytes
  const placed = edits
    .map((edit) => {
      const span = spans.members.get(edit.name)
      return span === undefined
        ? {
            start: spans.closeAt,
            end: spans.closeAt,
            text: `${spans.members.size > 0 ? ',' : ''}${JSON.stringify(edit.name)}:${edit.json}`,
          }
        : { start: span.start, end: span.end, text: edit.json }
    })
    .sort((a, b) => a.start - b.start)
  const pieces: Buffer[] = []
  let from = 0
  for (const { start, end, text } of placed) {
    pieces.push(bytes.subarray(from, start), Buffer.from(text))
    from = end
  }
  pieces.push(bytes.subarray(from))
  return Buffer.concat(pieces)
}

/** As an edit, and `json: null` leaves the member out. */
export interface MemberChange {
  readonly name: string
  readonly json: string | null
}

/** The members written anew as one object: values that no change names keep their bytes, not the space around them. */
export function rewriteMembers(bytes: Buffer, spans: ObjectSpans, changes: readonly MemberChange[]): Buffer {
  const members = new Map<string, Buffer | string>()
  for (const [name, { start, end }] of spans.members) members.set(name, bytes.subarray(start, end))
  for (const { name, json } of changes) {
    if (json === null) members.delete(name)
    else members.set(name, json)
  }
  const pieces: Buffer[] = []
  for (const [name, value] of members) {
    const comma = pieces.length > 0 ? ',' : '{'
    pieces.push(Buffer.from(`${comma}${JSON.stringify(name)}:`), Buffer.from(value))
  }
  return Buffer.concat(pieces.length === 0 ? [Buffer.from('{}')] : [...pieces, Buffer.from('}')])
}
