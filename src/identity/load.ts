import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * The library piece by piece, leaves first: loaded at once it would hold up everything else in this process for half a
 * second, streams of the gateway included.
 */
const PIECES: ReadonlyArray<() => Promise<unknown>> = [
  () => import('better-auth/crypto'),
  () => import('better-auth/db'),
  () => import('better-auth/cookies'),
  () => import('better-auth/oauth2'),
  () => import('better-auth/adapters'),
  () => import('better-auth/api'),
  () => import('better-auth/minimal'),
  () => import('better-auth/plugins/two-factor'),
  () => import('better-auth/plugins/generic-oauth'),
  () => import('@better-auth/passkey'),
]

export async function loadAuth(): Promise<typeof import('./auth.ts')> {
  for (const load of PIECES) {
    await load()
    await nextTurn()
  }
  return await import('./auth.ts')
}
