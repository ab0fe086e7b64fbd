import { readdirSync, readFileSync } from 'node:fs'

/** CPU time from /proc, in seconds. Clock ticks are 10 ms: windows of a second and more give figures worth reading. */

const TICKS_PER_SECOND = 100

interface Stat {
  readonly parent: number
  readonly seconds: number
}

/** Time of ended children is counted with their parent's, so a tree only ever grows. */
function statOf(pid: string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const ticks = [11, 12, 13, 14].reduce((sum, place) => sum + Number(fields[place]), 0)
    return { parent: Number(fields[1]), seconds: ticks / TICKS_PER_SECOND }
  } catch {
    return null
  }
}

export function treeCpuSeconds(root: number): number {
  const stats = new Map<number, Stat>()
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(name) : null
    if (stat !== null) stats.set(Number(name), stat)
  }
  const inside = (pid: number): boolean => {
    for (let at = pid; at > 1; at = stats.get(at)?.parent ?? 0) if (at === root) return true
    return false
  }
  let seconds = 0
  for (const [pid, stat] of stats) if (inside(pid)) seconds += stat.seconds
  return seconds
}

/** What the whole machine has used: user, nice, system, interrupts. */
export function machineCpuSeconds(): number {
  const fields = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/).slice(1).map(Number)
  return [0, 1, 2, 5, 6].reduce((sum, place) => sum + (fields[place] ?? 0), 0) / TICKS_PER_SECOND
}

export function parentPid(pid: number): number {
  return statOf(String(pid))?.parent ?? 0
}

export interface CpuReading {
  /** By the names given to {@link startCpuMeter}; `self` is this process. */
  readonly seconds: Readonly<Record<string, number>>
  readonly wallSeconds: number
  /** Cores that were busy with something else. */
  readonly foreignCores: number
}

/** @returns a function that reads what was used since */
export function startCpuMeter(trees: Readonly<Record<string, number>>): () => CpuReading {
  const names = Object.keys(trees)
  const now = (): Record<string, number> => {
    const own = process.cpuUsage()
    return {
      self: (own.user + own.system) / 1e6,
      ...Object.fromEntries(names.map((name) => [name, treeCpuSeconds(trees[name] ?? 0)])),
    }
  }
  const machineBefore = machineCpuSeconds()
  const before = now()
  const begun = performance.now()
  return () => {
    const wallSeconds = (performance.now() - begun) / 1000
    const after = now()
    const seconds = Object.fromEntries(
      Object.keys(before).map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)]),
    )
    const known = Object.values(seconds).reduce((sum, value) => sum + value, 0)
    return {
      seconds,
      wallSeconds,
      foreignCores: Math.max(0, (machineCpuSeconds() - machineBefore - known) / wallSeconds),
    }
  }
}
