import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { openApiDocument } from '../src/api/index.ts'
import { ERRORS, type ErrorEntry, EVENT_DATA } from '../src/contract/index.ts'
import { packageVersion } from '../src/installation.ts'

/** Writes the docs that are made from tables in the source: `--write`, or `--check` to fail when they differ. */

const ROOT = join(import.meta.dirname, '..')

const OWNERS: Readonly<Record<ErrorEntry['owner'], string>> = {
  client: 'the request',
  project: 'the project: its key, money or limits',
  upstream: 'the model provider',
  platform: 'this installation',
}

function errorsPage(): string {
  const rows = Object.entries<ErrorEntry>(ERRORS).map(
    ([code, entry]) =>
      `| \`${code}\` | ${entry.status} | ${entry.title} | ${OWNERS[entry.owner]} | ${entry.hint} | ${entry.retry ? 'yes' : 'no'} |`,
  )
  return `# Errors

Made from \`src/contract/errors.ts\` by \`npm run docs\`; do not edit here.

Gateway paths answer in the caller's protocol. For OpenAI that is \`{"error": {message, type, param, code, …}}\` with, beside
them, \`request_id\`, \`receipt\` (its path, or null when there is none), \`reason\` (the code below), \`next_step\`, and
\`ledger\` (amounts, where money is the matter) or \`limit\` (the rate limit that refused). What cannot be paid answers there with status 429 and the code
\`insufficient_quota\`, because OpenAI's SDKs and agents stop at once on that and go on trying on 402; \`reason\` still says
\`insufficient_balance\` or \`balance_held\`. The management API answers RFC 9457 problem details with \`code\` and \`hint\`.

\`x-should-retry\` is \`true\` where the same request may succeed later ("retry" below), \`false\` where it cannot.

| code | status | what happened | whose it is | what to do | retry |
|---|---|---|---|---|---|
${rows.join('\n')}
`
}

const DATA_HEAD = '## Data of each type\n'

/** The page as it is written, with the table of `data` made from the schemas. */
function webhooksPage(): string {
  const [written = ''] = readFileSync(join(ROOT, 'docs/webhooks.md'), 'utf8').split(DATA_HEAD, 1)
  const sections = Object.entries(EVENT_DATA).map(([type, schema]) => {
    const { properties = {} } = z.toJSONSchema(schema)
    const rows = Object.entries(properties).map(([name, property]) => {
      const shape = typeof property === 'object' ? property : {}
      const types = [
        shape.type ?? (shape.anyOf ?? []).map((each) => (each as { type?: string }).type ?? 'any'),
      ].flat()
      const kind = shape.enum === undefined ? types.join(' or ') || 'any' : shape.enum.join(', ')
      return `| \`${name}\` | ${kind} | ${shape.description ?? ''} |`
    })
    return `### ${type}\n\n| field | type | meaning |\n|---|---|---|\n${rows.join('\n')}\n`
  })
  const from = 'Made from `src/contract/events.ts` by `npm run docs`; do not edit from here on.'
  return `${written}${DATA_HEAD}\n${from}\n\n${sections.join('\n')}`
}

const PAGES: ReadonlyArray<readonly [path: string, text: () => string]> = [
  ['docs/errors.md', errorsPage],
  ['docs/webhooks.md', webhooksPage],
  ['docs/openapi.json', () => `${JSON.stringify(openApiDocument(packageVersion()), null, 2)}\n`],
]

const write = process.argv.includes('--write')
let stale = 0
for (const [path, text] of PAGES) {
  const wanted = text()
  if (write) writeFileSync(join(ROOT, path), wanted)
  else if (readFileSync(join(ROOT, path), 'utf8') !== wanted) {
    stale++
    console.error(`${path} is not what the source says; run npm run docs`)
  }
}
process.exitCode = stale === 0 ? 0 : 1
