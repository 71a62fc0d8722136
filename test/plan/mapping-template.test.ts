import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadMapping } from '@heapferry/config'
import { defaultMapping } from '@heapferry/domain'
import type { TablePlan } from '@heapferry/migration'
import * as fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import { mappingTemplate } from '../../apps/cli/src/mapping-template.ts'
import { temporaryFolder } from '../support/folder.ts'

let file: string

beforeEach(async () => {
  file = path.join(await temporaryFolder(), 'heapferry.yaml')
})

// What tables and columns are called is up to whoever made the export.
const odd = fc.constantFrom(
  'null',
  'yes',
  'a: b',
  '# x',
  'a\n  email: drop',
  '"',
  "'",
  '- a',
  '*a',
  '\u2028',
  '\u0085',
  '{}',
)
const name = fc
  .oneof(odd, fc.string({ minLength: 1 }), fc.string({ unit: 'binary', minLength: 1 }))
  .map((text) => text.toLowerCase())
  .filter((text) => text !== '__proto__' && !/[A-Z]/.test(text))
const tables = fc.uniqueArray(
  fc.record({
    table: name,
    kind: fc.constantFrom('event', 'pageviews', 'users', 'user_migrations', 'sessions', 'raw_events', 'helper'),
    columns: fc.array(fc.oneof(name, fc.constantFrom('email', 'phone', '_first_name', 'ip', 'user_id', 'identity'))),
    event_names: fc.uniqueArray(name),
  }),
  { selector: ({ table, kind }) => (kind === 'raw_events' ? 'raw' : table) },
)

test('a file that mapping init writes changes nothing, whatever tables and columns are called', async () => {
  await fc.assert(
    fc.asyncProperty(tables, name, async (planned, source) => {
      const text = mappingTemplate({ source, tables: planned.map(planOf) }, { schema: 'x.json' })
      const mapping = await loaded(text)
      expect({ ...mapping, tables: {} }).toEqual(defaultMapping)
      const raw = planned.filter(({ kind }) => kind === 'raw_events').flatMap((one) => one.event_names)
      const events = planned.filter(({ kind }) => kind === 'event').map(({ table }) => table)
      expect(new Set(Object.values(mapping.tables).map((one) => JSON.stringify(Object.keys(one))))).toEqual(
        new Set(Object.keys(mapping.tables).length > 0 ? ['["event"]'] : []),
      )
      for (const [table, { event }] of Object.entries(mapping.tables)) {
        expect(events.includes(table) ? table : raw.find((one) => one.toLowerCase() === table)).toBe(event)
      }
    }),
  )
})

test('every suggestion of the file is taken when the # before it is', async () => {
  await fc.assert(
    fc.asyncProperty(tables, async (planned) => {
      const text = mappingTemplate({ source: 'x', tables: planned.map(planOf) }, { schema: 'x.json' })
      const [upToTables = ''] = text.split('\ntables:')
      const mapping = await loaded(upToTables.replaceAll(/^ {2}# (?=.*: )/gm, '  '))
      const columns = new Set(planned.flatMap((one) => one.columns))
      for (const column of ['email', 'phone', '_first_name', 'ip'])
        expect(column in mapping.properties).toBe(columns.has(column))
      expect(mapping).toMatchObject({ static: { imported_from: 'heap' }, filter: { from: '2020-01-01' } })
      expect(mapping.properties).not.toHaveProperty('user_id')
    }),
  )
})

test('columns are suggested to be dropped or hashed by what their names say', async () => {
  const columns = [
    'email',
    'work_email',
    '_email',
    'initial_email',
    'phone',
    'user_name',
    'handle',
    'first_name',
    'name',
    '_name',
    'billing_address',
    'zip',
    'date_of_birth',
    'ip',
    'browser_ip',
    'api_token',
    'event_name',
    'app_name',
    'product_name',
    'emailed',
    'shipping',
    'description',
    'plan',
    'tips',
  ]
  const text = mappingTemplate(
    { source: 'x', tables: [planOf({ table: 'a', kind: 'event', columns })] },
    { schema: 'x' },
  )
  const suggested = [...text.matchAll(/^ {2}# (\w+): (hash|drop) {2}# a$/gm)].map(
    ([, column, rule]) => `${column} ${rule}`,
  )
  expect(suggested.toSorted()).toEqual(
    [
      ...['email', 'work_email', '_email', 'initial_email', 'phone', 'user_name', 'handle'].map((one) => `${one} hash`),
      ...[
        'first_name',
        'name',
        '_name',
        'billing_address',
        'zip',
        'date_of_birth',
        'ip',
        'browser_ip',
        'api_token',
      ].map((one) => `${one} drop`),
    ].toSorted(),
  )
})

function planOf(one: { table: string; kind: string; columns: string[]; event_names?: string[] }): TablePlan {
  return {
    table: one.table,
    kind: one.kind,
    told_by: ['name'],
    files: 1,
    bytes: 1,
    rows: { count: 1, exact: true },
    time: null,
    events: { count: 1, exact: true },
    event_names: one.event_names ?? [],
    skipped: [],
    rejected: [],
    columns: one.columns.map((column) => ({ column, becomes: [column] })),
    samples: [],
  }
}

async function loaded(text: string) {
  await writeFile(file, text)
  return loadMapping(file)
}
