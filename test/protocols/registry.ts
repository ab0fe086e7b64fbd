import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PROTOCOL_NAMES, type Protocol, type ProtocolName } from '../../src/protocols/protocol.ts'

/** Every wire format there is, by name: the conformance suite runs over this and knows none of them. */

const FOLDER = join(import.meta.dirname, '../../src/protocols')

/** A format that generates: those of other operations have no streams and a neutral form of their own. */
export type Format = Protocol & { readonly name: ProtocolName }

function isFormat(value: unknown, name: ProtocolName): value is Format {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    value.name === name &&
    'readRequest' in value &&
    typeof value.readRequest === 'function'
  )
}

async function load(name: ProtocolName): Promise<Format | null> {
  const path = join(FOLDER, name, 'index.ts')
  if (!existsSync(path)) return null
  const exported = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>
  return Object.values(exported).find((value) => isFormat(value, name)) ?? null
}

const loaded = await Promise.all(PROTOCOL_NAMES.map(load))

export const PROTOCOLS: readonly Format[] = loaded.filter((format) => format !== null)

/** Named in PROTOCOL_NAMES, but no folder exports it. */
export const MISSING: readonly ProtocolName[] = PROTOCOL_NAMES.filter((_, at) => loaded[at] === null)
