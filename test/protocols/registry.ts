import { PROTOCOLS, type Protocol, type ProtocolName } from '../../src/protocols/index.ts'

/** A format that generates: those of embeddings have no streams and a neutral form of their own. */
export type Format = Protocol & { readonly name: ProtocolName }

/** Every wire format there is: the conformance suite runs over this and knows none of them. */
export const FORMATS: readonly Format[] = Object.values(PROTOCOLS).map((protocol) => protocol as Format)
