import type { Uuid } from '../kernel/index.ts'
import { formatId, isObject } from '../kernel/index.ts'
import { type Fields, textOf } from './http.ts'
import { languageOf } from './page.ts'
import { joinPage, notePage, type Shown } from './pages.ts'
import type { Person, SeenInvitation } from './types.ts'
import { type Desk, HOME, leadTo, show, type Visit } from './visit.ts'
import { waitIn, wordsIn } from './words.ts'

/** The page behind the link of an invitation. Looking uses nothing up; the token stands for the address it was sent to. */

export class JoinDoor {
  private readonly desk: Desk

  constructor(desk: Desk) {
    this.desk = desk
  }

  private noInvitation(visit: Visit): null {
    const words = wordsIn(languageOf(visit.req))
    const note = { title: words.noInvitation, text: words.noInvitationText, href: HOME, label: words.account }
    return show(visit, notePage(languageOf(visit.req), note), 404)
  }

  async join(visit: Visit, token: string): Promise<null> {
    const { req, form, res } = visit
    const asker = { address: this.desk.options.addressOf(req), email: '', session: null, isKnownPlace: false }
    const waitSeconds = await this.desk.library.wait('/invitation', asker)
    if (waitSeconds !== null) {
      res.setHeader('retry-after', waitSeconds)
      const words = wordsIn(languageOf(req))
      const text = waitIn(languageOf(req), waitSeconds)
      const note = { title: words.join, text, href: visit.path, label: words.goOn }
      return show(visit, notePage(languageOf(req), note), 429)
    }
    const invitation = await this.desk.options.joining.seeInvitation(token)
    if (invitation === null) return this.noInvitation(visit)
    if (form === null) return this.joinForm(visit, invitation, this.desk.shown(visit))
    if (textOf(form, 'use') === 'create') return this.createAndJoin(visit, token, invitation, form)
    const person = await this.desk.people.personOf(req.headers)
    if (person === null) return this.joinForm(visit, invitation, this.desk.shown(visit))
    return this.accept(visit, token, invitation, person)
  }

  private async joinForm(
    visit: Visit,
    invitation: SeenInvitation,
    shown: Shown,
    status = 200,
  ): Promise<null> {
    const { database, oidc } = this.desk.options
    const rows = await database.query<{ id: Uuid; email: string; name: string; email_verified: boolean }>(
      'select id, email, name, email_verified from identity.person where id = $1 or email = $2',
      [invitation.invitedBy, invitation.email],
    )
    const view = {
      invitation,
      invitedBy: rows.find(({ id }) => id === invitation.invitedBy) ?? null,
      person: await this.desk.people.personOf(visit.req.headers),
      // Whoever has the token may be told: it was sent to this address.
      known: rows.some((row) => row.email === invitation.email && row.email_verified),
      provider: oidc !== null,
      path: visit.path,
      name: textOf(visit.form ?? {}, 'name'),
    }
    return show(visit, joinPage(shown, view), status)
  }

  private async createAndJoin(
    visit: Visit,
    token: string,
    invitation: SeenInvitation,
    form: Fields,
  ): Promise<null> {
    const { email } = invitation
    const password = textOf(form, 'password')
    const made = await this.desk.ask(visit, {
      path: '/sign-up/email',
      fields: { email, password, name: textOf(form, 'name').trim(), invitation: token },
    })
    if (made.code !== null)
      return this.joinForm(visit, invitation, this.desk.refusal(visit, made), made.status)
    const signedIn = await this.desk.ask(visit, { path: '/sign-in/email', fields: { email, password } })
    const user = signedIn.json['user']
    // The library tells nobody that there was an account already; the password then is another one.
    if (signedIn.code !== null || user === undefined || !isObject(user) || typeof user['id'] !== 'string') {
      const shown = this.desk.refusal(visit, { code: 'ACCOUNT_EXISTS', waitSeconds: signedIn.waitSeconds })
      return this.joinForm(visit, invitation, shown, signedIn.waitSeconds === null ? 409 : 429)
    }
    return this.accept(visit, token, invitation, { id: user['id'], email, emailVerified: true })
  }

  private async accept(
    visit: Visit,
    token: string,
    invitation: SeenInvitation,
    person: Pick<Person, 'id' | 'email' | 'emailVerified'>,
  ): Promise<null> {
    const by = {
      kind: 'person',
      id: person.id,
      requestId: visit.requestId,
      address: this.desk.options.addressOf(visit.req),
    } as const
    const accepted = await this.desk.options.joining.accept(token, person, by)
    const org = formatId('org', invitation.orgId)
    if (accepted.ok) return leadTo(visit, `${HOME}?joined=${org}`)
    if (accepted.reason === 'member_already') return leadTo(visit, `${HOME}?joined=${org}&before=1`)
    if (accepted.reason === 'unknown') return this.noInvitation(visit)
    const shown = this.desk.refusal(visit, { code: accepted.reason, waitSeconds: null })
    return this.joinForm(visit, invitation, shown, 403)
  }
}
