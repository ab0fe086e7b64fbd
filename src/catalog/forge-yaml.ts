import { type ConfigFault, faultAt } from './fault.ts'
import { configOf, type ForgeConfig } from './forge-config.ts'
import { SECRET_SETTINGS } from './platform-schema.ts'
import { referenceFaults } from './references.ts'
import { fileSchema } from './yaml-schema.ts'
import { faultsOf, PARSE } from './yaml-schema-parts.ts'
import { type Environment, isTreeMap, readTree, type Tree } from './yaml-tree.ts'

export type ParsedForgeYaml =
  | { readonly ok: true; readonly config: ForgeConfig }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] }

/** Shorter values are words such as `k` that appear in sentences by themselves. */
const SECRET_LENGTH_MIN = 6

/**
 * Reads a forge.yaml (or the same as JSON) and checks it as a whole: either every reference leads somewhere and every
 * price is exact, or all that is wrong is listed. Pure: the environment is an argument.
 */
export function parseForgeYaml(text: string, env: Environment): ParsedForgeYaml {
  const read = readTree(text, env)
  // An empty file, or one of comments only, configures nothing, which is no fault.
  const tree: Tree = read.readable && read.tree === null && read.faults.length === 0 ? {} : read.tree
  if (!read.readable) return { ok: false, faults: read.faults }
  if (!isTreeMap(tree))
    return { ok: false, faults: [...read.faults, faultAt([], 'the file must be a map of settings')] }
  const checked = fileSchema.safeParse(tree, PARSE)
  const faults = [
    ...read.faults,
    ...(checked.success ? [] : faultsOf(checked.error)),
    ...referenceFaults(tree, read.written),
  ]
  if (checked.success && faults.length === 0) return { ok: true, config: configOf(checked.data) }
  return { ok: false, faults: withoutSecrets(distinct(faults), secretsOf(tree, read.filledIn)) }
}

function distinct(faults: readonly ConfigFault[]): ConfigFault[] {
  return [...new Map(faults.map((fault) => [JSON.stringify([fault.path, fault.problem]), fault])).values()]
}

function secretsOf(tree: Tree, filledIn: ReadonlySet<string>): string[] {
  const channels = isTreeMap(tree) ? tree['channels'] : null
  const keys = Object.values(isTreeMap(channels) ? channels : {}).flatMap((channel) => {
    const { api_key: key, platform } = isTreeMap(channel) ? channel : {}
    return [key, ...(isTreeMap(platform) ? SECRET_SETTINGS.map((name) => platform[name]) : [])]
  })
  return [...filledIn, ...keys].filter(
    (value) => typeof value === 'string' && value.length >= SECRET_LENGTH_MIN,
  ) as string[]
}

/** No fault is worded from a secret; this stands behind it, should one be written as a name somewhere. */
function withoutSecrets(faults: readonly ConfigFault[], secrets: readonly string[]): ConfigFault[] {
  const hide = (text: string): string =>
    secrets.reduce((rest, secret) => rest.replaceAll(secret, '[hidden]'), text)
  return faults.map((fault) => ({ ...fault, path: hide(fault.path), problem: hide(fault.problem) }))
}
