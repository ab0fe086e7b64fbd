import type { IncomingHttpHeaders } from 'node:http'

/**
 * Who may change something with a cookie: pages of our own. A browser says of every request where it came from; a request
 * that says nothing of it is no browser's, or one that hides it.
 */

/** @param origins under which this installation is reached, as browsers write them */
export function isSameOrigin(
  req: { readonly headers: IncomingHttpHeaders },
  origins: readonly string[],
): boolean {
  const { origin } = req.headers
  const site = req.headers['sec-fetch-site']
  // Both are judged: a name that was pointed at this address later is "same-origin" to its browser.
  if (origin !== undefined && !origins.includes(origin)) return false
  if (site !== undefined) return site === 'same-origin'
  return origin !== undefined
}

/** Reading changes nothing, so links from elsewhere may do it. */
export function isReading(method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}

/**
 * The first is the one that mails and providers are told.
 * @param publicUrl as it was configured
 * @param listening host and port; people at the machine itself use any name of it
 */
export function originsOf(
  publicUrl: string | null,
  listening: { readonly host: string; readonly port: number },
): readonly string[] {
  if (publicUrl !== null) return [publicUrl]
  const { host, port } = listening
  const everywhere = host === '0.0.0.0' || host === '::'
  const own = host.includes(':') ? `[${host}]` : host
  const names = everywhere ? ['127.0.0.1'] : [own]
  return [...new Set([...names, '127.0.0.1', 'localhost', '[::1]'])].map((name) => `http://${name}:${port}`)
}
