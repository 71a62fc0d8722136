import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadSettings } from '@heapferry/config'
import { Mapping } from '@heapferry/domain'
import { ExportPlan } from '@heapferry/migration'
import { beforeEach, expect, test } from 'vitest'
import { planSource } from '../../apps/cli/src/plan-source.ts'
import { planText } from '../../apps/cli/src/plan-text.ts'
import { temporaryFolder } from '../support/folder.ts'

let source: string

beforeEach(async () => {
  source = await temporaryFolder()
  await table('signup', 'event_id,user_id,time,email,plan,price', (row) => [
    row,
    100 + row,
    '2023-01-02 03:04:05',
    `person${row}@example.com`,
    row % 2 === 0 ? 'Pro' : 'Free',
    row < 3 ? 'much' : '9.90',
  ])
  await table('pageviews', 'event_id,user_id,time,path', (row) => [row, 100 + row, '2023-01-02 03:04:05', '/a'])
  await table('users', 'user_id,identity,joindate,email', (row) => [
    100 + row,
    row < 5 ? `person${row}@example.com` : '',
    '2023-01-01 00:00:00',
    `person${row}@example.com`,
  ])
})

test('plan --against counts per table which events change and how, and shows three of them before and after', async () => {
  const { against } = await planned(
    {},
    { properties: { email: 'hash' }, tables: { signup: { event: 'Signed up', where: { plan: { equals: 'Pro' } } } } },
  )
  expect(against?.differences).toEqual([
    'properties.email: (nothing) → hash',
    'tables.signup.event: (nothing) → Signed up',
    'tables.signup.where.plan: (nothing) → {"equals":"Pro"}',
  ])
  const signup = against?.tables.find((one) => one.table === 'signup')
  expect(signup).toMatchObject({
    rows: 10,
    changed: 10,
    sent_no_more: 5,
    sent_newly: 0,
    names: 5,
    uuids: 0,
    distinct_ids: 0,
    timestamps: 0,
    properties: [
      {
        property: 'email',
        added: 0,
        removed: 0,
        changed: 5,
      },
    ],
  })
  expect(signup?.samples.map(({ place, before, after }) => [place.row, before.kind, after.kind])).toEqual([
    [1, 'event', 'skip'],
    [2, 'event', 'event'],
    [3, 'event', 'skip'],
  ])
  expect(against?.tables.find((one) => one.table === 'pageviews')).toMatchObject({ rows: 10, changed: 0 })
  expect(against?.tables.find((one) => one.table === 'users')).toMatchObject({
    changed: 10,
    properties: [{ property: '$set.email', changed: 10 }],
  })
})

test('its text fits 80 columns, and tells whether PostHog would know the events again', async () => {
  const changed = textOf(await planned({}, { properties: { email: { name: 'x'.repeat(90), as: 'hash' } } }))
  expect(changed).toContain('signup: of 10 sampled rows 10 would change')
  expect(changed).toContain('In 1 other table nothing would change.')
  expect(changed).toMatch(/1\. signup\.csv: row 1 .*\n {5}- email: "person1@example\.com"\n {5}\+ x+/)
  // Rows of users have no event_id, so their uuids are made with the salt.
  expect(onOneLine(changed)).toContain('PostHog would take the events of users for new ones')
  const moved = textOf(await planned({}, { properties: { email: { name: 'mail' } } }))
  expect(onOneLine(moved)).toContain('PostHog would take these events for those')
  const renamed = textOf(await planned({}, { tables: { signup: { event: 'Signed up' } }, identity: 'hash' }))
  expect(renamed).toMatch(/4 {2}get another distinct_id/)
  expect(renamed).toMatch(/- event: "signup"\n {5}\+ event: "Signed up"/)
  expect(onOneLine(renamed)).toContain('take the events of users, signup for new ones')
  const same = textOf(await planned({ persons: 'skip' }, { persons: 'skip' }))
  expect(onOneLine(same)).toContain('say the same')
  const reading = textOf(await planned({}, { json: { undouble: 'never' } }))
  expect(onOneLine(reading)).toContain('Not compared is how files are read: json.undouble: auto → never')
})

test('of columns that the mapping drops or hashes a plan shows no value', async () => {
  const plan = await planned({ identity: 'hash', properties: { email: 'drop' } }, null)
  expect(JSON.stringify(plan)).not.toContain('@example.com')
  const users = plan.tables.find((one) => one.table === 'users')
  expect(users?.samples[0]?.values).toMatchObject({ identity: '(hashed)', email: '(dropped)' })
})

test('plan --against tells what the other mapping has that the export does not', async () => {
  expect((await planned({}, { properties: { emial: 'drop' } })).notices).toEqual([
    'The other mapping has properties.emial, but no table has such a column; did you mean email?',
  ])
})

test('a plan warns of cells that stay text, and of columns that no table has', async () => {
  const plan = await planned({ properties: { price: 'number', emial: 'drop' } }, null)
  expect(plan.warnings).toContainEqual({
    kind: 'not_cast',
    table: 'signup',
    column: 'price',
    as: 'number',
    rows: {
      count: 2,
      exact: true,
    },
  })
  expect(plan.notices).toEqual([
    'The mapping has properties.emial, but no table has such a column; did you mean email?',
  ])
  expect(textOf(plan)).toContain('signup: price is no number in 2 rows; there it stays text.')
})

test('a plan counts filtered rows, and people whom the mapping leaves out', async () => {
  const plan = await planned({ anonymous: 'personless', filter: { tables: { include: ['signup'] } } }, null)
  expect(plan.totals.skipped).toEqual([
    { reason: 'persons_skipped', rows: { count: 6, exact: true } },
    { reason: 'filtered_out', rows: { count: 10, exact: true } },
  ])
  const signup = plan.tables.find((one) => one.table === 'signup')
  const personless = signup?.samples.map(({ becomes }) =>
    becomes.kind === 'event' ? (becomes.event.properties.$process_person_profile ?? null) : becomes.kind,
  )
  expect(personless).toEqual([null, false, false])
})

async function table(name: string, header: string, cellsOf: (row: number) => (string | number)[]): Promise<void> {
  const rows = Array.from({ length: 10 }, (_, nth) => cellsOf(nth + 1).join(','))
  await writeFile(path.join(source, `${name}.csv`), [header, ...rows, ''].join('\n'))
}

async function planned(mapping: object, against: object | null): Promise<ExportPlan> {
  const plan = await planSource(source, loadSettings({}, {}, source), {
    mapping: Mapping.parse(mapping),
    against: against && Mapping.parse(against),
    hashSalt: 'a salt for this test',
    includeRecent: false,
    full: false,
    eventsPerSecond: 1000,
    signal: new AbortController().signal,
  })
  return ExportPlan.parse(plan)
}

function onOneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ')
}

function textOf(plan: ExportPlan): string {
  const text = planText(plan, { only: null, transport: 'auto' })
  for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
  return text
}
