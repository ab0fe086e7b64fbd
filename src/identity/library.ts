import type { IncomingMessage } from 'node:http'
import type { Uuid } from '../kernel/index.ts'
import { countAttempt, forgetAttempts, isRemembered, remember } from './attempts.ts'
import { type Asker, knownPlaceOf, OWN_GUARDS, pairOf, SERVED } from './guards.ts'
import { type Fields, textOf, webRequest } from './http.ts'
import type { People } from './people.ts'
import type { IdentityOptions } from './types.ts'

/** The one way to the sign-in library, for its own paths and for our pages: attempts are counted, then it is asked. */

export const BASE_PATH = '/api/auth'

export interface Call {
  /** One of `SERVED`. */
  readonly path: string
  /** Null reads. */
  readonly fields: Fields | null
  /** As it was asked for, with its query; the path when left out. */
  readonly target?: string
}

/** `waitSeconds`: there were too many attempts, and nothing was asked. */
export type Called =
  | { readonly waitSeconds: number; readonly response: null }
  | { readonly waitSeconds: null; readonly response: Response }

export interface Library {
  call(req: IncomingMessage, requestId: Uuid, call: Call): Promise<Called>
  /** Counts without asking. @returns seconds to wait, or null */
  wait(path: string, asker: Asker): Promise<number | null>
}

export function createLibrary(
  options: Pick<IdentityOptions, 'database' | 'origins' | 'addressOf'>,
  people: Pick<People, 'forget' | 'sessionKey'>,
  handler: () => Promise<(request: Request) => Promise<Response>>,
): Library {
  const { database, origins, addressOf } = options
  const wait = (path: string, asker: Asker): Promise<number | null> =>
    countAttempt(database, (SERVED[path]?.guard ?? OWN_GUARDS[path])?.(asker) ?? [])

  async function ask(req: IncomingMessage, requestId: Uuid, { path, fields, target }: Call) {
    const handle = await handler()
    const origin = origins()[0] ?? ''
    try {
      return await handle(
        webRequest(req, {
          url: origin + (target ?? BASE_PATH + path),
          method: fields === null ? 'GET' : 'POST',
          body: fields === null ? null : JSON.stringify(fields),
          headers: {
            // Where it comes from was judged before; the library wants to read it in its own way.
            ...(fields === null ? {} : { origin }),
            'x-forge-address': addressOf(req) ?? '',
            'x-forge-request': requestId,
          },
        }),
      )
    } finally {
      // Whatever it changed: who was signed in is asked again.
      people.forget()
    }
  }

  return {
    wait,
    async call(req, requestId, call) {
      const signsIn = call.path === '/sign-in/email'
      const email = textOf(call.fields ?? {}, 'email')
      const place = { address: addressOf(req), email: email.trim().toLowerCase() }
      const asker: Asker = {
        ...place,
        session: people.sessionKey(req.headers),
        isKnownPlace: signsIn && (await isRemembered(database, knownPlaceOf(place))),
      }
      const waitSeconds = await wait(call.path, asker)
      if (waitSeconds !== null) return { waitSeconds, response: null }
      const response = await ask(req, requestId, call)
      if (signsIn && response.ok) {
        await forgetAttempts(database, pairOf(asker))
        await remember(database, knownPlaceOf(asker))
      }
      return { waitSeconds: null, response }
    },
  }
}
