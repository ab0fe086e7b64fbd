import type { TestContext } from 'node:test'
import { type ApiStand, type StandOptions, startApi } from '../api-stand.ts'
import { testDatabase } from '../database.ts'
import { Browser } from './browser.ts'

/** Sign-in over HTTP and a real database. Invitations are a list here: the token of an address is `invite:<address>`. */

export const PASSWORD = 'correct horse battery'
export const SESSION = '__Host-tf_session'

export interface SignInStand extends ApiStand {
  browser(): Browser
  /** Makes an account by invitation, and signs in. */
  member(email: string): Promise<Browser>
  /** The one-time code of a fresh operator link. */
  operatorCode(): Promise<string>
  /** Another process over the same database. */
  second(): Promise<SignInStand>
}

export async function startSignIn(t: TestContext, options: StandOptions = {}): Promise<SignInStand> {
  const database = options.database ?? (await testDatabase(t))
  const stand = await startApi(
    t,
    {},
    {
      database,
      identity: { maySignUp: async (email, token) => token === `invite:${email}`, ...options.identity },
    },
  )
  const browser = (): Browser => new Browser(stand.url)
  return {
    ...stand,
    browser,
    async member(email) {
      const made = browser()
      const body = { email, password: PASSWORD, name: 'A person', invitation: `invite:${email}` }
      const signedUp = await made.post('/api/auth/sign-up/email', body)
      if (signedUp.status !== 200) throw new Error(`no account: ${signedUp.status} ${signedUp.text}`)
      const signedIn = await made.post('/api/auth/sign-in/email', { email, password: PASSWORD })
      if (signedIn.status !== 200) throw new Error(`not signed in: ${signedIn.status} ${signedIn.text}`)
      return made
    },
    async operatorCode() {
      const { json } = await stand.call('POST', '/api/v1/operator-links')
      return json.url.split('/').at(-1)
    },
    second: () => startSignIn(t, { ...options, database }),
  }
}
