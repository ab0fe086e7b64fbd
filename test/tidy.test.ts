import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path/posix'
import { test } from 'node:test'

/** The properties of the source that no compiler checks. MAY_IMPORT is the architecture (ARCHITECTURE.md shows it). */

const ROOT = normalize(join(import.meta.dirname, '..'))

const DOMAIN = ['kernel', 'contract', 'db']

/** A folder may import the folders of its row, through their index.ts only. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  kernel: [],
  contract: ['kernel'],
  db: ['kernel'],
  secrets: ['kernel'],
  mail: ['kernel'],
  protocols: ['kernel'],
  sandbox: ['kernel'],
  identity: [...DOMAIN, 'secrets', 'mail'],
  ledger: DOMAIN,
  tenancy: DOMAIN,
  budgets: DOMAIN,
  rates: [...DOMAIN, 'tenancy'],
  catalog: DOMAIN,
  receipts: DOMAIN,
  events: DOMAIN,
  webhooks: [...DOMAIN, 'secrets', 'mail', 'events'],
  alerts: [...DOMAIN, 'events'],
  platforms: ['kernel', 'contract', 'protocols', 'catalog'],
  gateway: [
    ...DOMAIN,
    'protocols',
    'platforms',
    'ledger',
    'budgets',
    'rates',
    'tenancy',
    'catalog',
    'receipts',
  ],
  api: [
    ...DOMAIN,
    'mail',
    'identity',
    'ledger',
    'budgets',
    'rates',
    'tenancy',
    'catalog',
    'receipts',
    'events',
    'webhooks',
    'alerts',
    'gateway',
  ],
  client: ['kernel', 'contract'],
  cli: ['kernel', 'contract', 'client'],
}

/** Packages, and the folders that may use them. */
const OWNERS: Readonly<Record<string, string | readonly string[]>> = {
  fastify: 'api',
  pg: 'db',
  nodemailer: 'mail',
  // Each calls out under rules of its own: the gateway where the operator says, webhooks where a customer says.
  undici: ['gateway', 'webhooks'],
  ioredis: 'rates',
  'better-auth': 'identity',
  '@better-auth/passkey': 'identity',
  '@smithy/core': 'platforms',
  '@smithy/signature-v4': 'platforms',
  'google-auth-library': 'platforms',
  yaml: 'catalog',
  'fastest-levenshtein': 'catalog',
}

/** Pure folders: values in, values out. */
const PURE = new Set(['kernel', 'protocols'])

interface Ban {
  readonly pattern: RegExp
  readonly instead: string
  /** Where it is the right thing. */
  readonly except: RegExp
}

const BANS: readonly Ban[] = [
  { pattern: /\bprocess\.env\b/, instead: 'a field of Config', except: /^src\/config\.ts$/ },
  {
    pattern: /\bDate\.now\(|\bnew Date\(\)/,
    instead: 'the Clock that was handed in',
    except: /^src\/kernel\/clock\.ts$/,
  },
  {
    pattern: /\bMath\.random\b/,
    instead: 'the random function that was handed in',
    except: /^src\/parts\.ts$/,
  },
  {
    pattern: /\bparseFloat\(|\.toFixed\(/,
    instead: 'bigint amounts of kernel/money',
    except: /^src\/sandbox\//,
  },
  {
    pattern: /\bNumber\((?!\))/,
    instead: 'bigint, or Number.parseInt on what is no money',
    except: /^src\/sandbox\//,
  },
  { pattern: /\bJSON\.parse\(/, instead: 'parseJson of kernel', except: /^src\/(?:kernel|start)\b/ },
  {
    pattern: /\bconsole\.(?:log|error|warn|info)\(/,
    instead: 'the Log that was handed in',
    except: /^src\/cli\//,
  },
  {
    pattern: /\bfetch\(/,
    instead: 'undici dispatch (fetch decompresses, redirects and costs ten times the CPU)',
    // Access tokens are fetched by Google's library, which speaks nothing else.
    except: /^src\/(?:client\/|platforms\/vertex\/exchange\.ts$)/,
  },
  { pattern: /\b(?:TODO|FIXME|XXX)\b/, instead: 'finishing it', except: /^$/ },
]

const TEST_BANS: readonly Ban[] = [
  { pattern: /\b(?:test|it|describe)\.only\(/, instead: 'running them all', except: /^$/ },
  { pattern: /\b(?:test|it|describe)\.skip\(/, instead: 'a reason in t.skip(…)', except: /^$/ },
]

const LINES_MAX = 400
const NAMES_BANNED = /(?:^|\/)(?:utils?|helpers?|common|misc|shared)(?:\.ts|\/)/

interface Source {
  readonly path: string
  readonly text: string
  /** First folder below src; null for src's own files. */
  readonly folder: string | null
}

function readSources(pattern: string): readonly Source[] {
  return globSync(pattern, { cwd: ROOT }).map((path) => {
    const parts = path.split('/')
    return {
      path,
      text: readFileSync(join(ROOT, path), 'utf8'),
      folder: parts.length > 2 ? (parts[1] ?? null) : null,
    }
  })
}

const all = readSources('src/**/*.ts')
const isTest = (source: Source): boolean => source.path.endsWith('.test.ts')
const product = all.filter((source) => !isTest(source))

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

function importsOf(source: Source) {
  const statement =
    /^\s*(?:import|export)\b[^'"]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|^\s*import\s*['"]([^'"]+)['"]/gm
  return [...source.text.matchAll(statement)].map((match) => ({
    specifier: match[1] ?? match[2] ?? match[3] ?? '',
    at: `${source.path}:${lineAt(source.text, match.index)}`,
  }))
}

function packageOf(specifier: string): string {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '')
}

function importFaults(source: Source): string[] {
  const { folder } = source
  if (folder === null) return []
  const allowed = MAY_IMPORT[folder]
  if (allowed === undefined) return [`${source.path}: the folder ${folder} has no row in MAY_IMPORT`]
  return importsOf(source).flatMap(({ specifier, at }) => {
    if (!specifier.startsWith('.')) {
      const owners = OWNERS[packageOf(specifier)]
      if (owners !== undefined && ![owners].flat().includes(folder))
        return [`${at}: only ${[owners].flat().join(' and ')} may import ${specifier}`]
      return PURE.has(folder) ? [`${at}: ${folder} is pure and may not import ${specifier}`] : []
    }
    const target = normalize(join(dirname(source.path), specifier))
    const [, there, ...rest] = target.split('/')
    if (there === folder) return []
    if (there === undefined || !allowed.includes(there)) return [`${at}: ${folder} may not import ${target}`]
    return rest.join('/') === 'index.ts' ? [] : [`${at}: import ${there} through its index.ts, not ${target}`]
  })
}

function banFaults(source: Source, bans: readonly Ban[]): string[] {
  return bans.flatMap(({ pattern, instead, except }) => {
    if (except.test(source.path)) return []
    const code = source.text.replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, '')
    const at = code.search(pattern)
    return at === -1
      ? []
      : [`${source.path}:${lineAt(code, at)}: ${pattern.source} is banned; use ${instead}`]
  })
}

test('folders import one way, through index.ts, and pure folders import nothing', () => {
  assert.ok(product.length > 50, 'the test must see the source')
  assert.deepEqual(product.flatMap(importFaults), [])
})

test('the product reads no clock, randomness, environment or JSON but where it may', () => {
  assert.deepEqual(
    product.flatMap((source) => banFaults(source, BANS)),
    [],
  )
})

test('no test is left exclusive or skipped without a reason', () => {
  const tests = [
    ...all.filter(isTest),
    ...readSources('test/**/*.test.ts').filter((source) => !source.path.includes('tidy')),
  ]
  assert.ok(tests.length > 10)
  assert.deepEqual(
    tests.flatMap((source) => banFaults(source, TEST_BANS)),
    [],
  )
})

test('files are small and named for what they hold', () => {
  assert.deepEqual(
    product.flatMap(({ path, text }) => {
      const lines = text.split('\n').length
      return [
        ...(lines > LINES_MAX ? [`${path}: ${lines} lines; the limit is ${LINES_MAX}`] : []),
        ...(NAMES_BANNED.test(path) ? [`${path}: a name that says nothing`] : []),
      ]
    }),
    [],
  )
})

test('every domain folder has a README of at most a page', () => {
  const folders = [...new Set(product.flatMap(({ folder }) => (folder === null ? [] : [folder])))]
  const faults = folders.flatMap((folder) => {
    const [readme] = globSync(`src/${folder}/README.md`, { cwd: ROOT })
    if (readme === undefined) return [`src/${folder} has no README.md`]
    const lines = readFileSync(join(ROOT, readme), 'utf8').split('\n').length
    return lines > 70 ? [`${readme}: ${lines} lines; the limit is 70`] : []
  })
  assert.deepEqual(faults, [])
})

test('nothing of a machine is in the repository: no home or work paths, no registry hosts', () => {
  const files = globSync(['{src,test,bench,scripts,docs,seed,migrations,.ci}/**/*', '*.md', '*.json'], {
    cwd: ROOT,
    exclude: ['node_modules/**'],
  }).filter((path) => /\.(?:ts|mjs|sql|md|yaml|json|sh|c|txt)$|run$/.test(path))
  assert.ok(files.length > 100)
  const pattern = new RegExp(
    `${['', 'work', ''].join('/')}main|${['', 'farm', ''].join('/')}|registry\\.npm${'js'}|${['', 'root', ''].join('/')}\\w`,
  )
  const faults = files.flatMap((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8')
    const at = text.search(pattern)
    return at === -1 ? [] : [`${path}:${lineAt(text, at)}`]
  })
  assert.deepEqual(faults, [])
})
