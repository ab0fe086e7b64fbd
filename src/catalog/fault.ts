import { distance } from 'fastest-levenshtein'

/** One thing wrong with a configuration file. `problem` never carries a secret or a value that came from one. */
export interface ConfigFault {
  /** `models.gpt-5-mini.routes.ordinary.channels[1].channel`; empty for the file as a whole. */
  readonly path: string
  readonly problem: string
  /** The known name that is closest to the one that is not known. */
  readonly nearest?: string
}

/** The first load of a catalog found faults; there is no last good one to keep. */
export class ConfigFaults extends Error {
  override name = 'ConfigFaults'
  readonly faults: readonly ConfigFault[]

  constructor(faults: readonly ConfigFault[]) {
    super([`The configuration has ${faults.length} fault(s):`, ...faults.map(faultText)].join('\n  '))
    this.faults = faults
  }
}

export function faultText(fault: ConfigFault): string {
  const where = fault.path === '' ? '' : `${fault.path}: `
  return `${where}${fault.problem}${fault.nearest === undefined ? '' : ` (did you mean "${fault.nearest}"?)`}`
}

export type Path = readonly (string | number)[]

const PLAIN_KEY = /^[A-Za-z0-9_-]+$/
const KEY_SHOWN_MAX = 80

/** Names with other characters are put in quotes, so that `["gpt-4.1"]` cannot be read as two steps. */
export function pathText(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (step.length <= KEY_SHOWN_MAX && PLAIN_KEY.test(step)) text += text === '' ? step : `.${step}`
    else text += `[${JSON.stringify(shorten(step))}]`
  }
  return text
}

export function shorten(text: string): string {
  return text.length <= KEY_SHOWN_MAX ? text : `${text.slice(0, KEY_SHOWN_MAX)}…`
}

/** @returns the known name that needs the fewest changes, when it is near enough to have been meant. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  if (name.length > KEY_SHOWN_MAX) return undefined
  let best: string | undefined
  let fewest = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= fewest) continue
    const changes = distance(name, candidate)
    if (changes < fewest) {
      best = candidate
      fewest = changes
    }
  }
  return best
}

/** @param nearest left out of the fault when undefined */
export function faultAt(path: Path, problem: string, nearest?: string): ConfigFault {
  const fault = { path: pathText(path), problem }
  return nearest === undefined ? fault : { ...fault, nearest }
}
