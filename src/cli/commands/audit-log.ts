import type { Query } from '../../client/index.ts'
import { type Command, type Flags, oneOf, textFlag } from '../command.ts'
import { listText } from '../text.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

const FILTER_OPTIONS = {
  org: { type: 'string' },
  action: { type: 'string' },
  object: { type: 'string' },
  since: { type: 'string' },
  until: { type: 'string' },
} as const
const FILTER_EXPLAIN = {
  org: 'only changes of this organization',
  action: 'only changes of this kind, e.g. key.revoke',
  object: 'only changes of this one (org_…, prj_…, key_…, usr_…)',
  since: 'RFC 3339',
  until: 'RFC 3339',
} as const

function filterQuery(flags: Flags): Query {
  return {
    organization: textFlag(flags, 'org'),
    action: textFlag(flags, 'action'),
    object: textFlag(flags, 'object'),
    since: textFlag(flags, 'since'),
    until: textFlag(flags, 'until'),
  }
}

const auditLog: Command = {
  words: ['audit-log'],
  summary: 'Lists who changed what, newest first',
  args: [],
  options: { ...FILTER_OPTIONS, ...PAGE_OPTIONS },
  explain: { ...FILTER_EXPLAIN, ...PAGE_EXPLAIN },
  example: 'forge audit-log --object key_…',
  async run({ flags, client }) {
    const value = await (await client()).listAuditEvents({ ...filterQuery(flags), ...pageQuery(flags) })
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

const auditLogExport: Command = {
  words: ['audit-log', 'export'],
  summary: 'Writes the whole log of changes, or what the filters leave of it, as JSON lines or CSV',
  args: [],
  options: { ...FILTER_OPTIONS, format: { type: 'string' } },
  explain: { ...FILTER_EXPLAIN, format: 'jsonl or csv (jsonl)' },
  example: 'forge audit-log export --org org_… --format csv > changes.csv',
  async run({ flags, client }) {
    const format = oneOf('format', ['jsonl', 'csv'], textFlag(flags, 'format'))
    const value = await (await client()).exportAuditEvents({ ...filterQuery(flags), format })
    return { value, text: value.replaceAll('\r\n', '\n').trimEnd() }
  },
}

export const AUDIT_LOG_COMMANDS: readonly Command[] = [auditLog, auditLogExport]
