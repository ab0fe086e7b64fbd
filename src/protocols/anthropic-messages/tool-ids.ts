const FIT = /^[a-zA-Z0-9_-]{1,128}$/
const UNFIT = /[^a-zA-Z0-9_-]/g

/** FNV-1a over UTF-16 units, as eight hex digits. */
function hash(text: string): string {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0
  return value.toString(16).padStart(8, '0')
}

/**
 * An id that Anthropic takes: the same for the same source id, so that a call and its result meet again; other ids that
 * differ only in characters that are replaced get another one.
 */
export function toolId(id: string): string {
  return FIT.test(id) ? id : `${id.replace(UNFIT, '_').slice(0, 64)}_${hash(id)}`
}

/** An answer's id in the style of this format. */
export function messageId(id: string, requestId: string): string {
  const source = id === '' ? requestId : id
  return source.startsWith('msg_') ? source : `msg_${source.replace(UNFIT, '_')}`
}
