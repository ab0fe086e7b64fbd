/** What embedding formats have in common: texts in, vectors out. */

export interface EmbedRequest {
  readonly inputs: readonly string[]
  readonly dimensions: number | null
  readonly dropped: readonly string[]
}

export interface EmbedAnswer {
  readonly model: string | null
  readonly vectors: readonly (readonly number[])[]
  readonly inputTokens: number | null
  readonly dropped: readonly string[]
}

/** Vectors as OpenAI's SDKs ask for them: little-endian 32-bit floats in base64. */
export function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4)
  return bytes.toString('base64')
}

export function fromBase64(text: string): number[] {
  const bytes = Buffer.from(text, 'base64')
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, i) => bytes.readFloatLE(i * 4))
}
