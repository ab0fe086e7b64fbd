import type { MemberEdit } from '../json-span.ts'
import type { UpstreamCallInput } from '../protocol.ts'
import type { GeminiFacts } from './request.ts'

/** The call to Google: where model and method go, and what changes in the caller's own bytes. */

/** Tuned models and fully named ones keep their collection. */
const COLLECTION = /^(?:models|tunedModels)\//

/** Collection and name, e.g. `models/` and `gemini-2.5-flash`. */
function resource(upstreamModel: string): readonly [string, string] {
  const collection = COLLECTION.exec(upstreamModel)?.[0] ?? 'models/'
  return [collection, upstreamModel.replace(COLLECTION, '')]
}

/** A stream is always asked for as events, whatever framing our caller wants. */
export function callPath(call: UpstreamCallInput): string {
  const method = call.stream ? 'streamGenerateContent?alt=sse' : 'generateContent'
  const [collection, name] = resource(call.upstreamModel)
  return `/${collection}${encodeURIComponent(name)}:${method}`
}

export function callHeaders(apiKey: string): Readonly<Record<string, string>> {
  return { 'x-goog-api-key': apiKey }
}

/** The limit lies one level down, so its whole object is set anew with the limit in it, in the caller's spelling. */
export function passEdits(
  request: GeminiFacts,
  call: UpstreamCallInput & { readonly maxOutputTokens: number | null },
): readonly MemberEdit[] {
  const edits: MemberEdit[] = []
  // Google refuses a body whose model is not the path's.
  if (request.repeatsModel)
    edits.push({ name: 'model', json: JSON.stringify(resource(call.upstreamModel).join('')) })
  if (call.maxOutputTokens !== null) {
    const config = { ...request.generationConfig, [request.limitName]: call.maxOutputTokens }
    edits.push({ name: request.configName, json: JSON.stringify(config) })
  }
  return edits
}
