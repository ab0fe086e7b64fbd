import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isObject, parseJson } from '../../src/kernel/index.ts'
import type { ProtocolName } from '../../src/protocols/protocol.ts'
import type { Format } from './registry.ts'

/**
 * What providers answered, as files: our own fixtures always, and recordings beside the checkout where they are. A file
 * is a stream (`*.sse` as it came, `*.chunks.txt` with one data payload a line) or a whole body (`*.json`).
 */

export interface Recording {
  /** For test names: folder and file. */
  readonly label: string
  readonly file: string
  readonly recorded: boolean
  readonly kind: 'answer' | 'stream'
  readonly text: string
}

const ROOT = join(import.meta.dirname, '../..')
const FIXTURES = join(ROOT, 'test/fixtures')
const SAMPLES = join(ROOT, '../shared/wire-samples')

export const HAS_SAMPLES: boolean = existsSync(SAMPLES)

/** Which format a recording is of, by how its name begins; null for what is no answer of a model. */
function protocolOf(file: string): ProtocolName | null {
  if (/^(?:client-requests|INDEX)|embedding|count-tokens/.test(file)) return null
  if (file.startsWith('openai-responses-') || file === 'deepseek-responses-400.json')
    return 'openai-responses'
  if (file.startsWith('anthropic-')) return 'anthropic-messages'
  if (file.startsWith('gemini-')) return 'gemini-generate'
  return 'openai-chat'
}

function kindOf(file: string): Recording['kind'] | null {
  if (file.endsWith('.sse') || file.endsWith('.chunks.txt')) return 'stream'
  return file.endsWith('.json') ? 'answer' : null
}

function read(folder: string, file: string, recorded: boolean): Recording[] {
  const kind = kindOf(file)
  if (kind === null) return []
  const label = `${recorded ? 'recorded' : 'fixture'} ${file}`
  return [{ label, file, recorded, kind, text: readFileSync(join(folder, file), 'utf8') }]
}

function fixturesOf(name: ProtocolName): Recording[] {
  const folder = join(FIXTURES, name)
  return existsSync(folder) ? readdirSync(folder).flatMap((file) => read(folder, file, false)) : []
}

function samplesOf(name: ProtocolName): Recording[] {
  if (!HAS_SAMPLES) return []
  return readdirSync(SAMPLES)
    .filter((file) => protocolOf(file) === name)
    .flatMap((file) => read(SAMPLES, file, true))
}

export interface Recordings {
  readonly answers: readonly Recording[]
  readonly streams: readonly Recording[]
  /** Bodies that are no answer: errors, requests, counts. */
  readonly others: readonly Recording[]
}

export function recordingsOf(protocol: Format): Recordings {
  const all = [...fixturesOf(protocol.name), ...samplesOf(protocol.name)]
  const bodies = all.filter(({ kind }) => kind === 'answer')
  const isAnswer = ({ text }: Recording): boolean => protocol.readAnswer(text).ok
  return {
    answers: bodies.filter(isAnswer),
    streams: all.filter(({ kind }) => kind === 'stream'),
    others: bodies.filter((recording) => !isAnswer(recording)),
  }
}

/** The bytes a recording had on the wire: the framing is put back where it was taken off. */
export function streamBytes({ file, text }: Recording): Buffer {
  if (file.endsWith('.sse')) return Buffer.from(text)
  const events = text.split('\n').filter((line) => line.trim() !== '')
  return Buffer.from(events.map(frame).join(''))
}

function frame(data: string): string {
  const parsed = parseJson(data)
  const type = parsed.ok && isObject(parsed.value) ? parsed.value['type'] : undefined
  const name = typeof type === 'string' ? `event: ${type}\n` : ''
  return `${name}data: ${data}\n\n`
}
