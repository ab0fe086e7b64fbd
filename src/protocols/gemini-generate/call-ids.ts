/**
 * Ids for function calls that Google gave none. They are made of what the source says, so that the same source always
 * gives the same ids, and a result finds its call.
 */

const UNFIT = /[^a-zA-Z0-9_-]/g

function fit(name: string): string {
  return name.replace(UNFIT, '_').slice(0, 48)
}

function placeId(place: number, name: string): string {
  return `call_${place}_${fit(name)}`
}

export class CallIds {
  private place = 0
  private readonly answer: string

  /** @param responseId makes ids of an answer unlike those of the answers before it in a conversation; '' for a request */
  constructor(responseId: string) {
    this.answer = fit(responseId)
  }

  next(name: string): string {
    const place = this.place++
    return this.answer === '' ? placeId(place, name) : `call_${this.answer}_${place}`
  }
}

/** True for an id that a request did not have: it goes back as none. */
export function isMadeUp(id: string, name: string): boolean {
  const place = /^call_(\d{1,6})_/.exec(id)?.[1]
  return place !== undefined && id === `call_${place}_${fit(name)}`
}
