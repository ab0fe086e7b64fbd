import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** docs/clients.md: what it tells people is what is run. */

const PAGE = join(import.meta.dirname, '..', '..', 'docs', 'clients.md')
const SHOWN_URL = 'http://127.0.0.1:8700'

/**
 * The first block of the language under the heading, with the gateway's own address in it.
 * @throws when the page has none
 */
export async function blockOf(heading: string, language: string, url: string): Promise<string> {
  const page = await readFile(PAGE, 'utf8')
  const section = page.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`))
  const block = section?.split(`\`\`\`${language}\n`)[1]?.split('```')[0]
  if (block === undefined) throw new Error(`docs/clients.md has no ${language} under "${heading}"`)
  return block.replaceAll(SHOWN_URL, url)
}
