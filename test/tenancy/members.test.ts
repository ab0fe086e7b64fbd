import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OPERATIONS } from '../../src/api/operations/index.ts'
import { mayGive, PERMISSIONS, ROLE_PERMISSIONS, ROLES, type Role } from '../../src/contract/index.ts'
import { formatId, parseId } from '../../src/kernel/index.ts'
import type { Mail, Mailer } from '../../src/mail/index.ts'
import { type ApiStand, type Customer, startApi } from '../api-stand.ts'

const codeOf = (answer: { status: number; json: { code?: string } | null }) => [
  answer.status,
  answer.json?.code,
]

/** Somebody who joined by an invitation of `by`, an operator when left out. */
async function joined(stand: ApiStand, org: string, role: Role, by?: { cookie: string }) {
  const person = stand.person()
  const body = { organization: org, email: person.email, role }
  const invitation = await stand.call('POST', '/api/v1/invitations', { body, ...by })
  assert.equal(invitation.status, 201, invitation.text)
  const token = { token: invitation.json.token }
  const member = await stand.call('POST', '/api/v1/invitations/accept', {
    body: token,
    cookie: person.cookie,
  })
  assert.equal(member.status, 200, member.text)
  assert.equal(member.json.role, role)
  return {
    ...person,
    usr: formatId('usr', person.id),
    path: `/api/v1/organizations/${org}/members/${member.json.person}`,
  }
}

test('nobody can give a role that may more than theirs, and only owners make owners', () => {
  fc.assert(
    fc.property(fc.constantFrom(...ROLES), fc.constantFrom(...ROLES), (own, other) => {
      if (!mayGive(own, other)) return
      for (const permission of ROLE_PERMISSIONS[other]) assert.ok(ROLE_PERMISSIONS[own].has(permission))
      assert.ok(other !== 'owner' || own === 'owner')
    }),
  )
  assert.deepEqual(
    ROLES.filter((role) => ROLES.some((other) => mayGive(role, other))),
    ['owner', 'admin'],
  )
  assert.equal(ROLE_PERMISSIONS.owner.size, PERMISSIONS.length)
})

test('a key may nothing that whoever can make one may not', () => {
  const forKeys = OPERATIONS.filter(({ callers }) => callers.includes('key'))
  assert.ok(forKeys.length > 10)
  for (const role of ROLES.filter((one) => ROLE_PERMISSIONS[one].has('keys.write')))
    for (const { id, permission } of forKeys) {
      assert.ok(permission !== undefined && permission !== 'signed_in', id)
      assert.ok(ROLE_PERMISSIONS[role].has(permission), `${id}: ${role} lacks ${permission}, and makes keys`)
    }
})

test('an invitation is for one address, once, and the log says who asked whom', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const owner = await joined(stand, org, 'owner')
  const invited = stand.person({ email: 'New.Person@stand.test' })
  const body = { email: 'new.person@stand.test', role: 'developer' }
  const first = await stand.call('POST', '/api/v1/invitations', { body, cookie: owner.cookie })
  assert.equal(first.status, 201, first.text)
  assert.equal(first.json.mailed, false)
  assert.equal(first.json.link, `${stand.url}/join/${first.json.token}`)
  const accept = (token: string, cookie: string) =>
    stand.call('POST', '/api/v1/invitations/accept', { body: { token }, cookie })

  const second = await stand.call('POST', '/api/v1/invitations', { body, cookie: owner.cookie })
  assert.deepEqual(codeOf(await accept(first.json.token, invited.cookie)), [404, 'not_found'], 'replaced')
  assert.deepEqual(codeOf(await accept(second.json.token, stand.person().cookie)), [403, 'forbidden'])
  const unverified = stand.person({ email: invited.email, emailVerified: false })
  assert.deepEqual(codeOf(await accept(second.json.token, unverified.cookie)), [403, 'forbidden'])
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => accept(second.json.token, invited.cookie)),
  )
  assert.equal(answers.filter(({ status }) => status === 200).length, 1)
  assert.deepEqual(codeOf(await accept(second.json.token, invited.cookie)), [404, 'not_found'], 'used up')

  const members = await stand.call('GET', '/api/v1/members', { cookie: owner.cookie })
  assert.deepEqual(
    members.json.data.map(({ email, role }: { email: string; role: string }) => [email, role]).sort(),
    [
      [invited.email, 'developer'],
      [owner.email, 'owner'],
    ].sort(),
  )
  const log = await stand.call('GET', '/api/v1/audit?limit=200', { cookie: owner.cookie })
  const actions = log.json.data.map(
    (event: { action: string; actor: { kind: string; id: string | null } }) => [
      event.action,
      event.actor.kind,
      event.actor.id,
    ],
  )
  assert.deepEqual(actions[0], ['member.join', 'person', formatId('usr', invited.id)])
  assert.deepEqual(actions[1], ['invitation.create', 'person', owner.usr])
  assert.ok(!log.text.includes(second.json.token))
  const stored = await stand.owner.query('select * from tenancy.invitation')
  assert.ok(!JSON.stringify(stored).includes(second.json.token))
})

test('where mail is sent, who invites does not see the token: it would make the account of any address', async (t) => {
  const mails: Mail[] = []
  // The mail server is somebody else's; `refuses` is its answer.
  let refuses = false
  const mailer: Mailer = {
    configured: true,
    async send(mail) {
      mails.push(mail)
      return refuses ? { ok: false, reason: 'failed', detail: '550', final: true } : { ok: true }
    },
    close() {},
  }
  const stand = await startApi(t, { mailer })
  const { org } = await stand.customer('Alpha')
  const member = async (role: Role) => {
    const person = stand.person()
    await stand.owner.query('insert into tenancy.member (org_id, person_id, role) values ($1, $2, $3)', [
      parseId('org', org),
      person.id,
      role,
    ])
    return person
  }
  const admin = await member('admin')
  const body = { email: 'victim@stand.test', role: 'viewer' }
  for (refuses of [false, true]) {
    const asked = await stand.call('POST', '/api/v1/invitations', { body, cookie: admin.cookie })
    assert.equal(asked.status, 201, asked.text)
    assert.deepEqual([asked.json.token, asked.json.link, asked.json.mailed], [null, null, !refuses])
    const token = /tfi_[\w-]+/.exec(mails.at(-1)?.text ?? '')?.[0] ?? ''
    assert.notEqual(token, '', 'the mailbox has it')
    assert.ok(!asked.text.includes(token))
  }
  const byOperator = await stand.call('POST', '/api/v1/invitations', { body: { ...body, organization: org } })
  assert.match(byOperator.json.token, /^tfi_/)
})

test('an organization cannot send mail to the whole world: a hundred invitations a day', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const owner = await joined(stand, org, 'owner')
  const invite = (n: number) =>
    stand.call('POST', '/api/v1/invitations', {
      body: { email: `spam-${n}@stand.test`, role: 'viewer' },
      cookie: owner.cookie,
    })
  for (let from = 0; from < 99; from += 11)
    for (const { status } of await Promise.all(Array.from({ length: 11 }, (_, n) => invite(from + n))))
      assert.equal(status, 201)
  assert.deepEqual(codeOf(await invite(99)), [429, 'rate_limit_exceeded'], 'with the one of the owner')
  const byOperator = { organization: org, email: 'x@stand.test', role: 'viewer' }
  assert.equal((await stand.call('POST', '/api/v1/invitations', { body: byOperator })).status, 201)
  await stand.owner.query(`update tenancy.invitation set created_at = created_at - interval '1 day'`)
  assert.equal((await invite(99)).status, 201)
})

test('an expired or revoked invitation lets nobody in', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const person = stand.person()
  const body = { organization: org, email: person.email, role: 'viewer' }
  const invitation = (await stand.call('POST', '/api/v1/invitations', { body })).json
  const revoked = await stand.call('DELETE', `/api/v1/invitations/${invitation.id}`)
  assert.equal(revoked.json.state, 'revoked')
  const again = (await stand.call('POST', '/api/v1/invitations', { body })).json
  await stand.owner.query(`update tenancy.invitation set expires_at = clock_timestamp() where id = $1`, [
    parseId('inv', again.id),
  ])
  for (const { token } of [invitation, again]) {
    const answer = await stand.call('POST', '/api/v1/invitations/accept', {
      body: { token },
      cookie: person.cookie,
    })
    assert.deepEqual(codeOf(answer), [404, 'not_found'])
  }
  const states = (await stand.call('GET', `/api/v1/invitations?organization=${org}`)).json.data
  assert.deepEqual(
    states.map(({ state }: { state: string }) => state),
    ['expired', 'revoked'],
  )
})

test('what somebody may give ends with their own role, also for invitations that are still open', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const owner = await joined(stand, org, 'owner')
  const admin = await joined(stand, org, 'admin', owner)
  const above = { email: 'x@stand.test', role: 'owner' }
  const beyond = await stand.call('POST', '/api/v1/invitations', { body: above, cookie: admin.cookie })
  assert.deepEqual(codeOf(beyond), [403, 'scope_exceeds_creator'])
  const promote = (path: string, role: string, cookie: string) =>
    stand.call('PATCH', path, { body: { role }, cookie })
  assert.deepEqual(codeOf(await promote(admin.path, 'owner', admin.cookie)), [403, 'scope_exceeds_creator'])
  assert.deepEqual(codeOf(await promote(owner.path, 'viewer', admin.cookie)), [403, 'scope_exceeds_creator'])
  assert.deepEqual(codeOf(await stand.call('DELETE', owner.path, { cookie: admin.cookie })), [
    403,
    'scope_exceeds_creator',
  ])

  const friend = stand.person()
  const open = await stand.call('POST', '/api/v1/invitations', {
    body: { email: friend.email, role: 'admin' },
    cookie: admin.cookie,
  })
  assert.equal((await promote(admin.path, 'developer', owner.cookie)).status, 200)
  const late = await stand.call('POST', '/api/v1/invitations/accept', {
    body: { token: open.json.token },
    cookie: friend.cookie,
  })
  assert.deepEqual(codeOf(late), [403, 'scope_exceeds_creator'])
  // Demoted at once, in the same session.
  const body = { email: 'y@stand.test', role: 'viewer' }
  assert.deepEqual(codeOf(await stand.call('POST', '/api/v1/invitations', { body, cookie: admin.cookie })), [
    403,
    'forbidden',
  ])
  assert.equal((await stand.call('DELETE', admin.path, { cookie: owner.cookie })).status, 200)
  const gone = await stand.call('GET', '/api/v1/projects', { cookie: admin.cookie })
  assert.deepEqual(codeOf(gone), [403, 'forbidden'])
  assert.equal((await stand.call('GET', '/api/v1/me', { cookie: admin.cookie })).json.organizations.length, 0)
})

test('an organization is never left without an owner, whoever goes at the same time', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const [one, two] = [await joined(stand, org, 'owner'), await joined(stand, org, 'owner')]
  const answers = await Promise.all([
    stand.call('POST', `/api/v1/organizations/${org}/leave`, { cookie: one.cookie }),
    stand.call('DELETE', one.path, { cookie: two.cookie }),
    stand.call('POST', `/api/v1/organizations/${org}/leave`, { cookie: two.cookie }),
    stand.call('PATCH', two.path, { body: { role: 'viewer' }, cookie: one.cookie }),
  ])
  const owners = await stand.owner.one<{ n: number }>(
    `select count(*)::int as n from tenancy.member where role = 'owner'`,
  )
  assert.ok(owners.n >= 1, JSON.stringify(answers.map(codeOf)))
  const left = (await stand.call('GET', `/api/v1/members?organization=${org}`)).json.data
  const last = left.find(({ role }: { role: string }) => role === 'owner')
  const path = `/api/v1/organizations/${org}/members/${last.person}`
  assert.deepEqual(codeOf(await stand.call('DELETE', path)), [409, 'conflict'])
  assert.deepEqual(codeOf(await stand.call('PATCH', path, { body: { role: 'admin' } })), [409, 'conflict'])
})

/** One call that needs each permission; those that make something make it valid. */
function callsBy(
  c: Customer,
): ReadonlyArray<readonly [permission: string, method: string, path: string, body?: object]> {
  return [
    ['organization.read', 'GET', `/api/v1/organizations/${c.org}`],
    ['organization.write', 'PATCH', `/api/v1/organizations/${c.org}`, { name: 'Renamed' }],
    ['members.read', 'GET', '/api/v1/members'],
    ['members.write', 'POST', '/api/v1/invitations', { email: 'z@stand.test', role: 'viewer' }],
    ['projects.read', 'GET', '/api/v1/projects'],
    ['projects.write', 'POST', '/api/v1/projects', { organization: c.org, name: 'p' }],
    ['keys.read', 'GET', `/api/v1/keys/${c.keyId}`],
    ['keys.write', 'POST', '/api/v1/keys', { project: c.project }],
    ['limits.read', 'GET', '/api/v1/budgets'],
    [
      'limits.write',
      'POST',
      '/api/v1/budgets',
      { scope: 'key', scope_id: c.keyId, bucket: 'rmb', amount: '1' },
    ],
    ['runs.read', 'GET', '/api/v1/runs'],
    ['runs.write', 'POST', '/api/v1/runs', { project: c.project, name: 'night' }],
    ['receipts.read', 'GET', '/api/v1/receipts'],
    ['balances.read', 'GET', '/api/v1/balances'],
    ['models.read', 'GET', '/api/v1/models'],
    ['audit.read', 'GET', '/api/v1/audit'],
  ]
}

test('each role may do what its row of the table says, and is told what it lacks', async (t) => {
  const stand = await startApi(t)
  for (const role of ROLES) {
    const customer = await stand.customer(role)
    const person = await joined(stand, customer.org, role)
    for (const [permission, method, path, body] of callsBy(customer)) {
      const answer = await stand.call(method, path, {
        cookie: person.cookie,
        ...(body === undefined ? {} : { body }),
      })
      const may = [...ROLE_PERMISSIONS[role]].some((own) => own === permission)
      if (may) assert.ok(answer.status < 300, `${role} ${permission}: ${answer.text}`)
      else {
        assert.deepEqual(codeOf(answer), [403, 'forbidden'], `${role} ${permission}: ${answer.text}`)
        assert.ok(answer.json.detail.includes(permission) && answer.json.detail.includes(role))
      }
    }
    const me = (await stand.call('GET', '/api/v1/me', { cookie: person.cookie })).json
    assert.deepEqual(me.organizations[0].permissions.length, ROLE_PERMISSIONS[role].size)
  }
})

test('an operator who audits may look at everything and change nothing; money needs an operator', async (t) => {
  const stand = await startApi(t)
  const customer = await stand.customer('Alpha')
  const auditor = stand.person({ operatorRole: 'auditor' })
  const admin = stand.person({ operatorRole: 'admin' })
  const owner = await joined(stand, customer.org, 'owner')
  const grant = { organization: customer.org, bucket: 'rmb', amount: '1', reason: 'r' }
  for (const [person, expected] of [
    [auditor, 403],
    [owner, 403],
    [admin, 201],
  ] as const) {
    const answer = await stand.call('POST', '/api/v1/grants', { body: grant, cookie: person.cookie })
    assert.equal(answer.status, expected, answer.text)
  }
  for (const [, method, path, body] of callsBy(customer)) {
    const where =
      path.includes('?') || !/members$|balances$/.test(path) ? path : `${path}?organization=${customer.org}`
    const answer = await stand.call(method, where, {
      cookie: auditor.cookie,
      ...(body === undefined ? {} : { body }),
    })
    assert.equal(answer.status, method === 'GET' ? 200 : 403, `${where}: ${answer.text}`)
  }
  const event = await stand.owner.one<{ actor_kind: string; actor_id: string }>(
    `select actor_kind, actor_id from tenancy.audit_event where action = 'grant.add'`,
  )
  assert.deepEqual(event, { actor_kind: 'operator', actor_id: admin.id })
})

test('a change with a session has to come from a page of this installation', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const owner = await joined(stand, org, 'owner')
  const body = { email: 'z@stand.test', role: 'viewer' }
  for (const site of ['cross-site', 'same-site', 'none', '']) {
    const headers = { 'sec-fetch-site': site }
    const answer = await stand.call('POST', '/api/v1/invitations', { body, cookie: owner.cookie, headers })
    assert.deepEqual(codeOf(answer), [403, 'csrf'], site)
  }
  // With a credential of its own a request is not a browser's, and no cookie is looked at.
  const headers = { authorization: 'Bearer nonsense' }
  assert.equal((await stand.call('GET', '/api/v1/me', { cookie: owner.cookie, headers })).status, 401)
})

test('fields that would raise a person are refused', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const admin = await joined(stand, org, 'admin')
  for (const more of [
    { operator: true },
    { operatorRole: 'admin' },
    { person: admin.usr },
    { invited_by: null },
  ]) {
    const body = { email: 'z@stand.test', role: 'viewer', ...more }
    const answer = await stand.call('POST', '/api/v1/invitations', { body, cookie: admin.cookie })
    assert.deepEqual(codeOf(answer), [400, 'invalid_parameter'])
  }
  for (const body of [{ role: 'viewer', state: 'x' }, { role: 'root' }, { role: null }])
    assert.equal((await stand.call('PATCH', admin.path, { body, cookie: admin.cookie })).status, 400)
})

test('what an operator limits, the organization neither widens nor ends; its own limits it does', async (t) => {
  const stand = await startApi(t)
  const { org, project, keyId } = await stand.customer('Alpha')
  const owner = await joined(stand, org, 'owner')
  const { cookie } = owner
  const paths = [
    ['/api/v1/rate-limits', { requests_per_minute: 10 }, { requests_per_minute: 1_000 }],
    ['/api/v1/budgets', { bucket: 'rmb', amount: '1' }, { amount: '100' }],
  ] as const
  for (const [path, terms, wider] of paths) {
    const theirs = await stand.call('POST', path, { body: { scope: 'project', scope_id: project, ...terms } })
    assert.deepEqual([theirs.status, theirs.json.set_by], [201, 'operator'], theirs.text)
    const place = `${path}/${theirs.json.id}`
    assert.deepEqual(codeOf(await stand.call('PATCH', place, { body: wider, cookie })), [
      403,
      'scope_exceeds_creator',
    ])
    assert.deepEqual(codeOf(await stand.call('DELETE', place, { cookie })), [403, 'scope_exceeds_creator'])
    const own = await stand.call('POST', path, { body: { scope: 'key', scope_id: keyId, ...terms }, cookie })
    assert.deepEqual([own.status, own.json.set_by], [201, 'person'], own.text)
    assert.equal((await stand.call('PATCH', `${path}/${own.json.id}`, { body: wider, cookie })).status, 200)
    assert.equal((await stand.call('DELETE', `${path}/${own.json.id}`, { cookie })).status, 200)
    assert.equal((await stand.call('PATCH', place, { body: wider })).status, 200, 'an operator does')
  }
})

test('models are shown to people with what their organization has available', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  await stand.call('POST', '/api/v1/grants', {
    body: { organization: org, bucket: 'rmb', amount: '7', reason: 'r' },
  })
  const viewer = await joined(stand, org, 'viewer')
  const { json } = await stand.call('GET', '/api/v1/models', { cookie: viewer.cookie })
  const available = json.data[0].routes.map((route: { bucket: string; available: string }) => [
    route.bucket,
    route.available,
  ])
  assert.deepEqual(Object.fromEntries(available), { credit: '0', rmb: '7' })
})
