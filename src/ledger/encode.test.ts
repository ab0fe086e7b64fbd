import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  batch,
  funded,
  ids,
  ledgerDatabase,
  ROUNDS,
  receipt,
  SEED,
  target,
  writer,
} from '../../test/ledger/stand.ts'
import type { LedgerOp } from './index.ts'

const text = fc.oneof(
  fc.constantFrom(
    '',
    'NULL',
    'null',
    '{}',
    '{NULL}',
    '"',
    '\\',
    '\\"',
    ',',
    ' ',
    '\u0000',
    '\ud800',
    '\udc00',
    '𝄞',
  ),
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom(
      '"',
      '\\',
      '{',
      '}',
      ',',
      ' ',
      '\n',
      '\t',
      '\u0000',
      '\ud83d',
      '\ude00',
      '😀',
      'é',
      "'",
      '$',
    ),
  }),
)

/** PostgreSQL's text has no NUL, UTF-8 no lone surrogate, and two separators are ours: each becomes the replacement character. */
const stored = (value: string): string =>
  value
    .split('')
    .map((unit) => (['\u0000', '\u001e', '\u001f'].includes(unit) ? '\ufffd' : unit))
    .join('')
    .toWellFormed()

test(`every text arrives as it was given, whatever is in it (seed ${SEED})`, async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000_000n)
  const ledger = writer(app)
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 7, maxLength: 7 }), async (texts) => {
      const [reason, document, intent, progress, bucket, route, model] = texts as [
        string,
        string,
        string,
        string,
        string,
        string,
        string,
      ]
      const [hold, other] = [ids.uuid(), ids.uuid()]
      const ops: LedgerOp[] = [
        { kind: 'reserve', ...target(rich, hold), amountNano: 1n, minimumNano: 1n, ttlMs: 1_000, intent },
        { kind: 'renew', ...target(rich, hold), ttlMs: 1_000, progress },
        { kind: 'adjust', ...target(rich, other), amountNano: 1n, reason },
        {
          kind: 'record',
          orgId: rich.orgId,
          id: other,
          receipt: { ...receipt(rich, other, 0n, document), bucket, route, model, status: reason },
        },
      ]
      for (const { verdict } of await batch(ledger, ops)) assert.equal(verdict, 'done')
      const row = await database.one(
        `select h.intent, h.progress, t.reason, r.document, r.bucket, r.route, r.model, r.status
          from ledger.hold h, ledger.transfer t, ledger.receipt r where h.id = $1 and t.id = $2 and r.id = $2`,
        [hold, other],
      )
      assert.deepEqual(
        row,
        Object.fromEntries(
          Object.entries({ intent, progress, reason, document, bucket, route, model, status: reason }).map(
            ([name, value]) => [name, stored(value)],
          ),
        ),
      )
    }),
    { numRuns: 150 * ROUNDS, seed: SEED },
  )
})

test('nothing is told apart from the text NULL, in a receipt and in a note', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 10n)
  const id = ids.uuid()
  await batch(writer(app), [
    {
      kind: 'record',
      orgId: rich.orgId,
      id,
      receipt: { ...receipt(rich, id, 0n), bucket: null, route: 'NULL', model: null },
    },
  ])
  assert.deepEqual(await database.one('select bucket, route, model, run_id from ledger.receipt'), {
    bucket: null,
    route: 'NULL',
    model: null,
    run_id: null,
  })
})
