import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { inspect } from 'node:util'
import { type ConfigFault, nearestName } from './catalog/index.ts'
import { type OidcSettings, SIGN_UP_MODES, type SignUpMode } from './identity/index.ts'
import { wrongNetwork } from './tenancy/index.ts'

/**
 * What an installation is started with: environment variables, and a flag of the same meaning for each, which wins.
 * The only reader of process.env; everything else is handed its part of {@link Config}.
 */

/** A value that no log, error or dump shows. Only `reveal()` gives it out. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  toString(): string {
    return HIDDEN
  }

  toJSON(): string {
    return HIDDEN
  }

  [inspect.custom](): string {
    return HIDDEN
  }
}

const HIDDEN = '[hidden]'

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface Config {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** An absolute path; null where there is no forge.yaml. */
  readonly configPath: string | null
  /** An absolute path. */
  readonly dataDir: string
  /** Carries a password; null starts the embedded database. */
  readonly databaseUrl: Secret | null
  readonly redisUrl: Secret | null
  /** Null: made once and kept in the data directory, see {@link loadOrCreateSecret}. */
  readonly operatorToken: Secret | null
  readonly masterKey: Secret | null
  /** The database belongs to the master key of this start from now on, whatever it belonged to. */
  readonly replaceMasterKey: boolean
  /** Carries a password; null: no mail is sent. */
  readonly smtpUrl: Secret | null
  readonly mailFrom: string
  /** Under which people reach this installation, without a slash at its end; null: as it listens. */
  readonly publicUrl: string | null
  /** Who may make an account. */
  readonly signUp: SignUpMode
  /** Null: nobody signs in by way of a provider. */
  readonly oidc: (Omit<OidcSettings, 'clientSecret'> & { readonly clientSecret: Secret }) | null
  /** Networks whose `x-forwarded-for` is believed; none unless they are named. */
  readonly trustedProxies: readonly string[]
  /** Lets webhooks go to loopback and private networks. */
  readonly webhookPrivateTargets: boolean
  readonly processes: number
  readonly logLevel: LogLevel
}

export type Environment = Readonly<Record<string, string | undefined>>
export type Flags = Readonly<Record<string, string | boolean | undefined>>

export type ReadConfig =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] }

/** By flag; the variable is what `--help` and a fault name besides. */
const VARIABLES = {
  host: 'FORGE_HOST',
  port: 'FORGE_PORT',
  config: 'FORGE_CONFIG',
  'data-dir': 'FORGE_DATA_DIR',
  'database-url': 'DATABASE_URL',
  'redis-url': 'REDIS_URL',
  'operator-token': 'FORGE_OPERATOR_TOKEN',
  'master-key': 'FORGE_MASTER_KEY',
  'replace-master-key': 'FORGE_REPLACE_MASTER_KEY',
  'smtp-url': 'FORGE_SMTP_URL',
  'mail-from': 'FORGE_MAIL_FROM',
  'public-url': 'FORGE_PUBLIC_URL',
  'sign-up': 'FORGE_SIGN_UP',
  'oidc-issuer': 'FORGE_OIDC_ISSUER',
  'oidc-client-id': 'FORGE_OIDC_CLIENT_ID',
  'oidc-client-secret': 'FORGE_OIDC_CLIENT_SECRET',
  'trusted-proxies': 'FORGE_TRUSTED_PROXIES',
  'webhook-private-targets': 'FORGE_WEBHOOK_PRIVATE_TARGETS',
  processes: 'FORGE_PROCESSES',
  'log-level': 'FORGE_LOG_LEVEL',
} as const
type Flag = keyof typeof VARIABLES

/** Flags of every command, which say nothing about the installation. */
const OTHER_FLAGS = ['json', 'help']
const DEFAULT_CONFIG = 'forge.yaml'
const PROCESSES_MAX = 256
/** Each has up to 28 connections (parts.ts), and the embedded database takes 400. */
const EMBEDDED_PROCESSES_MAX = 13
const SECRET_LENGTH_MIN = 16

/** The environment of this process; `${NAME}` in forge.yaml is filled from it. */
export function environment(): Environment {
  return process.env
}

/** Where values come from and where faults go. */
interface Reading {
  readonly faults: ConfigFault[]
  /** The value, or null where neither flag nor variable gives one; an empty one counts as none. */
  readonly value: (flag: Flag) => string | null
  readonly fault: (flag: Flag, problem: string, nearest?: string) => void
}

/**
 * @param flags of `forge start`, by name without dashes; they win over the environment
 * @returns the frozen configuration, or everything that is wrong with it; no fault quotes a value
 */
export function readConfig(flags: Flags, env: Environment = environment()): ReadConfig {
  const reading = readingOf(flags, env)
  const config: Config = {
    host: hostOf(reading),
    port: integerOf(reading, 'port', 8700, 0, 65_535),
    configPath: configPathOf(reading),
    dataDir: resolve(reading.value('data-dir') ?? 'data'),
    databaseUrl: urlOf(reading, 'database-url', ['postgres:', 'postgresql:']),
    redisUrl: urlOf(reading, 'redis-url', ['redis:', 'rediss:']),
    operatorToken: secretOf(reading, 'operator-token'),
    masterKey: secretOf(reading, 'master-key'),
    replaceMasterKey: booleanOf(reading, 'replace-master-key'),
    smtpUrl: urlOf(reading, 'smtp-url', ['smtp:', 'smtps:']),
    mailFrom: mailFromOf(reading),
    publicUrl: publicUrlOf(reading),
    signUp: signUpOf(reading),
    oidc: oidcOf(reading),
    trustedProxies: networksOf(reading),
    webhookPrivateTargets: booleanOf(reading, 'webhook-private-targets'),
    processes: processesOf(reading),
    logLevel: logLevelOf(reading),
  }
  return reading.faults.length > 0
    ? { ok: false, faults: reading.faults }
    : { ok: true, config: Object.freeze(config) }
}

function readingOf(flags: Flags, env: Environment): Reading {
  const faults: ConfigFault[] = []
  const known = [...Object.keys(VARIABLES), ...OTHER_FLAGS]
  for (const name of Object.keys(flags)) {
    if (flags[name] === undefined || known.includes(name)) continue
    const nearest = nearestName(name, known)
    faults.push({
      path: `--${name}`,
      problem: 'there is no such flag',
      ...(nearest === undefined ? {} : { nearest }),
    })
  }
  for (const flag of Object.keys(VARIABLES)) {
    if (typeof flags[flag] === 'boolean') faults.push({ path: `--${flag}`, problem: 'needs a value' })
  }
  const flagOf = (flag: Flag): string | null => {
    const given = flags[flag]
    return typeof given === 'string' && given !== '' ? given : null
  }
  return {
    faults,
    value: (flag) => flagOf(flag) ?? (env[VARIABLES[flag]] || null),
    fault: (flag, problem, nearest) =>
      faults.push({
        path: flagOf(flag) === null ? VARIABLES[flag] : `--${flag}`,
        problem,
        ...(nearest === undefined ? {} : { nearest }),
      }),
  }
}

function hostOf({ value, fault }: Reading): string {
  const host = value('host') ?? '127.0.0.1'
  if (!/^[A-Za-z0-9.:_-]+$/.test(host))
    fault('host', 'must be a host name or an address without port or scheme')
  return host
}

function configPathOf({ value, fault }: Reading): string | null {
  const given = value('config')
  const path = resolve(given ?? DEFAULT_CONFIG)
  if (existsSync(path)) return path
  if (given !== null) fault('config', `there is no file ${given}`)
  return null
}

function integerOf({ value, fault }: Reading, flag: Flag, unset: number, min: number, max: number): number {
  const text = value(flag)
  if (text === null) return unset
  const number = /^\d{1,6}$/.test(text) ? Number.parseInt(text, 10) : -1
  if (number < min || number > max) fault(flag, `must be a whole number from ${min} to ${max}`)
  return number
}

function processesOf(reading: Reading): number {
  const processes = integerOf(reading, 'processes', 1, 1, PROCESSES_MAX)
  if (processes > EMBEDDED_PROCESSES_MAX && reading.value('database-url') === null)
    reading.fault(
      'processes',
      `the embedded database has connections for ${EMBEDDED_PROCESSES_MAX} processes; for more name a PostgreSQL of your own with DATABASE_URL`,
    )
  return processes
}

function booleanOf({ value, fault }: Reading, flag: Flag): boolean {
  const text = value(flag) ?? 'false'
  if (text !== 'true' && text !== 'false') fault(flag, 'must be true or false')
  return text === 'true'
}

function urlOf({ value, fault }: Reading, flag: Flag, protocols: readonly string[]): Secret | null {
  const text = value(flag)
  if (text === null) return null
  const known = protocols.some((protocol) => text.startsWith(`${protocol}//`))
  // A socket directory may stand where the host would; the driver reads such an address, URL does not.
  if (!known) fault(flag, `must begin with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`)
  else if (/\s/.test(text)) fault(flag, 'must not contain spaces or line breaks')
  return new Secret(text)
}

/** `name <address>`, or an address alone. */
function isSender(text: string): boolean {
  const open = text.indexOf('<')
  const address = open === -1 ? text : text.slice(open + 1, -1)
  const framed = open === -1 || (text.endsWith('>') && !/[<>\p{Cc}]/u.test(text.slice(0, open)))
  return framed && /^[^\s<>@]+@[^\s<>@]+$/.test(address)
}

function mailFromOf({ value, fault }: Reading): string {
  const text = value('mail-from') ?? 'Tokens Forge <tokens-forge@localhost>'
  if (!isSender(text)) fault('mail-from', 'must be an address, or a name and <an address>')
  return text
}

function publicUrlOf({ value, fault }: Reading): string | null {
  const text = value('public-url')
  if (text === null) return null
  const url = URL.canParse(text) ? new URL(text) : null
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.pathname !== '/' ||
    url.search !== '' ||
    url.username !== ''
  )
    fault('public-url', 'must be http:// or https:// with a host, and no path')
  return url === null ? null : url.origin
}

function secretOf({ value, fault }: Reading, flag: Flag): Secret | null {
  const text = value(flag)
  if (text === null) return null
  if (!/^[\x21-\x7e]*$/.test(text)) fault(flag, 'must be one word of plain characters')
  else if (text.length < SECRET_LENGTH_MIN) fault(flag, `must have at least ${SECRET_LENGTH_MIN} characters`)
  return new Secret(text)
}

function signUpOf({ value, fault }: Reading): SignUpMode {
  const text = value('sign-up') ?? 'invited'
  const mode = SIGN_UP_MODES.find((each) => each === text)
  if (mode === undefined)
    fault('sign-up', `must be one of ${SIGN_UP_MODES.join(', ')}`, nearestName(text, SIGN_UP_MODES))
  // An address that nobody has proven is an account that nobody may use.
  if (mode === 'open' && value('smtp-url') === null)
    fault('sign-up', 'open needs FORGE_SMTP_URL: addresses are confirmed by mail')
  if (mode === 'oidc' && value('oidc-issuer') === null) fault('sign-up', 'oidc needs FORGE_OIDC_ISSUER')
  return mode ?? 'invited'
}

/** https, or http on the machine itself: tokens must not cross a network in clear. */
function isIssuer(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, search, hash } = new URL(text)
  const local = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]'
  return (protocol === 'https:' || (protocol === 'http:' && local)) && search === '' && hash === ''
}

function oidcOf({ value, fault }: Reading): Config['oidc'] {
  const issuer = value('oidc-issuer')
  const clientId = value('oidc-client-id')
  const clientSecret = value('oidc-client-secret')
  if (issuer === null && clientId === null && clientSecret === null) return null
  if (issuer === null || clientId === null || clientSecret === null) {
    fault('oidc-issuer', 'issuer, client id and client secret are given together')
    return null
  }
  if (!isIssuer(issuer))
    fault('oidc-issuer', 'must be the https:// address of the provider, as its tokens name it')
  return { issuer, clientId, clientSecret: new Secret(clientSecret) }
}

function networksOf({ value, fault }: Reading): readonly string[] {
  const texts = (value('trusted-proxies') ?? '').split(',').filter((text) => text.trim() !== '')
  if (wrongNetwork(texts) !== null)
    fault('trusted-proxies', 'must be addresses or CIDR networks, separated by commas')
  return texts
}

function logLevelOf({ value, fault }: Reading): LogLevel {
  const text = value('log-level')
  const level = LOG_LEVELS.find((each) => each === text)
  if (text !== null && level === undefined)
    fault('log-level', `must be one of ${LOG_LEVELS.join(', ')}`, nearestName(text, LOG_LEVELS))
  return level ?? 'info'
}

/**
 * Reads the secret `<dataDir>/<name>`, or makes one that only this user can read. Of several processes that come at
 * once all get the same value: the file appears complete, under its name, for exactly one of them.
 * @throws the file system's error; Error when the file is there but empty
 */
export async function loadOrCreateSecret(dataDir: string, name: string): Promise<Secret> {
  const path = join(dataDir, name)
  const existing = await readSecret(path)
  if (existing !== null) return existing
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomBytes(8).toString('hex')}`
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(`${randomBytes(32).toString('base64url')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await link(draft, path).catch((thrown: unknown) => {
      if (!isCode(thrown, 'EEXIST')) throw thrown
    })
  } finally {
    await rm(draft, { force: true })
  }
  await syncDirectory(dataDir)
  const made = await readSecret(path)
  if (made === null) throw new Error(`the secret ${name} vanished while it was made`)
  return made
}

/** Without this a power cut could take the name away, and whatever the secret encrypted with it. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

async function readSecret(path: string): Promise<Secret | null> {
  let text: string
  try {
    text = (await readFile(path, 'utf8')).trim()
  } catch (thrown) {
    if (isCode(thrown, 'ENOENT')) return null
    throw thrown
  }
  // Never replaced by a new one: what the lost secret encrypted would be lost with it.
  if (text === '')
    throw new Error(`the secret file ${path} is empty; restore it, or delete it to have a new one made`)
  if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600)
  return new Secret(text)
}

function isCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && (thrown as NodeJS.ErrnoException).code === code
}
