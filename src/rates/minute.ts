/**
 * What was used in the last minute, by seconds. The second that runs counts whole and so do the 60 before it, so that no
 * 60 seconds, wherever they begin, hold more than was let in under the limit; in return room comes back up to a second
 * late. Pure: every call is told the second, which never goes back.
 */

export const SLOTS = 61

export class Minute {
  private readonly slots = new Float64Array(SLOTS)
  private total = 0
  private second: number
  private lastAdd: number

  constructor(second: number) {
    this.second = second
    this.lastAdd = second - SLOTS
  }

  private advance(second: number): void {
    const steps = second - this.second
    if (steps <= 0) return
    this.second = second
    if (this.total === 0) return
    if (steps >= SLOTS) {
      this.slots.fill(0)
      this.total = 0
      return
    }
    for (let at = second - steps + 1; at <= second; at++) {
      const slot = at % SLOTS
      this.total -= this.slots[slot] ?? 0
      this.slots[slot] = 0
    }
  }

  used(second: number): number {
    this.advance(second)
    return this.total
  }

  add(second: number, amount: number): void {
    this.advance(second)
    const slot = this.second % SLOTS
    this.slots[slot] = (this.slots[slot] ?? 0) + amount
    this.total += amount
    this.lastAdd = this.second
  }

  /** Takes back what was added in an earlier second, unless that has left the minute by itself. */
  takeBack(second: number, addedAt: number, amount: number): void {
    this.advance(second)
    if (this.second - addedAt >= SLOTS) return
    const slot = addedAt % SLOTS
    const taken = Math.min(amount, this.slots[slot] ?? 0)
    this.slots[slot] = (this.slots[slot] ?? 0) - taken
    this.total -= taken
  }

  /** Whole seconds from the running one until no more than `most` is used; 0 when that is so now. */
  secondsUntil(second: number, most: number): number {
    this.advance(second)
    let left = this.total
    for (let step = 0; step < SLOTS; step++) {
      if (left <= most) return step
      left -= this.slots[(this.second + 1 + step) % SLOTS] ?? 0
    }
    return SLOTS
  }

  /** The same until nothing is used. */
  secondsUntilEmpty(second: number): number {
    return this.used(second) === 0 ? 0 : this.lastAdd + SLOTS - this.second
  }
}
