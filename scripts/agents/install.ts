import { execFile } from 'node:child_process'
import { chmod, lstat, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/**
 * The agents at fixed versions, from npm, into a cache under the temporary folder: together they are 800 MB, and nothing
 * of the product needs them. Their native programs are optional packages; the launchers find them by themselves, so no
 * install script has to run.
 */

const PACKAGES = { '@anthropic-ai/claude-code': '2.1.332', '@openai/codex': '0.171.0' } as const

const LAUNCHERS = {
  claude: join('@anthropic-ai', 'claude-code', 'cli-wrapper.cjs'),
  codex: join('@openai', 'codex', 'bin', 'codex.js'),
} as const

export type AgentName = keyof typeof LAUNCHERS
/** For each agent the command line that its arguments follow. */
export type Installed = Readonly<Record<AgentName, readonly string[]>>

const run = promisify(execFile)

/** Everybody may write to the temporary folder; what is run out of it must be ours. */
async function ownFolder(): Promise<string> {
  const uid = process.getuid?.() ?? 0
  const path = join(tmpdir(), `tokens-forge-agents-${uid}`)
  await mkdir(path, { recursive: true, mode: 0o700 })
  const found = await lstat(path)
  if (!found.isDirectory() || found.uid !== uid) throw new Error(`${path} belongs to somebody else`)
  await chmod(path, 0o700)
  return path
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function fetchInto(folder: string): Promise<void> {
  await writeFile(join(folder, 'package.json'), '{"private":true}\n')
  const wanted = Object.entries(PACKAGES).map(([name, version]) => `${name}@${version}`)
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', ...wanted]
  try {
    await run('npm', args, { cwd: folder, timeout: 600_000 })
  } catch (thrown) {
    const said = thrown instanceof Error && 'stderr' in thrown ? String(thrown.stderr) : String(thrown)
    throw new Error(`npm could not get ${wanted.join(' and ')}:\n${said.trim()}`)
  }
}

/** @throws with what npm said when the registry does not give a package, or not the program for this machine */
export async function installAgents(): Promise<Installed> {
  const home = await ownFolder()
  const folder = join(home, Object.values(PACKAGES).join('_'))
  if (!(await exists(folder))) {
    const fresh = await mkdtemp(join(home, 'new-'))
    try {
      await fetchInto(fresh)
      // Two runs at once both get it; the first one's stays.
      await rename(fresh, folder).catch(async (thrown: unknown) => {
        if (!(await exists(folder))) throw thrown
      })
    } finally {
      await rm(fresh, { recursive: true, force: true })
    }
  }
  const installed = Object.entries(LAUNCHERS).map(([name, launcher]) => {
    return [name, [process.execPath, join(folder, 'node_modules', launcher)]] as const
  })
  for (const [name, [node = '', launcher = '']] of installed) {
    const { stdout } = await run(node, [launcher, '--version']).catch((thrown: unknown) => {
      throw new Error(`${name} does not run; delete ${folder} to fetch it again: ${String(thrown)}`)
    })
    if (!Object.values(PACKAGES).some((version) => stdout.includes(version)))
      throw new Error(`${name} says it is ${stdout.trim()}`)
    console.log(`  ${name}: ${stdout.trim()}`)
  }
  return Object.fromEntries(installed) as unknown as Installed
}
