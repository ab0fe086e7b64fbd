import { createHash, randomBytes } from 'node:crypto'
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { type Account, chooseAccount } from './embedded-account.ts'
import { EmbeddedFault, exists, locateBinaries } from './embedded-binaries.ts'
import { type ClusterPaths, runInitdb, SOCKET_PORT } from './postmaster.ts'

/** The embedded database's files: where they lie, made once, and never half made. */

export const SUPERUSER = 'forge'
export const DATABASE = 'forge'

const PASSWORD_FILE = 'postgres-password'
/** initdb works in a folder of this name; only a finished cluster gets the real one. */
const UNFINISHED = 'postgres.new-'
/** sockaddr_un holds 108 bytes with the closing zero. */
const SOCKET_PATH_MAX = 107
/** Not TMPDIR: that differs between processes that must find each other, and may itself be too long. */
const SHORT_DIR = '/tmp'

export async function clusterPaths(dataDir: string): Promise<ClusterPaths> {
  const asRoot = process.getuid?.() === 0
  // Every secret in it has a mode of its own; as root another user must be able to pass through.
  await mkdir(dataDir, { recursive: true, mode: asRoot ? 0o711 : 0o700 })
  const real = await realpath(dataDir)
  const digest = createHash('sha256').update(real).digest('hex').slice(0, 16)
  const near = join(real, 'run')
  const fits = Buffer.byteLength(join(near, `.s.PGSQL.${SOCKET_PORT}`)) <= SOCKET_PATH_MAX
  return {
    dataDir: real,
    clusterDir: join(real, 'postgres'),
    socketDir: fits ? near : join(SHORT_DIR, `forge-${digest}`),
    logFile: join(real, 'postgres.log'),
    clusterName: `forge-${digest.slice(0, 8)}`,
  }
}

/** The superuser's password, or null before the first start. */
export async function storedPassword(paths: ClusterPaths): Promise<string | null> {
  const file = join(paths.dataDir, PASSWORD_FILE)
  try {
    const text = (await readFile(file, 'utf8')).trim()
    return text === '' ? null : text
  } catch (thrown) {
    const code: unknown = thrown instanceof Error ? Reflect.get(thrown, 'code') : null
    if (code === 'ENOENT') return null
    throw new EmbeddedFault(
      `cannot read ${file} (${String(code)}): the data directory was made by another user; start as that user or give it to this one`,
      { cause: thrown },
    )
  }
}

export interface PreparedCluster {
  readonly account: Account
  readonly password: string
}

/**
 * Makes sure that a complete cluster is there and may be started by the account. Call under the start lock, with no
 * server running.
 */
export async function prepareCluster(
  paths: ClusterPaths,
  durable: boolean,
  onProgress: (line: string) => void,
): Promise<PreparedCluster> {
  const binaries = await locateBinaries(paths.dataDir)
  const account = await chooseAccount(binaries, paths.dataDir, paths.clusterDir)
  for (const entry of await readdir(paths.dataDir)) {
    if (entry.startsWith(UNFINISHED)) await rm(join(paths.dataDir, entry), { recursive: true, force: true })
  }
  if (!(await isComplete(paths.clusterDir))) {
    onProgress('preparing database files')
    await initialize(paths, account, durable)
  }
  await requireVersion(paths, account)
  if ((await lstat(paths.clusterDir)).uid === 0) await account.ownTree(paths.clusterDir)
  await makeSocketDir(paths, account)
  const password = await storedPassword(paths)
  if (password === null) {
    throw new EmbeddedFault(
      `${join(paths.dataDir, PASSWORD_FILE)} is missing: the database in ${paths.clusterDir} cannot be opened without it; restore it from the backup of the data directory`,
    )
  }
  return { account, password }
}

/** @throws EmbeddedFault on a folder with other contents: it is not ours to delete */
async function isComplete(clusterDir: string): Promise<boolean> {
  if (await exists(join(clusterDir, 'global', 'pg_control'))) return true
  if (!(await exists(clusterDir)) || (await readdir(clusterDir)).length === 0) return false
  throw new EmbeddedFault(
    `${clusterDir} is not empty and holds no PostgreSQL cluster: move it away or restore it`,
  )
}

async function initialize(paths: ClusterPaths, account: Account, durable: boolean): Promise<void> {
  const suffix = randomBytes(6).toString('hex')
  const fresh = join(paths.dataDir, `${UNFINISHED}${suffix}`)
  const passwordFile = `${fresh}.password`
  const password = await createPassword(paths.dataDir)
  await mkdir(fresh, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  await account.own(fresh)
  await account.own(passwordFile)
  await runInitdb(account, [
    `--pgdata=${fresh}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    // Sorting and case rules of PostgreSQL itself: those of a C library change under an index with an upgrade.
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    '--no-instructions',
    ...(durable ? [] : ['--no-sync']),
  ])
  await rename(fresh, paths.clusterDir)
  if (durable) await syncDir(paths.dataDir)
  await rm(passwordFile, { force: true })
}

/** On disk before the cluster gets its name, or a crash in between would leave a cluster nobody can open. */
async function createPassword(dataDir: string): Promise<string> {
  const password = randomBytes(24).toString('base64url')
  const file = join(dataDir, PASSWORD_FILE)
  const handle = await open(`${file}.new`, 'w', 0o600)
  await handle.writeFile(`${password}\n`)
  await handle.sync()
  await handle.close()
  await rename(`${file}.new`, file)
  return password
}

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  await handle.sync()
  await handle.close()
}

async function requireVersion(paths: ClusterPaths, account: Account): Promise<void> {
  const made = (await readFile(join(paths.clusterDir, 'PG_VERSION'), 'utf8')).trim()
  if (account.binaries.version.startsWith(`${made}.`)) return
  throw new EmbeddedFault(
    `the database in ${paths.clusterDir} was made by PostgreSQL ${made} and this version brings ${account.binaries.version}: export it with the old version (forge backup) and restore it into an empty data directory`,
  )
}

async function makeSocketDir(paths: ClusterPaths, account: Account): Promise<void> {
  await mkdir(paths.socketDir, { mode: 0o700 }).catch((thrown: unknown) => {
    if (!(thrown instanceof Error && Reflect.get(thrown, 'code') === 'EEXIST')) throw thrown
  })
  await requireOwnership(paths)
  await chmod(paths.socketDir, 0o700)
  await account.own(paths.socketDir)
}

/**
 * Call before connecting. The temporary folder is everybody's: someone could make our folder there first, answer in
 * the database's place and ask us for the password.
 */
export async function requireOwnership(paths: ClusterPaths): Promise<void> {
  const uid = process.getuid?.() ?? -1
  const cluster = await lstat(paths.clusterDir).catch(() => null)
  if (uid !== 0 && cluster !== null && cluster.uid !== uid) {
    throw new EmbeddedFault(
      `${paths.clusterDir} belongs to user ${cluster.uid} and this is user ${uid}: start as root, or give the whole data directory to this user (chown -R ${uid} ${paths.dataDir})`,
    )
  }
  const sockets = await lstat(paths.socketDir).catch(() => null)
  if (sockets === null) return
  if (sockets.isDirectory() && (sockets.uid === uid || sockets.uid === cluster?.uid)) return
  throw new EmbeddedFault(`${paths.socketDir} is not a folder of ours: remove it`)
}
