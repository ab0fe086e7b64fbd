import type { VertexSettings } from '../../catalog/index.ts'
import { betasOf } from '../betas.ts'
import { type Shape, withoutHeaders } from '../platform.ts'

/** Model and method in the path, below project and location; the base URL ends in the version. */

const VERSION = 'vertex-2023-10-16'

function modelPath({ project, location }: VertexSettings, publisher: string, model: string): string {
  const name = model.replace(new RegExp(`^(?:publishers/${publisher}/)?(?:models/)?`), '')
  return `/projects/${encodeURIComponent(project)}/locations/${location}/publishers/${publisher}/models/${encodeURIComponent(name)}`
}

/** Claude: the version stands in the body, the model does not; betas stay a header, `stream` stays a member. */
export function anthropicShape(settings: VertexSettings): Shape {
  return ({ upstreamModel, stream, headers, body }) => {
    const { taken, dropped } = betasOf(headers, body, settings.betas)
    return {
      path: `${modelPath(settings, 'anthropic', upstreamModel)}:${stream ? 'streamRawPredict' : 'rawPredict'}`,
      headers: {
        ...withoutHeaders(headers, 'anthropic-version', 'anthropic-beta'),
        ...(taken.length === 0 ? {} : { 'anthropic-beta': taken.join(',') }),
      },
      changes: [
        { name: 'model', value: null },
        { name: 'anthropic_version', value: VERSION },
        { name: 'anthropic_beta', value: null },
      ],
      dropped,
    }
  }
}

export function geminiShape(settings: VertexSettings): Shape {
  return ({ upstreamModel, stream, headers }) => ({
    path: `${modelPath(settings, 'google', upstreamModel)}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    headers: withoutHeaders(headers),
    changes: [{ name: 'model', value: null }],
    dropped: [],
  })
}
