export interface Found {
  readonly query: string
  readonly title: string
  readonly url: string
}

/** What the n-th search of the switch `websearch` asked and found; the same in every format. */
export function foundBy(index: number): Found {
  const query = `tokens forge sandbox ${index + 1}`
  return {
    query,
    title: `What the sandbox found for "${query}"`,
    url: `https://example.com/sandbox/${index + 1}`,
  }
}
