import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Recorded and invented answers of the chat format, for tests. */

const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const FIXTURES = join(ROOT, 'test', 'fixtures', 'openai-chat')
/** Recordings that are no part of this repository; tests that want them are content without. */
export const RECORDINGS = join(ROOT, '..', 'shared', 'wire-samples')

export interface Sample {
  readonly name: string
  readonly kind: 'stream' | 'whole'
  readonly bytes: Buffer
}

function load(folder: string, name: string): Sample {
  const bytes = readFileSync(join(folder, name))
  if (name.endsWith('.json')) return { name, kind: 'whole', bytes }
  if (name.endsWith('.sse')) return { name, kind: 'stream', bytes }
  const payloads = bytes
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
  return {
    name,
    kind: 'stream',
    bytes: Buffer.from(`${payloads.map((payload) => `data: ${payload}\n\n`).join('')}data: [DONE]\n\n`),
  }
}

export function samples(folder: string, wanted: (name: string) => boolean = () => true): readonly Sample[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => /\.(?:json|sse|chunks\.txt)$/.test(name) && wanted(name))
    .sort()
    .map((name) => load(folder, name))
}

/** Of the recordings, those in this format. */
export const isChat = (name: string): boolean =>
  /^(?:openai-chat|deepseek-(?:tool|reasoning)|qwen|kimi|glm|openrouter-stream|compat)/.test(name)
