import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Binaries, copyBinaries, EmbeddedFault, exists } from './embedded-binaries.ts'

/**
 * Whom PostgreSQL runs as. It refuses to run as root, and a clone or data directory below root's home cannot be
 * entered by anybody else, so as root we look for the weakest way that works and try it before relying on it.
 */
export interface Account {
  readonly binaries: Binaries
  /** Starts an executable of `native/bin` in its own process group, so that a Ctrl-C meant for us passes it by. */
  spawn(
    executable: 'postgres' | 'initdb',
    args: readonly string[],
    stdio: SpawnOptions['stdio'],
  ): ChildProcess
  /** Makes a file or folder the account's own. */
  own(path: string): Promise<void>
  /** As `own`, with everything below. */
  ownTree(path: string): Promise<void>
}

interface Ids {
  readonly uid: number
  readonly gid: number
}

interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly options: { readonly uid?: number; readonly gid?: number }
}

type Wrap = (file: string, args: readonly string[]) => Command

const NOBODY: Ids = { uid: 65_534, gid: 65_534 }

/**
 * @param clusterDir its owner, if it exists, stays the account: files of two owners would lock everybody out
 * @throws EmbeddedFault when no way works; the message names the folder in the way
 */
export async function chooseAccount(
  binaries: Binaries,
  dataDir: string,
  clusterDir: string,
): Promise<Account> {
  if (process.getuid?.() !== 0) return account(binaries, null, (file, args) => ({ file, args, options: {} }))
  const ids = await unprivilegedIds(clusterDir)
  const ways = [directly(ids), withCapability(ids, 'dac_read_search'), withCapability(ids, 'dac_override')]
  for (const wrap of ways) {
    if (await canRun(wrap, binaries, dataDir)) return account(binaries, ids, wrap)
  }
  const here = directly(ids)
  if (await canEnter(here, dataDir)) {
    const copied = await copyBinaries(binaries, dataDir)
    if (await canRun(here, copied, dataDir)) return account(copied, ids, here)
  }
  throw new EmbeddedFault(
    `PostgreSQL does not run as root, and user ${ids.uid} cannot get through ${await blockingDir(dataDir)}: set FORGE_DATA_DIR to a folder it can reach (such as one below /var/lib), or start as an ordinary user`,
  )
}

async function unprivilegedIds(clusterDir: string): Promise<Ids> {
  const owner = await stat(clusterDir).catch(() => null)
  if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  for (const name of ['postgres', 'nobody']) {
    const fields = passwd
      .split('\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.split(':')
    const uid = Number.parseInt(fields?.[2] ?? '', 10)
    const gid = Number.parseInt(fields?.[3] ?? '', 10)
    if (uid > 0 && gid > 0) return { uid, gid }
  }
  return NOBODY
}

function directly(ids: Ids): Wrap {
  return (file, args) => ({ file, args, options: ids })
}

/**
 * Keeps one capability across the change of user: to enter folders of root's. `no_setuid_fixup`, since access(2),
 * which PostgreSQL asks about its own executable, otherwise answers as if the capability were not there.
 */
function withCapability(ids: Ids, capability: string): Wrap {
  const switches = [
    `--reuid=${ids.uid}`,
    `--regid=${ids.gid}`,
    '--clear-groups',
    '--securebits=+no_setuid_fixup',
    `--inh-caps=-all,+${capability}`,
    `--ambient-caps=-all,+${capability}`,
  ]
  return (file, args) => ({ file: 'setpriv', args: [...switches, file, ...args], options: {} })
}

function canRun(wrap: Wrap, binaries: Binaries, dataDir: string): Promise<boolean> {
  const executable = join(binaries.nativeDir, 'bin', 'postgres')
  return succeeds(
    wrap('/bin/sh', ['-c', 'cd "$1" && test -x "$2" && exec "$2" --version', 'sh', dataDir, executable]),
    binaries,
  )
}

function canEnter(wrap: Wrap, dir: string): Promise<boolean> {
  return succeeds(wrap('/bin/sh', ['-c', 'cd "$1"', 'sh', dir]), null)
}

async function succeeds(command: Command, binaries: Binaries | null): Promise<boolean> {
  try {
    const child = start(command, binaries, 'ignore')
    const [code] = await once(child, 'exit')
    return code === 0
  } catch {
    return false
  }
}

/** With an environment of its own: PGHOST and the like of the user's shell must not reach it. */
function start(command: Command, binaries: Binaries | null, stdio: SpawnOptions['stdio']): ChildProcess {
  const libraryPath = binaries?.libraryPath ?? null
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' }
  return spawn(command.file, command.args, {
    ...command.options,
    cwd: '/',
    env: libraryPath === null ? env : { ...env, LD_LIBRARY_PATH: libraryPath },
    stdio,
    detached: true,
  })
}

function account(binaries: Binaries, ids: Ids | null, wrap: Wrap): Account {
  const own = async (path: string): Promise<void> => {
    if (ids !== null) await chown(path, ids.uid, ids.gid)
  }
  return {
    binaries,
    spawn: (executable, args, stdio) =>
      start(wrap(join(binaries.nativeDir, 'bin', executable), args), binaries, stdio),
    own,
    async ownTree(path) {
      if (ids === null) return
      await own(path)
      for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
        if (!entry.isSymbolicLink()) await own(join(entry.parentPath, entry.name))
      }
    },
  }
}

/** The topmost folder of the path that others may not enter. */
async function blockingDir(path: string): Promise<string> {
  const parts = path.split('/').filter((part) => part !== '')
  for (let length = 1; length <= parts.length; length++) {
    const dir = `/${parts.slice(0, length).join('/')}`
    if (!(await exists(dir))) break
    if (((await stat(dir)).mode & 0o001) === 0) return dir
  }
  return path
}
