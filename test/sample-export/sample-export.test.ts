import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  rejectReasons,
  type SampleManifest,
  type SampleOptions,
  writeBenchCsv,
  writeSampleExport,
} from '@heapferry/sample-export'
import { parse } from 'csv-parse/sync'
import { z } from 'zod'
import { afterAll, beforeAll, expect, test } from 'vitest'

const nowMs = Date.UTC(2026, 10, 1)
const size = { seed: 7, people: 400, pageviewRows: 1_500, eventRows: 1_200, nowMs }
const Records = z.array(z.record(z.string(), z.string()))
type Records = z.infer<typeof Records>

let root: string
let plain: SampleManifest
let trapped: SampleManifest

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'heapferry-sample-'))
  plain = await writeSampleExport({ ...size, folder: join(root, 'plain'), traps: false })
  trapped = await writeSampleExport({ ...size, folder: join(root, 'trapped'), traps: true })
})

afterAll(async () => {
  await rm(root, { recursive: true })
})

function tableOf(manifest: SampleManifest, name: string) {
  const table = manifest.tables[name]
  if (!table) throw new Error(`no table ${name}`)
  return table
}

async function readFileOf(folder: string, name: string): Promise<Records> {
  return Records.parse(
    parse(await readFile(join(root, folder, name)), {
      bom: true,
      columns: (header: string[]) => header.map((column) => column.toLowerCase()),
      delimiter: name.startsWith('core_events') ? '|' : ',',
      // Rows with a cell too many or too few are counted, their cells do not matter.
      relax_column_count: true,
    }),
  )
}

async function readTable(folder: string, manifest: SampleManifest, name: string): Promise<Records> {
  const files = tableOf(manifest, name).files.map((file) => readFileOf(folder, file))
  return (await Promise.all(files)).flat()
}

async function fingerprint(options: SampleOptions): Promise<string> {
  const manifest = await writeSampleExport(options)
  const hash = createHash('sha256').update(JSON.stringify(manifest))
  for (const name of (await readdir(options.folder)).toSorted())
    hash.update(name).update(await readFile(join(options.folder, name)))
  await rm(options.folder, { recursive: true })
  return hash.digest('hex')
}

const eventTables = ['signup_click_start_free_trial', '_key_events_pm__order_complete', 'core_events_click_any_element']
const timedTables = ['pageviews', ...eventTables]

test('the same options give the same bytes, another seed gives others', async () => {
  const options = { people: 60, pageviewRows: 200, eventRows: 100, traps: true, folder: join(root, 'twice') }
  const first = await fingerprint({ ...options, seed: 1 })
  expect(await fingerprint({ ...options, seed: 1 })).toBe(first)
  expect(await fingerprint({ ...options, seed: 2 })).not.toBe(first)
})

test.each(['plain', 'trapped'])('%s: every table has as many rows as the manifest says', async (folder) => {
  const manifest = folder === 'plain' ? plain : trapped
  for (const [name, table] of Object.entries(manifest.tables))
    expect([name, (await readTable(folder, manifest, name)).length]).toEqual([name, table.rows])
  expect(tableOf(manifest, 'pageviews').rows).toBe(size.pageviewRows)
  expect(eventTables.reduce((sum, name) => sum + tableOf(manifest, name).rows, 0)).toBe(size.eventRows)
  const sizes = await Promise.all((await readdir(join(root, folder))).map((name) => stat(join(root, folder, name))))
  expect(sizes.reduce((sum, file) => sum + file.size, 0)).toBe(manifest.bytes)
})

test('the pageviews come in three files, each with its own header', async () => {
  for (const file of tableOf(plain, 'pageviews').files) {
    const text = await readFile(join(root, 'plain', file), 'utf8')
    expect(text).toMatch(/^user_id,event_id,session_id,time,/)
  }
})

test('ids are integers of up to 53 bits, and most have sixteen digits', async () => {
  for (const name of timedTables) {
    const rows = await readTable('plain', plain, name)
    const ids = rows.flatMap((row) => [row['user_id'], row['event_id'], row['session_id']].map(String))
    for (const id of ids) {
      expect(id).toMatch(/^(0|[1-9]\d*)$/)
      expect(BigInt(id) < 2n ** 53n).toBe(true)
    }
    expect(ids.filter((id) => id.length === 16).length).toBeGreaterThan(ids.length * 0.7)
  }
})

test('times lie in 14 months up to January 2026, apart from the recent ones', async () => {
  for (const name of timedTables) {
    const times = (await readTable('plain', plain, name)).map((row) => Date.parse(`${row['time']?.replace(' ', 'T')}Z`))
    const recent = times.filter((time) => time > nowMs - 48 * 3_600_000 && time < nowMs)
    const old = times.filter((time) => time > Date.UTC(2024, 10, 1) && time < Date.UTC(2026, 0, 6))
    expect(recent.length).toBe(tableOf(plain, name).traps.recent)
    expect(recent.length + old.length).toBe(times.length)
  }
})

test('a session repeats its referrer, campaign and landing page on each of its pageviews and lasts while people act', async () => {
  const sessions = new Map((await readTable('plain', plain, 'sessions')).map((row) => [row['session_id'], row]))
  const last = new Map<string | undefined, number>()
  for (const row of await readTable('plain', plain, 'pageviews')) {
    const session = sessions.get(row['session_id'])
    for (const column of ['user_id', 'referrer', 'utm_source', 'landing_page', 'landing_page_query', 'city'])
      expect(row[column]).toBe(session?.[column])
    expect(row['landing_page']).not.toMatch(/^https?:/)
    expect(row['query']).toMatch(/^(\?.*)?$/)
    const time = Date.parse(`${row['time']}Z`)
    if (time > Date.UTC(2026, 1)) continue
    expect(time - (last.get(row['session_id']) ?? time)).toBeLessThan(30 * 60_000)
    last.set(row['session_id'], time)
  }
})

test('people without a name are the most, and the manifest counts the others', async () => {
  const users = await readTable('plain', plain, 'users')
  const known = users.filter((row) => row['identity'] !== '')
  expect(known.length).toBe(plain.identified)
  expect(known.length / users.length).toBeLessThan(0.3)
  expect(users.filter((row) => row['joindate'] === 'Invalid date').length).toBe(
    tableOf(plain, 'users').traps.invalid_date,
  )
  expect(Object.keys(users[0] ?? {}).length).toBe(40)
})

test('with traps the manifest still counts the known people that can be read', async () => {
  const seen = new Set<string>()
  const known = (await readTable('trapped', trapped, 'users')).filter((row) => {
    const id = row['user_id'] ?? ''
    const isFirst = !seen.has(id)
    seen.add(id)
    const isWhole = Object.keys(row).length === 40 && !Object.values(row).some((cell) => cell.includes('\uFFFD'))
    return isFirst && isWhole && /^\d+(\.0)?$|^[\d.]{14,}e\+\d+$/.test(id) && row['identity'] !== ''
  })
  // csv-parse leaves the surplus cell of one row out, so that row looks whole.
  const surplus = tableOf(trapped, 'users').traps.surplus_column ?? 0
  expect(known.length - trapped.identified).toBeGreaterThanOrEqual(0)
  expect(known.length - trapped.identified).toBeLessThanOrEqual(surplus)
})

test('user_migrations has many ids for one person, a chain, a cycle, one to itself, a conflict and an orphan', async () => {
  const pairs = (await readTable('trapped', trapped, 'user_migrations')).map(
    (row) => [row['from_user_id'], row['to_user_id']] as const,
  )
  const identities = new Map(
    (await readTable('trapped', trapped, 'users')).map((row) => [row['user_id'], row['identity']]),
  )
  const targets = (from: string) => pairs.filter((pair) => pair[0] === from).map((pair) => pair[1])
  const { chain, cycle, self, conflict, orphan } = trapped.cases

  expect([targets(chain[0]), targets(chain[1])]).toEqual([[chain[1]], [chain[2]]])
  expect(identities.get(chain[2])).toBe('chain@example.com')
  expect([targets(cycle[0]), targets(cycle[1])]).toEqual([[cycle[1]], [cycle[0]]])
  expect(targets(self)).toEqual([self])
  expect(targets(conflict.from)).toEqual(conflict.to)
  expect(conflict.to.map((id) => identities.get(id))).toEqual(['conflict.one@example.com', 'conflict.two@example.com'])
  expect(targets(orphan.from)).toEqual([orphan.to])
  expect(identities.has(orphan.to)).toBe(false)
  const perTarget = countBy(pairs.map((pair) => pair[1]))
  expect(Math.max(...perTarget.values())).toBe(3)
})

function countBy(keys: readonly (string | undefined)[]): Map<string | undefined, number> {
  const counts = new Map<string | undefined, number>()
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

test.each(['plain', 'trapped'])('%s: all_events has for each event table the number of its rows', async (folder) => {
  const manifest = folder === 'plain' ? plain : trapped
  const counts = countBy((await readTable(folder, manifest, 'all_events')).map((row) => row['event_table_name']))
  expect(Object.fromEntries(counts)).toEqual(
    Object.fromEntries(eventTables.map((name) => [name, tableOf(manifest, name).rows])),
  )
})

test('some events are in two tables under one id', async () => {
  const [signups, clicks] = await Promise.all(
    ['signup_click_start_free_trial', 'core_events_click_any_element'].map(
      async (name) => new Set((await readTable('plain', plain, name)).map((row) => row['event_id'])),
    ),
  )
  const shared = [...(signups ?? [])].filter((id) => clicks?.has(id))
  expect(shared.length).toBe(plain.sharedEventIds)
  expect(shared.length).toBeGreaterThan(10)
})

/** How a trap shows in the parsed row, where it does. */
const signs: [string, (row: Record<string, string>) => boolean][] = [
  ['damaged_id', (row) => /^\d\.\d{5}E\+\d+$/.test(row['user_id'] ?? '')],
  ['float_id', (row) => (row['user_id'] ?? '').endsWith('.0')],
  ['leading_zero_id', (row) => /^0\d/.test(row['user_id'] ?? '')],
  ['clock_1970', (row) => (row['time'] ?? '').startsWith('1970-')],
  ['clock_2038', (row) => (row['time'] ?? '').startsWith('2038-')],
  ['nul_text', (row) => Object.values(row).some((cell) => cell.includes('\u0000'))],
  ['newline_text', (row) => Object.values(row).some((cell) => cell.includes('First line\nsecond, line\r\nthird'))],
  ['quote_text', (row) => Object.values(row).some((cell) => cell.includes('"now, or never"'))],
  ['unicode_text', (row) => Object.values(row).some((cell) => cell.includes('👩‍🚀'))],
  ['bad_utf8', (row) => Object.values(row).some((cell) => cell.includes('\uFFFD'))],
]

test.each(timedTables)('the traps of %s are as many as the manifest says, and each is there', async (name) => {
  const rows = await readTable('trapped', trapped, name)
  const { traps, rejected } = tableOf(trapped, name)
  const counted = Object.fromEntries(signs.map(([trap, isSign]) => [trap, rows.filter(isSign).length]))
  // An id that ends in 0 has no exponent form that keeps it, and is written as a float.
  const exponents = rows.filter((row) => /^[\d.]+e\+\d+$/.test(row['user_id'] ?? '')).length
  expect((counted['float_id'] ?? 0) + exponents).toBe((traps.float_id ?? 0) + (traps.exponent_id ?? 0))
  for (const [trap] of signs)
    if (trap !== 'float_id') expect({ [trap]: counted[trap] }).toMatchObject(pick(traps, trap))
  const rejectable = Object.entries(traps).filter(([trap]) => trap in rejectReasons)
  expect(rejectable.length).toBe(Object.keys(rejectReasons).length)
  expect(rejectable.reduce((sum, [, count]) => sum + count, 0)).toBe(rejected)
})

function pick(traps: object, trap: string): object {
  return Object.fromEntries(Object.entries(traps).filter(([name]) => name === trap))
}

test('an exponent form keeps every digit of its id', async () => {
  const rows = await readTable('trapped', trapped, 'pageviews')
  const sessions = new Map(
    (await readTable('trapped', trapped, 'sessions')).map((row) => [row['session_id'], row['user_id']]),
  )
  const exponents = rows.filter((row) => row['user_id']?.includes('e+'))
  expect(exponents.length).toBeGreaterThan(0)
  for (const row of exponents) expect(String(Number(row['user_id']))).toBe(sessions.get(row['session_id'] ?? ''))
})

test('events of servers have no platform and a session that no other table knows', async () => {
  const sessions = new Set((await readTable('trapped', trapped, 'sessions')).map((row) => row['session_id']))
  for (const name of eventTables) {
    const strange = (await readTable('trapped', trapped, name)).filter((row) => !sessions.has(row['session_id'] ?? ''))
    expect(strange.length).toBe(tableOf(trapped, name).traps.server_event)
    for (const row of strange) expect([row['platform'], row['library']]).toEqual(['', ''])
  }
})

test('the three files of pageviews differ as warehouses do: byte order mark, CRLF, upper case and \\N', async () => {
  const texts = await Promise.all(
    tableOf(trapped, 'pageviews').files.map((file) => readFile(join(root, 'trapped', file), 'utf8')),
  )
  expect(texts.map((text) => text.startsWith('\uFEFF'))).toEqual([true, false, false])
  expect(texts.map((text) => /^[^\n]*\r\n/.test(text))).toEqual([false, true, false])
  expect(texts.map((text) => text.includes('USER_ID,EVENT_ID'))).toEqual([false, false, true])
  expect(texts.map((text) => text.includes(',\\N,'))).toEqual([false, false, true])
  expect(texts.map((text) => /\d UTC,/.test(text))).toEqual([true, false, false])
  expect(texts.map((text) => /\d\+00:00,/.test(text))).toEqual([false, true, false])
})

test('a file to measure with has sound rows of about 590 bytes, a quarter of them quoted, some with line breaks', async () => {
  const path = join(root, 'bench.csv')
  const { bytes } = await writeBenchCsv(path, { rows: 2_000, seed: 3 })
  const text = await readFile(path, 'utf8')
  expect(Buffer.byteLength(text)).toBe(bytes)
  const rows = Records.parse(parse(text, { columns: true }))
  expect(rows.length).toBe(2_000)
  expect(Object.keys(rows[0] ?? {}).length).toBe(25)
  expect(new Set(rows.map((row) => row['event_id'])).size).toBe(2_000)
  expect(bytes / rows.length).toBeGreaterThan(560)
  expect(bytes / rows.length).toBeLessThan(620)
  const quoted = rows.filter((row) => Object.values(row).some((cell) => /[",\n]/.test(cell))).length
  expect(quoted / rows.length).toBeGreaterThan(0.22)
  expect(quoted / rows.length).toBeLessThan(0.4)
  expect(rows.filter((row) => row['title']?.includes('\n')).length).toBeGreaterThan(100)
})
