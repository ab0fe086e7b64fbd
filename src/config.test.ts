import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { inspect, promisify } from 'node:util'
import { loadOrCreateSecret, readConfig, Secret } from './config.ts'

const byText = (a: string, b: string): number => (a < b ? -1 : 1)

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'forge-config-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

function faultsOf(flags: Record<string, string | boolean>, env: Record<string, string>): string[] {
  const read = readConfig(flags, env)
  return read.ok
    ? []
    : read.faults.map(
        ({ path, problem, nearest }) => `${path}: ${problem}${nearest === undefined ? '' : ` [${nearest}]`}`,
      )
}

test('without any variable or flag the defaults of the contract hold', () => {
  const read = readConfig({}, {})
  assert.ok(read.ok)
  const { configPath: _, dataDir, ...rest } = read.config
  assert.match(dataDir, /[/\\]data$/)
  assert.deepEqual(rest, {
    host: '127.0.0.1',
    port: 8700,
    databaseUrl: null,
    redisUrl: null,
    operatorToken: null,
    masterKey: null,
    replaceMasterKey: false,
    smtpUrl: null,
    mailFrom: 'Tokens Forge <tokens-forge@localhost>',
    publicUrl: null,
    signUp: 'invited',
    oidc: null,
    trustedProxies: [],
    webhookPrivateTargets: false,
    processes: 1,
    logLevel: 'info',
  })
  assert.ok(Object.isFrozen(read.config))
})

test('a flag wins over its variable, and an empty variable counts as unset', () => {
  const read = readConfig(
    { port: '0', 'log-level': 'debug' },
    { FORGE_PORT: '9000', FORGE_HOST: '::1', DATABASE_URL: '' },
  )
  assert.ok(read.ok)
  assert.equal(read.config.port, 0)
  assert.equal(read.config.host, '::1')
  assert.equal(read.config.logLevel, 'debug')
  assert.equal(read.config.databaseUrl, null)
})

test('every fault is listed at once, each under the name it was given by, and none quotes a value', (t) => {
  const missing = join(directory(t), 'none.yaml')
  const faults = faultsOf(
    { port: '70000', 'operator-tokn': 'x', 'log-level': 'inf', json: true, 'data-dir': true },
    {
      FORGE_HOST: 'http://secret-host/',
      FORGE_CONFIG: missing,
      DATABASE_URL: 'mysql://root:secret-password@db/x',
      REDIS_URL: 'redis://u:secret pass@r',
      FORGE_OPERATOR_TOKEN: 'secret-short',
      FORGE_MASTER_KEY: 'secret key with spaces',
      FORGE_SMTP_URL: 'http://secret-mail/',
      FORGE_MAIL_FROM: 'secret sender without address',
      FORGE_PUBLIC_URL: 'https://u:secret@host/path',
      FORGE_SIGN_UP: 'opne',
      FORGE_OIDC_ISSUER: 'http://secret-issuer/',
      FORGE_OIDC_CLIENT_ID: 'forge',
      FORGE_OIDC_CLIENT_SECRET: 'secret client',
      FORGE_WEBHOOK_PRIVATE_TARGETS: 'secret yes',
      FORGE_PROCESSES: '0',
    },
  )
  assert.deepEqual(
    faults.toSorted(byText),
    [
      '--data-dir: needs a value',
      '--log-level: must be one of fatal, error, warn, info, debug, trace, silent [info]',
      '--operator-tokn: there is no such flag [operator-token]',
      '--port: must be a whole number from 0 to 65535',
      'DATABASE_URL: must begin with postgres:// or postgresql://',
      `FORGE_CONFIG: there is no file ${missing}`,
      'FORGE_HOST: must be a host name or an address without port or scheme',
      'FORGE_MASTER_KEY: must be one word of plain characters',
      'FORGE_MAIL_FROM: must be an address, or a name and <an address>',
      'FORGE_PUBLIC_URL: must be http:// or https:// with a host, and no path',
      'FORGE_SMTP_URL: must begin with smtp:// or smtps://',
      'FORGE_OPERATOR_TOKEN: must have at least 16 characters',
      'FORGE_SIGN_UP: must be one of invited, oidc, open [open]',
      'FORGE_OIDC_ISSUER: must be the https:// address of the provider, as its tokens name it',
      'FORGE_WEBHOOK_PRIVATE_TARGETS: must be true or false',
      'FORGE_PROCESSES: must be a whole number from 1 to 256',
      'REDIS_URL: must not contain spaces or line breaks',
    ].toSorted(byText),
  )
  assert.ok(!faults.join().includes('secret'))
})

test('sign-up to everybody needs a mail server, by the provider a provider, which is given whole', () => {
  const oidc = { FORGE_OIDC_ISSUER: 'https://id.example/', FORGE_OIDC_CLIENT_ID: 'forge' }
  assert.deepEqual(faultsOf({ 'sign-up': 'open' }, {}), [
    '--sign-up: open needs FORGE_SMTP_URL: addresses are confirmed by mail',
  ])
  assert.deepEqual(faultsOf({}, { FORGE_SIGN_UP: 'oidc' }), ['FORGE_SIGN_UP: oidc needs FORGE_OIDC_ISSUER'])
  assert.deepEqual(faultsOf({}, oidc), [
    'FORGE_OIDC_ISSUER: issuer, client id and client secret are given together',
  ])
  const read = readConfig({}, { ...oidc, FORGE_SIGN_UP: 'oidc', FORGE_OIDC_CLIENT_SECRET: 'hunter2hunter2' })
  assert.ok(read.ok)
  assert.equal(read.config.oidc?.clientSecret.reveal(), 'hunter2hunter2')
  assert.ok(!JSON.stringify(read.config).includes('hunter2'))
})

test('no way of printing a configuration shows a secret', () => {
  const read = readConfig(
    {},
    {
      DATABASE_URL: 'postgres://u:hunter2hunter2@h/d',
      FORGE_OPERATOR_TOKEN: 'hunter2hunter2hunter2',
      FORGE_MASTER_KEY: 'hunter2hunter2hunter2',
      REDIS_URL: 'redis://:hunter2hunter2@h',
    },
  )
  assert.ok(read.ok)
  const { config } = read
  for (const text of [
    inspect(config, { depth: 9, showHidden: true }),
    JSON.stringify({ ...config }),
    `${config.databaseUrl} ${config.operatorToken}`,
    inspect(Object.entries(config)),
  ])
    assert.ok(!text.includes('hunter2'), text)
  assert.equal(config.operatorToken?.reveal(), 'hunter2hunter2hunter2')
  assert.ok(config.masterKey instanceof Secret)
})

test('a configuration file that exists is found by its absolute path', (t) => {
  const path = join(directory(t), 'forge.yaml')
  writeFileSync(path, '')
  const read = readConfig({ config: path }, {})
  assert.ok(read.ok)
  assert.equal(read.config.configPath, path)
})

test('a secret is made once, for this user only, and read ever after', async (t) => {
  const path = join(directory(t), 'data')
  const first = await loadOrCreateSecret(path, 'operator-token')
  assert.ok(first.reveal().length >= 43)
  assert.equal((await loadOrCreateSecret(path, 'operator-token')).reveal(), first.reveal())
  assert.notEqual((await loadOrCreateSecret(path, 'master-key')).reveal(), first.reveal())
  assert.equal(statSync(join(path, 'operator-token')).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(path).sort(), ['master-key', 'operator-token'])
})

test('a secret file that others could read is closed to them', async (t) => {
  const path = directory(t)
  writeFileSync(join(path, 'key'), 'value\n')
  chmodSync(join(path, 'key'), 0o644)
  assert.equal((await loadOrCreateSecret(path, 'key')).reveal(), 'value')
  assert.equal(statSync(join(path, 'key')).mode & 0o777, 0o600)
})

test('an empty secret file is a fault, never a reason to make another secret', async (t) => {
  const path = directory(t)
  writeFileSync(join(path, 'key'), '\n')
  await assert.rejects(loadOrCreateSecret(path, 'key'), /is empty/)
  assert.equal(readFileSync(join(path, 'key'), 'utf8'), '\n')
})

test('more processes than the embedded database has connections for need another one', () => {
  const url = { DATABASE_URL: 'postgres://stand.test/forge' }
  assert.deepEqual(faultsOf({}, { FORGE_PROCESSES: '13' }), [])
  assert.match(
    faultsOf({ processes: '14' }, {})[0] ?? '',
    /^--processes: the embedded database.*DATABASE_URL/,
  )
  assert.deepEqual(faultsOf({}, { FORGE_PROCESSES: '14', ...url }), [])
  assert.match(faultsOf({}, { FORGE_PROCESSES: '257', ...url })[0] ?? '', /^FORGE_PROCESSES/)
})

test('processes and calls that make a secret at once all get the same one', async (t) => {
  const path = join(directory(t), 'data')
  const program = `
    const { loadOrCreateSecret } = await import(${JSON.stringify(import.meta.resolve('./config.ts'))})
    const all = await Promise.all(Array.from({ length: 20 }, () => loadOrCreateSecret(${JSON.stringify(path)}, 'key')))
    process.stdout.write(all.map((secret) => secret.reveal()).join('\\n') + '\\n')`
  const run = promisify(execFile)
  const outputs = await Promise.all(
    [1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '--eval', program])),
  )
  const values = outputs.flatMap(({ stdout }) => stdout.trim().split('\n'))
  assert.equal(values.length, 60)
  assert.equal(new Set(values).size, 1)
  assert.deepEqual(readdirSync(path), ['key'])
})
