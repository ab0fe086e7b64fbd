import type { Role } from '../contract/index.ts'
import { isoTime, type Uuid } from '../kernel/index.ts'
import { escaped, field, hidden, htmlPage, type Language, PASSWORD_RULES } from './page.ts'
import type { Person, SeenInvitation } from './types.ts'
import { wordsIn } from './words.ts'

/** The pages of sign-in as HTML. Nothing is decided here; `page-door.ts` does. */

/** What every page is made for. */
export interface Shown {
  readonly language: Language
  /** A refusal, or null. */
  readonly bad: string | null
}

const ROLE_NAMES: Readonly<Record<Role, string>> = {
  owner: '所有者',
  admin: '管理员',
  developer: '开发者',
  billing: '财务',
  viewer: '只读成员',
}

const roleIn = (language: Language, role: Role): string =>
  language === 'zh' ? `${ROLE_NAMES[role]}（${role}）` : role

const minuteOf = (ms: number): string => `${isoTime(ms).slice(0, 16).replace('T', ' ')} UTC`

const badOf = ({ bad }: Shown): string =>
  bad === null ? '' : `<p class="bad" role="alert">${escaped(bad)}</p>`

const signOutForm = (label: string, next: string): string =>
  `<form class="bare" method="post" action="/sign-out">${hidden('next', next)}<button class="plain">${label}</button></form>`

/** A button and no address: the provider's is asked for when it is needed. */
function providerForm(language: Language, next: string, configured: boolean): string {
  if (!configured) return ''
  return `<form class="bare" method="post" action="/sign-in/provider">${hidden('next', next)}<button class="plain">${wordsIn(language).provider}</button></form>`
}

interface Next {
  readonly next: string
  readonly provider: boolean
}

export interface SignInView extends Next {
  readonly email: string
  readonly signUp: boolean
}

/** @param fixed an address that cannot be another one */
function passwordForm(language: Language, email: string, next: string, fixed: boolean): string {
  const words = wordsIn(language)
  const rest = `type="email" maxlength="320" autocomplete="username" value="${escaped(email)}"`
  return `<form method="post" action="/sign-in">${hidden('next', next)}
${field(words.email, 'email', `${rest}${fixed ? ' readonly' : ''}`)}
${field(words.password, 'password', 'type="password" maxlength="128" autocomplete="current-password"')}
<button>${words.signIn}</button></form>
<p><a href="/reset-password">${words.forgotten}</a></p>`
}

export function signInPage(shown: Shown, { email, next, provider, signUp }: SignInView): string {
  const { language } = shown
  const words = wordsIn(language)
  const body = `${badOf(shown)}${passwordForm(language, email, next, false)}${
    signUp ? `<p><a href="/sign-up">${words.signUp}</a></p>` : ''
  }${providerForm(language, next, provider)}`
  return htmlPage(language, words.signIn, body)
}

export function codePage(shown: Shown, next: string): string {
  const words = wordsIn(shown.language)
  const code =
    'inputmode="numeric" pattern="[0-9 ]{6,7}" maxlength="7" autocomplete="one-time-code" autofocus'
  return htmlPage(
    shown.language,
    words.second,
    `${badOf(shown)}<p>${words.secondText}</p>
<form method="post" action="/sign-in/code">${hidden('next', next)}${field(words.code, 'code', code)}<button>${words.confirm}</button></form>
<form method="post" action="/sign-in/code">${hidden('next', next)}<h2>${words.recovery}</h2>
${field(words.recoveryCode, 'recovery', 'maxlength="40" autocomplete="off" spellcheck="false"')}<button class="plain">${words.useRecovery}</button></form>
<p><a href="/sign-in?next=${encodeURIComponent(next)}">${words.again}</a></p>`,
  )
}

/** Leads on by itself, and by a link where that is turned off. */
export function leadingPage(language: Language, url: string, toProvider: boolean): string {
  const words = wordsIn(language)
  const head = `<meta http-equiv="refresh" content="0;url=${escaped(url)}">`
  const text = toProvider ? `<p>${words.toProviderText}</p>` : ''
  const title = toProvider ? words.toProvider : words.moment
  return htmlPage(language, title, `${text}<p><a href="${escaped(url)}">${words.goOn}</a></p>`, head)
}

export function resetAskPage(shown: Shown, mails: boolean): string {
  const words = wordsIn(shown.language)
  const form = `<form method="post" action="/reset-password"><p>${words.resetText}</p>
${field(words.email, 'email', 'type="email" maxlength="320" autocomplete="username"')}<button>${words.resetSend}</button></form>`
  const body = `${badOf(shown)}${mails ? form : `<p>${words.resetNoMail}</p>`}<p><a href="/sign-in">${words.signIn}</a></p>`
  return htmlPage(shown.language, words.reset, body)
}

export function resetPage(shown: Shown, token: string): string {
  const words = wordsIn(shown.language)
  return htmlPage(
    shown.language,
    words.setPassword,
    `${badOf(shown)}<form method="post" action="/reset-password">${hidden('token', token)}<p>${words.setPasswordText}</p>
${field(words.newPassword, 'password', PASSWORD_RULES)}<button>${words.save}</button></form>`,
  )
}

export function signUpPage(shown: Shown): string {
  const words = wordsIn(shown.language)
  return htmlPage(
    shown.language,
    words.signUp,
    `${badOf(shown)}<form method="post" action="/sign-up"><p>${words.signUpText}</p>
${field(words.name, 'name', 'maxlength="128" autocomplete="name"')}
${field(words.email, 'email', 'type="email" maxlength="320" autocomplete="username"')}<button>${words.signUp}</button></form>
<p><a href="/sign-in">${words.signIn}</a></p>`,
  )
}

/** One sentence, and the way on. */
export function notePage(
  language: Language,
  note: { readonly title: string; readonly text: string; readonly href: string; readonly label: string },
): string {
  const body = `<p>${escaped(note.text)}</p><p><a href="${note.href}">${escaped(note.label)}</a></p>`
  return htmlPage(language, note.title, body)
}

export interface Membership {
  readonly orgId: Uuid
  readonly name: string
  readonly role: Role
}

export interface OwnSession {
  readonly id: string
  readonly createdAtMs: number
  readonly address: string | null
  readonly agent: string | null
  readonly current: boolean
}

export interface AccountView {
  readonly person: Person
  readonly memberships: readonly Membership[]
  readonly sessions: readonly OwnSession[]
  /** Who has just joined, and whether they had before. */
  readonly joined: { readonly orgId: Uuid; readonly before: boolean } | null
}

function joinedNote(language: Language, { joined, memberships }: AccountView): string {
  const at = memberships.find(({ orgId }) => orgId === joined?.orgId)
  if (joined === null || at === undefined) return ''
  const words = wordsIn(language)
  const where = `<strong>${escaped(at.name)}</strong> · ${words.as}${roleIn(language, at.role)}`
  return `<p class="note" role="status">${joined.before ? words.memberAlready : words.joined} ${where}</p>`
}

function sessionsOf(language: Language, sessions: readonly OwnSession[]): string {
  const words = wordsIn(language)
  const one = (session: OwnSession): string => {
    const agent = escaped((session.agent ?? '').slice(0, 120))
    const since = `${words.since}${minuteOf(session.createdAtMs)}`
    const label = `${words.endSession} · ${since}`
    const end = `<form class="bare" method="post" action="/account/sessions/end">${hidden('id', session.id)}<button class="plain" aria-label="${escaped(label)}">${words.end}</button></form>`
    return `<li>${since}${session.address === null ? '' : `, ${words.from} ${escaped(session.address)}`}${
      session.current ? ` · <strong>${words.thisSession}</strong>` : ''
    }<br><span class="small">${agent}</span>${session.current ? '' : end}</li>`
  }
  const others = sessions.some(({ current }) => !current)
    ? `<form class="bare" method="post" action="/account/sessions/end-others"><button class="plain">${words.endOthers}</button></form>`
    : ''
  return `<section><h2>${words.sessions}</h2><ul>${sessions.map(one).join('')}</ul>${others}</section>`
}

export function accountPage(shown: Shown, view: AccountView): string {
  const { language } = shown
  const words = wordsIn(language)
  const { person, memberships } = view
  const operator = person.operatorRole === null ? '' : `<p>${words.operatorRole}${person.operatorRole}</p>`
  const belongs =
    memberships.length === 0
      ? `<p>${words.belongsNowhere}</p>`
      : `<ul>${memberships
          .map(
            ({ name, role }) =>
              `<li><strong>${escaped(name)}</strong> · ${words.as}${roleIn(language, role)}</li>`,
          )
          .join('')}</ul>`
  return htmlPage(
    language,
    words.account,
    `${badOf(shown)}${joinedNote(language, view)}<p>${escaped(person.email)}</p>${operator}
<section><h2>${words.belongs}</h2>${belongs}</section>
<section><h2>${words.next}</h2><p>${words.nextText}</p><ul><li><a href="/api/v1/me">${words.nextMe}</a> <code>GET /api/v1/me</code></li>
<li><a href="/openapi.json">${words.nextApi}</a></li></ul></section>
<form method="post" action="/account/name">${field(words.name, 'name', `maxlength="128" autocomplete="name" value="${escaped(person.name)}"`)}<button class="plain">${words.save}</button></form>
${sessionsOf(language, view.sessions)}${signOutForm(words.signOut, '/sign-in')}`,
  )
}

export interface JoinView {
  readonly invitation: SeenInvitation
  readonly invitedBy: { readonly name: string; readonly email: string } | null
  /** Who looks; null: nobody is signed in. */
  readonly person: Person | null
  /** There is an account under the invited address. */
  readonly known: boolean
  readonly provider: boolean
  readonly path: string
  readonly name: string
}

function joinForm(language: Language, view: JoinView): string {
  const words = wordsIn(language)
  const { invitation, person, path } = view
  const email = escaped(invitation.email)
  if (person !== null && person.email === invitation.email)
    return `<form method="post" action="${path}">${hidden('use', 'accept')}<p>${words.signedInAs}${escaped(person.email)}</p><button>${words.join}</button></form>`
  if (person !== null)
    return `<section><p>${words.signedInAs}${escaped(person.email)}</p><p>${words.otherAddress}<strong>${email}</strong></p>
<p>${words.otherAddressText}</p>${signOutForm(words.signOut, path)}</section>`
  const provider = providerForm(language, path, view.provider)
  if (view.known)
    return `<p>${words.haveAccount}</p>${passwordForm(language, invitation.email, path, true)}${provider}`
  return `<form method="post" action="${path}">${hidden('use', 'create')}<h2>${words.create}</h2>
${field(words.email, 'email', `type="email" autocomplete="username" value="${email}" readonly`)}
${field(words.name, 'name', `maxlength="128" autocomplete="name" value="${escaped(view.name)}"`)}
${field(words.choosePassword, 'password', PASSWORD_RULES)}<button>${words.createAndJoin}</button></form>${provider}`
}

export function joinPage(shown: Shown, view: JoinView): string {
  const { language } = shown
  const words = wordsIn(language)
  const { invitation, invitedBy } = view
  const organization = `<strong>${escaped(invitation.organization)}</strong>`
  const asked =
    invitedBy === null
      ? `${words.operatorInvites} ${organization}`
      : `${escaped(invitedBy.name)} (${escaped(invitedBy.email)}) ${words.invites} ${organization}`
  return htmlPage(
    language,
    `${words.join} ${invitation.organization}`,
    `${badOf(shown)}<p>${asked}</p>
<p>${words.asRole}<strong>${roleIn(language, invitation.role)}</strong><br><span class="small">${words.until}${minuteOf(invitation.expiresAtMs)}</span></p>
${joinForm(language, view)}`,
  )
}
