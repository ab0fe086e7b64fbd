import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { faultText } from './fault.ts'
import { parseForgeYaml } from './forge-yaml.ts'

type Loose = Record<string, unknown>

const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
})
const KEY_FILE = {
  type: 'service_account',
  client_email: 'gateway@my-project.iam.gserviceaccount.com',
  private_key: PEM,
}
const BEDROCK = {
  kind: 'bedrock',
  region: 'eu-west-1',
  access_key_id: 'AKIAVERYSECRETKEYID1',
  secret_access_key: 'very-secret-access-key',
}
const VERTEX = {
  kind: 'vertex',
  project: 'my-project',
  location: 'global',
  credentials: JSON.stringify(KEY_FILE),
}

const parse = (channel: Loose, env: Record<string, string> = {}) =>
  parseForgeYaml(JSON.stringify({ channels: { c: { protocol: 'anthropic', ...channel } } }), env)

function faultsOf(channel: Loose): string[] {
  const parsed = parse(channel)
  return parsed.ok ? [] : parsed.faults.map(faultText)
}

function channelOf(channel: Loose, env: Record<string, string> = {}) {
  const parsed = parse(channel, env)
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.faults.map(faultText).join('\n'))
  return parsed.config.channels[0]
}

test('a platform has an address of its own for each format, unless the file names another', () => {
  const address = (channel: Loose): string | undefined => channelOf(channel)?.baseUrl
  const bedrock = (region: string, protocol: string): string | undefined =>
    address({ protocol, platform: { ...BEDROCK, region } })
  assert.equal(bedrock('eu-west-1', 'anthropic'), 'https://bedrock-runtime.eu-west-1.amazonaws.com')
  assert.equal(bedrock('eu-west-1', 'openai'), 'https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1')
  assert.equal(bedrock('cn-north-1', 'anthropic'), 'https://bedrock-runtime.cn-north-1.amazonaws.com.cn')
  const vertex = (location: string, protocol: string): string | undefined =>
    address({ protocol, platform: { ...VERTEX, location } })
  assert.equal(vertex('global', 'gemini'), 'https://aiplatform.googleapis.com/v1')
  assert.equal(vertex('eu', 'anthropic'), 'https://aiplatform.eu.rep.googleapis.com/v1')
  assert.equal(vertex('us-east5', 'anthropic'), 'https://us-east5-aiplatform.googleapis.com/v1')
  assert.equal(
    vertex('us-east5', 'openai'),
    'https://us-east5-aiplatform.googleapis.com/v1/projects/my-project/locations/us-east5/endpoints/openapi',
  )
  assert.equal(address({ platform: BEDROCK, base_url: 'https://proxy.example/' }), 'https://proxy.example')
})

test('credentials come from the environment, a key file as the text it holds', () => {
  const platform = { ...VERTEX, credentials: '$' + '{GOOGLE_KEY}' }
  const channel = channelOf({ platform }, { GOOGLE_KEY: JSON.stringify(KEY_FILE, null, 2) })
  assert.deepEqual(channel?.platform, {
    kind: 'vertex',
    project: 'my-project',
    location: 'global',
    betas: null,
    credentials: {
      type: 'service_account',
      clientEmail: KEY_FILE.client_email,
      privateKey: PEM,
      privateKeyId: null,
      tokenUri: 'https://oauth2.googleapis.com/token',
    },
  })
  assert.deepEqual(
    channelOf({ platform: { kind: 'bedrock', region: 'us-east-1' }, api_key: 'k' })?.platform,
    {
      kind: 'bedrock',
      region: 'us-east-1',
      betas: null,
      keys: null,
    },
  )
})

const P = 'channels.c.platform'
const withKey = (more: Loose): Loose => ({
  platform: { ...VERTEX, credentials: JSON.stringify({ ...KEY_FILE, ...more }) },
})

const CASES: ReadonlyArray<readonly [name: string, channel: Loose, ...faults: string[]]> = [
  ['neither address nor platform', {}, 'channels.c.base_url: is missing'],
  [
    'a platform nobody knows',
    { platform: { kind: 'bedrok' } },
    `${P}.kind: must be one of bedrock, vertex (did you mean "bedrock"?)`,
  ],
  ['a platform that is a word', { platform: 'bedrock' }, `${P}: must be a map of settings`],
  [
    'settings of the other platform',
    { platform: { ...BEDROCK, project: 'my-project' } },
    `${P}.project: there is no setting "project" here`,
  ],
  ['no region', { platform: { ...BEDROCK, region: null } }, `${P}.region: is missing`],
  [
    'a region that leads elsewhere',
    { platform: { ...BEDROCK, region: 'us-east-1.evil.example/' } },
    `${P}.region: must be letters, digits and -, such as us-east-1 or global`,
  ],
  ['half a key', { platform: { ...BEDROCK, secret_access_key: null } }, `${P}.secret_access_key: is missing`],
  [
    'no credential',
    { platform: { kind: 'bedrock', region: 'us-east-1' } },
    `${P}: needs access_key_id and secret_access_key, or the channel an api_key (a Bedrock API key)`,
  ],
  [
    'two credentials',
    { platform: BEDROCK, api_key: 'k' },
    'channels.c.api_key: cannot stand beside platform.access_key_id; one of them pays for the calls',
  ],
  [
    'a session without its key',
    { platform: { kind: 'bedrock', region: 'us-east-1', session_token: 's' }, api_key: 'k' },
    `${P}.session_token: means nothing without access_key_id and secret_access_key`,
  ],
  [
    'a format that Bedrock does not speak',
    { protocol: 'gemini', platform: BEDROCK },
    'channels.c.protocol: must be one of anthropic, openai, openai-responses on bedrock',
  ],
  [
    'an api_key on Vertex',
    { platform: VERTEX, api_key: 'k' },
    'channels.c.api_key: is not used on vertex; its credential is platform.credentials',
  ],
  [
    'a beta that is no name',
    { platform: { ...VERTEX, betas: ['a b'] } },
    `${P}.betas[0]: must be the name of a beta`,
  ],
  [
    'a key file’s path',
    { platform: { ...VERTEX, credentials: '/etc/secret-key.json' } },
    `${P}.credentials: must be the JSON of a Google key file (not its path), or "attached"`,
  ],
  [
    'a key of another type',
    withKey({ type: 'external_account' }),
    `${P}.credentials: must be a key of type service_account or authorized_user`,
  ],
  [
    'a key that signs nothing',
    withKey({ private_key: '-----BEGIN PRIVATE KEY-----\nsecret\n' }),
    `${P}.credentials: has a private_key that is no RSA key in PEM form`,
  ],
  [
    'a token endpoint that anybody reads',
    withKey({ token_uri: 'http://tokens.example/secret' }),
    `${P}.credentials: has a token_uri that is no https address`,
  ],
]

for (const [name, channel, ...faults] of CASES)
  test(`refused, with the place: ${name}`, () => {
    assert.deepEqual(faultsOf(channel), faults)
    assert.doesNotMatch(faults.join(), /very-secret|AKIA|secret-key\.json/)
  })
