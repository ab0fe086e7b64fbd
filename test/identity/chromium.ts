import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

/** A real browser, where the machine has one. */

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

function executable(): string | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter))
    for (const name of NAMES)
      try {
        const path = join(folder, name)
        accessSync(path, constants.X_OK)
        return path
      } catch {
        // Not this one.
      }
  return null
}

export interface Chromium {
  open(options?: BrowserContextOptions): Promise<{ context: BrowserContext; page: Page }>
  /** What no page of ours may cause: dialogs, errors in the console (refusals of the policy are among them), and exceptions. */
  readonly faults: string[]
}

/** @returns null where there is none; the test is skipped then */
export async function startChromium(t: TestContext): Promise<Chromium | null> {
  const executablePath = executable()
  if (executablePath === null) {
    t.skip('there is no chromium here; .ci/run installs one')
    return null
  }
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const browser = await chromium.launch({ executablePath, args })
  t.after(() => browser.close())
  const faults: string[] = []
  return {
    faults,
    async open(options = {}) {
      const context = await browser.newContext({ locale: 'en-US', ...options })
      context.setDefaultTimeout(30_000)
      const page = await context.newPage()
      page.on('dialog', async (dialog) => {
        faults.push(`dialog: ${dialog.message()}`)
        await dialog.dismiss()
      })
      page.on('console', (message) => {
        if (message.type() === 'error') faults.push(`console: ${message.text()} ${message.location().url}`)
      })
      page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
      return { context, page }
    },
  }
}
