import { type Command, textFlag } from '../command.ts'
import { listText } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

const auditLog: Command = {
  words: ['audit-log'],
  summary: 'Lists who changed what, newest first',
  args: [],
  options: {
    org: { type: 'string' },
    action: { type: 'string' },
    object: { type: 'string' },
    since: { type: 'string' },
    until: { type: 'string' },
    ...PAGE_OPTIONS,
  },
  explain: {
    org: 'only changes of this organization',
    action: 'only changes of this kind, e.g. key.revoke',
    object: 'only changes of this one (org_…, prj_…, key_…)',
    since: 'RFC 3339',
    until: 'RFC 3339',
    ...PAGE_EXPLAIN,
  },
  example: 'forge audit-log --object key_…',
  async run({ flags, client }) {
    const value = await (await client()).listAuditEvents({
      organization: textFlag(flags, 'org'),
      action: textFlag(flags, 'action'),
      object: textFlag(flags, 'object'),
      since: textFlag(flags, 'since'),
      until: textFlag(flags, 'until'),
      ...pageQuery(flags),
    })
    const rows = value.data.map((event) => [
      event.at,
      event.actor.id ?? event.actor.kind,
      event.address ?? '',
      event.action,
      event.object.id,
      JSON.stringify(event.after),
    ])
    return {
      value,
      text: listText(['at', 'by', 'from', 'action', 'object', 'after'], rows, value.next_cursor),
    }
  },
}

export const AUDIT_LOG_COMMANDS: readonly Command[] = [auditLog]
