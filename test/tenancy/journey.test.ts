import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Forge, OPERATOR_TOKEN, startBeside, startForge } from '../forge.ts'
import { Browser } from '../identity/browser.ts'
import { PASSWORD } from '../identity/stand.ts'
import { linkIn, nextMail, smtpServer } from '../smtp.ts'

/** From the first operator's link to somebody who was removed: the whole app, real mail, and what people click on. */

interface World {
  readonly forge: Forge
  readonly messages: string[]
  readonly operator: Browser
}

const pathOf = (url: string): string => new URL(url).pathname

async function startWorld(t: TestContext): Promise<World> {
  const { url, messages } = await smtpServer(t)
  const mail = { smtpUrl: url, from: 'forge@stand.test' }
  const forge = await startForge(t, { people: { mail } })
  const asked = await fetch(`${forge.url}/api/v1/operator-links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
  })
  const link = pathOf(((await asked.json()) as { url: string }).url)
  const operator = new Browser(forge.url)
  const typed = { name: 'Olga Operator', email: 'olga@stand.test', password: PASSWORD }
  const done = await operator.fill(await operator.page(link), link, typed)
  assert.match(done.text, /You operate this installation/)
  return { forge, messages, operator }
}

/** Follows the link of the mail, makes an account there, and is a member. */
async function joinByMail({ forge, messages }: World, email: string, name: string): Promise<Browser> {
  const link = linkIn(await nextMail(messages, email))
  assert.match(link, new RegExp(`^${forge.url}/join/tfi_[A-Za-z0-9_-]{43}$`))
  const browser = new Browser(forge.url)
  const page = await browser.page(pathOf(link), { 'sec-fetch-site': 'none' })
  assert.equal(page.status, 200, page.text)
  const joined = await browser.fill(page, pathOf(link), { name, password: PASSWORD })
  assert.match(joined.text, /role="status">You have joined/, joined.text)
  assert.equal((await browser.page(pathOf(link))).status, 404, 'used up')
  return browser
}

async function made(browser: Browser, path: string, body: object) {
  const answer = await browser.post(path, body)
  assert.equal(answer.status, 201, `${path}: ${answer.text}`)
  return answer.json
}

const codeOf = ({ status, json }: { status: number; json: { code?: string } | null }) => [status, json?.code]

/** An organization whose owner came by mail. */
async function ownerOf(world: World, organization: string, email: string, name: string) {
  const { id: org } = await made(world.operator, '/api/v1/organizations', { name: organization })
  const invitation = await made(world.operator, '/api/v1/invitations', {
    organization: org,
    email,
    role: 'owner',
  })
  assert.equal(invitation.mailed, true)
  return { org, owner: await joinByMail(world, email, name) }
}

test('operator, owner, developer: each gets what their role says and no more, and loses it at once', async (t) => {
  const world = await startWorld(t)
  const { org, owner } = await ownerOf(world, 'Alpha <b>&</b> Co', 'ada@stand.test', 'Ada')
  const me = (await owner.get('/api/v1/me')).json
  assert.deepEqual([me.email, me.operator, me.organizations.length], ['ada@stand.test', null, 1])
  assert.deepEqual([me.organizations[0].organization, me.organizations[0].role], [org, 'owner'])
  const project = await made(owner, '/api/v1/projects', { organization: org, name: 'main' })
  const key = await made(owner, '/api/v1/keys', { project: project.id, label: 'first' })
  assert.match(key.key, /^sk-tf-/)
  const budget = { scope: 'key', scope_id: key.id, bucket: 'rmb', amount: '1' }

  await made(owner, '/api/v1/invitations', { email: 'dev@stand.test', role: 'developer' })
  const developer = await joinByMail(world, 'dev@stand.test', 'Dev')
  await made(developer, '/api/v1/keys', { project: project.id, label: 'second' })
  assert.deepEqual(codeOf(await developer.post('/api/v1/budgets', budget)), [403, 'forbidden'])
  assert.deepEqual(
    codeOf(await developer.post('/api/v1/invitations', { email: 'x@stand.test', role: 'viewer' })),
    [403, 'forbidden'],
  )

  // Another organization's things are nowhere, for the owner too.
  const beta = await ownerOf(world, 'Beta', 'bea@stand.test', 'Bea')
  const foreign = await made(beta.owner, '/api/v1/projects', { organization: beta.org, name: 'theirs' })
  const foreignKey = await made(beta.owner, '/api/v1/keys', { project: foreign.id })
  for (const [method, path, body] of [
    ['GET', `/api/v1/organizations/${beta.org}`],
    ['GET', `/api/v1/keys/${foreignKey.id}`],
    ['PATCH', `/api/v1/keys/${foreignKey.id}`, { label: 'mine' }],
    ['PATCH', `/api/v1/projects/${foreign.id}`, { name: 'mine' }],
    ['POST', '/api/v1/keys', { project: foreign.id }],
    ['GET', `/api/v1/members?organization=${beta.org}`],
    ['POST', '/api/v1/invitations', { organization: beta.org, email: 'x@stand.test', role: 'viewer' }],
  ] as const)
    assert.deepEqual(codeOf(await owner.send(method, path, body)), [404, 'not_found'], path)

  // A second process over the same database, which knows the developer's session already.
  const other = await secondProcess(t, world.forge)
  const elsewhere = new Browser(other)
  for (const [name, value] of developer.jar) elsewhere.jar.set(name, value)
  const newKey = { project: project.id, label: 'more' }
  await made(elsewhere, '/api/v1/keys', newKey)
  const { person } = (await developer.get('/api/v1/me')).json
  const member = `/api/v1/organizations/${org}/members/${person}`
  assert.equal((await owner.send('PATCH', member, { role: 'viewer' })).status, 200)
  for (const browser of [developer, elsewhere]) {
    assert.deepEqual(codeOf(await browser.post('/api/v1/keys', newKey)), [403, 'forbidden'])
    assert.equal((await browser.get(`/api/v1/projects?organization=${org}`)).status, 200)
  }
  assert.equal((await owner.send('DELETE', member)).status, 200)
  for (const browser of [developer, elsewhere]) {
    // Who belongs nowhere is told that, whatever is asked for.
    for (const path of [
      `/api/v1/organizations/${org}`,
      '/api/v1/projects',
      `/api/v1/organizations/${beta.org}`,
    ])
      assert.deepEqual(codeOf(await browser.get(path)), [403, 'forbidden'], path)
    assert.deepEqual(codeOf(await browser.post('/api/v1/keys', newKey)), [403, 'forbidden'])
    assert.deepEqual((await browser.get('/api/v1/me')).json.organizations, [])
  }
  assert.match((await developer.page('/account')).text, /You belong to no organization yet/)
})

async function secondProcess(t: TestContext, forge: Forge): Promise<string> {
  const { app, url } = await startBeside(forge)
  t.after(() => app.close(1_000))
  return url
}

interface Described {
  readonly parameters?: ReadonlyArray<{ name: string; in: string; required?: boolean }>
  readonly security: ReadonlyArray<object>
}

test('an operator who audits may look at everything and change nothing, operators and their links least of all', async (t) => {
  const world = await startWorld(t)
  const { org, owner } = await ownerOf(world, 'Alpha', 'ada@stand.test', 'Ada')
  const project = await made(owner, '/api/v1/projects', { organization: org, name: 'main' })
  const key = await made(owner, '/api/v1/keys', { project: project.id })
  // Somebody with an account who belongs nowhere: invited, made an account, left.
  await made(owner, '/api/v1/invitations', { email: 'aud@stand.test', role: 'viewer' })
  const auditor = await joinByMail(world, 'aud@stand.test', 'Aud')
  assert.equal((await auditor.post(`/api/v1/organizations/${org}/leave`)).status, 200)
  assert.deepEqual(codeOf(await auditor.get('/api/v1/operators')), [403, 'forbidden'])
  const given = { email: 'aud@stand.test', role: 'auditor' }
  assert.equal((await world.operator.post('/api/v1/operators', given)).status, 200)

  const { paths } = (await auditor.get('/openapi.json')).json as {
    paths: Record<string, Record<string, Described>>
  }
  const { person } = (await auditor.get('/api/v1/me')).json
  const ids: Record<string, string> = { organization: org, person, id: key.id }
  const counts = { looked: 0, refused: 0 }
  for (const [path, methods] of Object.entries(paths))
    for (const [method, described] of Object.entries(methods)) {
      if (!path.startsWith('/api/v1/') || described.security.length === 0) continue
      const at = path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? key.id)
      const where = `${at}?organization=${org}&bucket=rmb`
      if (method === 'get') {
        const answer = await auditor.get(path.includes('{') ? at : where)
        // What it would see may be nowhere, or asked for wrongly; it is never refused.
        assert.ok(![401, 403].includes(answer.status) && answer.status < 500, `${where}: ${answer.text}`)
        counts.looked++
      } else if (!OWN_AFFAIRS.has(path)) {
        const answer = await auditor.send(method.toUpperCase(), at, {})
        assert.deepEqual(codeOf(answer), [403, 'forbidden'], `${method} ${at}: ${answer.text}`)
        counts.refused++
      }
    }
  assert.ok(counts.looked > 20 && counts.refused > 20, JSON.stringify(counts))
  for (const path of ['/api/v1/keys', '/api/v1/members', '/api/v1/audit', '/api/v1/operators'])
    assert.equal(
      (await auditor.get(`${path}${path.endsWith('operators') ? '' : `?organization=${org}`}`)).status,
      200,
    )
  for (const [path, body] of [
    ['/api/v1/operators', { email: 'aud@stand.test', role: 'admin' }],
    ['/api/v1/operator-links', {}],
  ] as const)
    assert.deepEqual(codeOf(await auditor.post(path, body)), [403, 'forbidden'])
  assert.match((await auditor.page('/account')).text, /You operate this installation as auditor/)
})

/** What everybody may do who is signed in, about themselves. */
const OWN_AFFAIRS = new Set(['/api/v1/invitations/accept', '/api/v1/organizations/{organization}/leave'])

test('a link is for one address: another account is told so, an account that exists signs in first, nothing is used up by looking', async (t) => {
  const world = await startWorld(t)
  const { org, owner } = await ownerOf(world, 'Alpha', 'ada@stand.test', 'Ada')
  const beta = await ownerOf(world, 'Beta', 'bea@stand.test', 'Bea')
  await made(owner, '/api/v1/invitations', { email: 'Bea@stand.test', role: 'billing' })
  const link = pathOf(linkIn(await nextMail(world.messages, 'bea@stand.test')))
  // The owner opens it, signed in as somebody else.
  const wrong = await owner.page(link)
  assert.match(wrong.text, /another address/)
  assert.ok(wrong.text.includes('Ada (ada@stand.test) invites you to join <strong>Alpha</strong>'))
  const form = { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' }
  const forced = await owner.copy().post(link, 'use=accept', form)
  assert.equal(forced.status, 403)
  assert.match(forced.text, /for another address than yours/)
  // Nobody is signed in: the address has an account, so it is asked to sign in, and leads back here.
  const browser = new Browser(world.forge.url)
  const page = await browser.page(link, { 'accept-language': 'zh-CN' })
  assert.match(page.text, /该邮箱已有账户/)
  assert.match(page.text, /value="bea@stand.test" readonly/)
  const twice = await browser.post(
    link,
    `use=create&name=Eve&password=${encodeURIComponent('eve has another')}`,
    form,
  )
  assert.equal(twice.status, 409, 'an account is not made twice')
  const wrongPassword = await browser.fill(page, link, { password: 'not the password' })
  assert.equal(wrongPassword.status, 401)
  const back = await browser.fill(wrongPassword, '/sign-in', { password: PASSWORD })
  assert.match(back.text, /You are signed in as bea@stand\.test/)
  const joined = await browser.fill(back, link, { use: 'accept' })
  assert.match(joined.text, /You have joined <strong>Alpha<\/strong> · as billing/)
  assert.deepEqual(
    (await browser.get('/api/v1/me')).json.organizations
      .map((one: { organization: string }) => one.organization)
      .sort(),
    [org, beta.org].sort(),
  )
  assert.equal((await browser.page(link)).status, 404)
  // Somebody demoted gives nothing any more, and the page says so.
  await made(owner, '/api/v1/invitations', { email: 'adm@stand.test', role: 'admin' })
  const admin = await joinByMail(world, 'adm@stand.test', 'Adm')
  await made(admin, '/api/v1/invitations', { email: 'late@stand.test', role: 'developer' })
  const { person } = (await admin.get('/api/v1/me')).json
  await owner.send('PATCH', `/api/v1/organizations/${org}/members/${person}`, { role: 'viewer' })
  const late = pathOf(linkIn(await nextMail(world.messages, 'late@stand.test')))
  const stranger = new Browser(world.forge.url)
  const refused = await stranger.fill(await stranger.page(late), late, { name: 'Late', password: PASSWORD })
  assert.equal(refused.status, 403)
  assert.match(refused.text, /may not give that role any more/)
})
