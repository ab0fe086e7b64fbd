import type { VertexSettings } from '../../catalog/index.ts'
import type { Clock } from '../../kernel/index.ts'
import { type Platform, plain } from '../platform.ts'
import { exchange, exchangeProblem } from './exchange.ts'
import { readRefusal } from './refusal.ts'
import { anthropicShape, geminiShape } from './shapes.ts'
import { type AccessToken, TokenSource } from './token.ts'

/** Google Vertex AI, by access tokens. */
export function vertex(settings: VertexSettings, clock: Clock): Platform {
  const tokens = new TokenSource(() => exchange(settings.credentials, clock), clock)
  return {
    shapes: {
      'anthropic-messages': anthropicShape(settings),
      'gemini-generate': geminiShape(settings),
      'openai-chat': plain,
    },
    async authorize() {
      let token: AccessToken
      try {
        token = await tokens.get()
      } catch (thrown) {
        return { ok: false, code: 'no_access_token', problem: exchangeProblem(thrown) }
      }
      return {
        ok: true,
        headers: { authorization: `Bearer ${token.text}` },
        refused: () => tokens.drop(token),
      }
    },
    unframer: () => null,
    readRefusal,
  }
}
