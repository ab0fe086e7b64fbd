import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { OPERATOR_TOKEN, startForge } from '../forge.ts'
import { linkIn, nextMail, smtpServer } from '../smtp.ts'
import { secretOf, totp } from './browser.ts'
import { startChromium } from './chromium.ts'
import { startProvider } from './provider.ts'
import { PASSWORD, SESSION } from './stand.ts'

/** What only a real browser can say: cookies over plain http on this machine, policies, keyboards, ways from other sites. */

const EVIL = '<img src=x onerror=alert(1)>'

async function startWorld(t: TestContext) {
  const { url, messages } = await smtpServer(t)
  const forge = await startForge(t, { people: { mail: { smtpUrl: url, from: 'forge@stand.test' } } })
  const operator = async (path: string, body: object): Promise<Record<string, string>> => {
    const answer = await fetch(forge.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    assert.equal(answer.status, 201, await answer.clone().text())
    return (await answer.json()) as Record<string, string>
  }
  const { id } = await operator('/api/v1/organizations', { name: EVIL })
  return {
    forge,
    async invite(email: string, role: string): Promise<string> {
      await operator('/api/v1/invitations', { organization: id, email, role })
      return linkIn(await nextMail(messages, email))
    },
  }
}

/** As a script of our own page would ask. */
async function json(context: BrowserContext, origin: string, path: string, data: object) {
  const answer = await context.request.post(origin + path, { data, headers: { origin } })
  assert.equal(answer.status(), 200, await answer.text())
  return await answer.json()
}

const heading = (page: Page): Promise<string> => page.locator('h1').innerText()

const FOCUSED = `document.activeElement.getAttribute('name') ?? document.activeElement.textContent`

/** Goes on by keyboard until the element that is named has the focus, as somebody without a mouse does. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 30; presses++) {
    const at = String(await page.evaluate(FOCUSED))
    if (at.trim() === name) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`the keyboard does not reach ${name}`)
}

test('by keyboard alone: join by the link of the mail, sign out, sign in with a second factor; names are text', async (t) => {
  const chromium = await startChromium(t)
  if (chromium === null) return
  const { forge, invite } = await startWorld(t)
  const link = await invite('ada@stand.test', 'owner')
  const { context, page } = await chromium.open()
  await page.goto(link)
  assert.equal(await heading(page), `Join ${EVIL}`)
  await tabTo(page, 'email')
  await page.keyboard.type('mallory@stand.test')
  assert.equal(await page.getByLabel('E-mail address').inputValue(), 'ada@stand.test')
  await tabTo(page, 'name')
  await page.keyboard.type(EVIL)
  await tabTo(page, 'password')
  await page.keyboard.type(PASSWORD)
  await tabTo(page, 'Make the account and join')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/account?joined=*')
  assert.match(await page.getByRole('status').innerText(), /You have joined <img src=x onerror=alert\(1\)>/)
  assert.equal(await page.getByLabel('Name').inputValue(), EVIL)
  const [cookie] = (await context.cookies(forge.url)).filter(({ name }) => name === SESSION)
  assert.deepEqual(
    { ...cookie, value: '', expires: 0 },
    {
      name: SESSION,
      value: '',
      domain: '127.0.0.1',
      path: '/',
      expires: 0,
      httpOnly: true,
      secure: true,
      sameSite: 'Strict',
    },
  )
  assert.equal(await page.evaluate('document.cookie'), '')

  const enabled = await json(context, forge.url, '/api/auth/two-factor/enable', { password: PASSWORD })
  const secret = secretOf(enabled.totpURI)
  await json(context, forge.url, '/api/auth/two-factor/verify-totp', { code: totp(secret, -1) })
  await page.reload()
  await tabTo(page, 'Sign out')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/sign-in')
  assert.deepEqual(await context.cookies(forge.url), [])
  await tabTo(page, 'email')
  await page.keyboard.type('ada@stand.test')
  await tabTo(page, 'password')
  await page.keyboard.type(PASSWORD)
  await page.keyboard.press('Enter')
  await page.waitForURL('**/sign-in/code?*')
  // The code has the focus already.
  await page.keyboard.type(totp(secret))
  await page.keyboard.press('Enter')
  await page.waitForURL('**/account')
  assert.deepEqual(chromium.faults, [])
})

test('from another site: a link in a mail that is read on the web finds the person signed in, and in Chinese', async (t) => {
  const chromium = await startChromium(t)
  if (chromium === null) return
  const { forge, invite } = await startWorld(t)
  const first = await invite('ada@stand.test', 'owner')
  const { page } = await chromium.open({ locale: 'zh-CN' })
  await page.goto(first)
  await page.getByLabel('姓名').fill('林安')
  await page.getByLabel('设置密码').fill(PASSWORD)
  await page.getByRole('button', { name: '创建账户并加入' }).click()
  await page.waitForURL('**/account?joined=*')
  const webmail = createServer((_req, res) => {
    res.setHeader('content-type', 'text/html')
    res.end(`<a href="${forge.url}/account">account</a>`)
  })
  webmail.listen(0, '127.0.0.1')
  await once(webmail, 'listening')
  t.after(() => webmail.close().closeAllConnections())
  await page.goto(`http://localhost:${(webmail.address() as AddressInfo).port}/`)
  await page.getByRole('link').click()
  await page.waitForURL('**/account?here=1')
  assert.equal(await heading(page), '我的账户')
  // The other site's icon is none of ours.
  assert.deepEqual(
    chromium.faults.filter((fault) => !fault.includes('localhost')),
    [],
  )
})

test('the provider by its button: the policy lets the form through, and the person comes back signed in', async (t) => {
  const chromium = await startChromium(t)
  if (chromium === null) return
  const provider = await startProvider(t, 'localhost')
  const { issuer, clientId, clientSecret } = provider
  const forge = await startForge(t, {
    people: { signUp: 'oidc', oidc: { issuer, clientId, clientSecret } },
  })
  const { page } = await chromium.open()
  await page.goto(`${forge.url}/sign-in`)
  await page.getByRole('button', { name: 'provider' }).click()
  await page.waitForURL(/\/account(?:\?here=1)?$/)
  assert.ok((await page.locator('main').innerText()).includes('ada@example.com'))
  assert.deepEqual(chromium.faults, [])
})
