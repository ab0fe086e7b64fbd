import { cleanName } from '../../tenancy/index.ts'
import { InvalidRequest } from '../problem.ts'

/** A name fit to be stored and shown. */
export function nameOf(text: string, field = 'name'): string {
  const name = cleanName(text)
  if (name === null)
    throw new InvalidRequest('body', [{ field, message: 'has no character that can be shown, or too many' }])
  return name
}
