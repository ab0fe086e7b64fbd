import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

/** A passkey authenticator in software: ES256, no attestation, as WebAuthn level 2 has it. */

type Cbor = number | string | Buffer | Map<number | string, Cbor>

function head(major: number, value: number): Buffer {
  if (value < 24) return Buffer.of((major << 5) | value)
  if (value < 256) return Buffer.of((major << 5) | 24, value)
  return Buffer.of((major << 5) | 25, value >> 8, value & 255)
}

function cbor(value: Cbor): Buffer {
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value)
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value])
  return Buffer.concat([head(5, value.size), ...[...value].flatMap(([key, item]) => [cbor(key), cbor(item)])])
}

const sha256 = (data: string | Buffer): Buffer => createHash('sha256').update(data).digest()

const FLAG_PRESENT = 1
const FLAG_VERIFIED = 4
const FLAG_KEY = 64

export interface Ceremony {
  readonly challenge: string
  readonly origin: string
  readonly rpId: string
  /** False: the authenticator did not ask for PIN, finger or face. */
  readonly verified?: boolean
}

export class Authenticator {
  readonly id = randomBytes(16)
  private readonly privateKey: KeyObject
  private readonly publicKey: KeyObject
  private counter = 0

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.privateKey = privateKey
    this.publicKey = publicKey
  }

  create(ceremony: Ceremony): object {
    const { x = '', y = '' } = this.publicKey.export({ format: 'jwk' })
    const cose = new Map<number, Cbor>([
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, Buffer.from(x, 'base64url')],
      [-3, Buffer.from(y, 'base64url')],
    ])
    const length = Buffer.of(0, this.id.length)
    const data = Buffer.concat([this.data(ceremony, FLAG_KEY), Buffer.alloc(16), length, this.id, cbor(cose)])
    const attestation = new Map<string, Cbor>([
      ['fmt', 'none'],
      ['attStmt', new Map()],
      ['authData', data],
    ])
    return this.response({
      clientDataJSON: clientData('webauthn.create', ceremony).toString('base64url'),
      attestationObject: cbor(attestation).toString('base64url'),
      transports: ['internal'],
    })
  }

  get(ceremony: Ceremony): object {
    const client = clientData('webauthn.get', ceremony)
    const data = this.data(ceremony, 0)
    const signature = sign('sha256', Buffer.concat([data, sha256(client)]), this.privateKey)
    return this.response({
      clientDataJSON: client.toString('base64url'),
      authenticatorData: data.toString('base64url'),
      signature: signature.toString('base64url'),
    })
  }

  private data({ rpId, verified = true }: Ceremony, flags: number): Buffer {
    const counter = Buffer.alloc(4)
    counter.writeUInt32BE(++this.counter)
    const all = flags | FLAG_PRESENT | (verified ? FLAG_VERIFIED : 0)
    return Buffer.concat([sha256(rpId), Buffer.of(all), counter])
  }

  private response(response: object): object {
    const id = this.id.toString('base64url')
    return { id, rawId: id, type: 'public-key', response, clientExtensionResults: {} }
  }
}

function clientData(type: string, { challenge, origin }: Ceremony): Buffer {
  return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false }))
}
