import { appendFile, mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { countOf, RunId, type Tally } from '@heapferry/domain'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { connectRedis, openPrivateRedis, type RedisLedger, redisLedger } from '@heapferry/queue'
import { parse } from 'csv-parse/sync'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { seededRandom } from '../../packages/sample-export/src/random.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry, type HeapferryProcess } from '../support/heapferry.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'
import { tableWriters } from '../support/write-table.ts'

const apiKey = 'phc_retry000000000000000000000000000000000000'
const run = RunId.parse('mend')
const hourMs = 3_600_000

let folder: string
let source: string
let posthog: FakePostHog
let redisUrl: string
let ledger: RedisLedger

beforeEach(async () => {
  folder = await temporaryFolder()
  source = path.join(folder, 'export')
  await mkdir(source)
  posthog = await startFakePostHog({ apiKey, keep: 'events' })
  const server = await openPrivateRedis({ home: path.join(folder, 'redis-home'), serverCandidates })
  redisUrl = server.url
  const redis = await connectRedis(server.url, () => {})
  ledger = redisLedger(redis)
  onTestFinished(async () => {
    redis.disconnect()
    await server.close()
    await posthog.stop()
  })
})

test('every kind of bad row of every format is written out as it stands, and given back unmended changes nothing', async () => {
  const { clicks, taps, swipes } = await writeBadRows()
  posthog.fault({ kind: 'refuse_event', event: 'refused' })
  await migrated()
  const before = await tallies()
  const kinds = new Set(before.flatMap(({ tally }) => Object.keys(tally.rejected)))
  expect([...kinds].toSorted()).toEqual([
    'damaged_id',
    'distinct_id_too_long',
    'event_too_large',
    'file_damaged',
    'identity_conflict',
    'illegal_distinct_id',
    'missing_time',
    'missing_user_id',
    'not_decodable',
    'refused_by_posthog',
    'row_too_large',
    'time_out_of_range',
    'unparsable_time',
  ])

  const written = await said('rejected', run, '--out', 'rows.csv')
  const tables = ['clicks', 'packed', 'refused', 'swipes', 'taps', 'user_migrations', 'users']
  for (const table of tables) expect(written).toContain(`rows-${table}.csv`)
  expect((await stat(path.join(folder, 'rows-clicks.csv'))).mode & 0o777).toBe(0o600)
  const exported = new Map(await Promise.all(tables.map(async (table) => [table, await rowsOf(table)] as const)))
  for (const { table, tally } of before) {
    const rows = exported.get(table) ?? []
    const counted = Object.fromEntries(Object.keys(tally.rejected).map((reason) => [reason, 0]))
    for (const { reason = '' } of rows) counted[reason] = (counted[reason] ?? 0) + 1
    expect([table, counted]).toEqual([table, tally.rejected])
  }
  // Each as it stands in its file: by the cells, or by the text where it is no row.
  for (const { row, raw, reason, event_id, note } of exported.get('clicks') ?? []) {
    const line = clicks[Number(row) - 1]
    if (reason === 'row_too_large') expect(raw).toBe('')
    else if (reason === 'not_decodable') expect(raw).toBe(line?.toString())
    else expect([event_id, note]).toEqual([String(row), row === '1' ? 'of "two"\nlines' : note])
  }
  for (const { row, raw } of exported.get('taps') ?? []) if (raw !== '') expect(raw).toBe(taps[Number(row) - 1])
  for (const { row, raw, event_id } of exported.get('swipes') ?? [])
    expect([raw, event_id]).toEqual(['', swipes[Number(row) - 1]?.[1] ?? ''])

  const again = await start('rejected', run, '--out', 'rows.csv').ended
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('rows-clicks.csv is there already') })

  const stored = posthog.stored.size
  const files = tables.map((table) => `rows-${table}.csv`)
  const { code, stdout } = await start('retry', run, '--from', ...files, '--json').ended
  const rejected = before.reduce((sum, { tally }) => sum + countOf(tally.rejected), 0)
  const answer = JSON.parse(stdout)
  expect([code, answer.sent, answer.skipped]).toEqual([3, 0, 0])
  expect(answer.rejected + answer.left.unmended).toBe(rejected)
  expect(posthog.stored.size).toBe(stored)
  expect(await tallies()).toEqual(before)
})

test('after a fix of the mapping the rejected rows are sent, with the columns and names that it gives, and no other', async () => {
  await writeFile(path.join(source, 'clicks.csv'), bareLines(1, 5, 'a,b'))
  await writeFile(path.join(source, 'taps.csv'), `event_id,user_id,time\n${bareLines(11, 4)}`)
  await writeFile(path.join(source, 'fine.csv'), `event_id,user_id,time\n${bareLines(21, 3)}`)
  const tooFew = { columns: ['event_id', 'user_id', 'time', 'first'] }
  await writeFile(path.join(folder, 'old.yaml'), mappingOf(tooFew, 'n'.repeat(201)))
  await writeFile(path.join(folder, 'new.yaml'), mappingOf({ columns: [...tooFew.columns, 'second'] }, 'tapped'))

  const first = await start('run', source, '--run', run, '--mapping', 'old.yaml', '--max-rejected', '100').ended
  expect(first.code).toBe(3)
  expect(names()).toEqual({ 'fine nnnn': 3 })
  const requests = posthog.batches.length

  const taps = await start('retry', run, '--mapping', 'new.yaml', '--reason', 'event_name_too_long').ended
  expect(taps).toMatchObject({ code: 0, stdout: expect.stringContaining('4 sent, 0 skipped, 0 rejected again') })
  expect(names()).toEqual({ 'fine nnnn': 3, tapped: 4 })
  expect(await said('retry', run, '--mapping', 'new.yaml')).toContain('The run has no rejected rows now.')
  expect(names()).toEqual({ 'fine nnnn': 3, tapped: 4, clicks: 5 })
  const click = [...posthog.stored.values()].find(({ event }) => event === 'clicks')
  expect(click?.properties).toMatchObject({ first: 'a', second: 'b' })
  // A request for each of the two, and none for rows that had been sent.
  expect(posthog.batches.length).toBe(requests + 2)
  expect(JSON.parse(await said('status', run, '--json'))).toMatchObject({ state: 'completed' })
  await exact()
})

test('mended rows of a file are sent once; a line that is none of the run is named; with the export changed they still go', async () => {
  await writeBadRows()
  await migrated()
  await said('rejected', run, '--table', 'clicks', '--out', 'rows.csv')
  const before = posthog.stored.size
  const file = path.join(folder, 'rows.csv')
  const text = await readFile(file, 'utf8')
  const rows = await rowsOf()
  await writeFile(file, `${text}missing_time,x,clicks,clicks.csv,9999,0,,1,2,2023-01-01,\n`)
  const lines = text.split('\n').length
  const refused = await start('retry', run, '--from', 'rows.csv').ended
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(new RegExp(`line ${lines}: row 9999 of clicks.csv is not a rejected row`)),
  })
  expect(posthog.stored.size).toBe(before)

  const mended = rows
    .filter(({ reason }) => reason !== 'row_too_large')
    .map((row): Record<string, string | undefined> => {
      if (row.reason === 'not_decodable') return { ...row, raw: `${row.row},1${row.row},2023-03-03 04:05:06,mended` }
      return { ...row, user_id: `1${row.row}`, time: '2023-03-03 04:05:06', note: 'mended', raw: '' }
    })
  const [header = ''] = text.split('\n')
  const cells = header.split(',')
  await writeFile(
    file,
    [header, ...mended.map((row) => cells.map((cell) => quoted(row[cell])).join(',')), ''].join('\n'),
  )

  await utimes(path.join(source, 'clicks.csv'), new Date(), new Date(0))
  const fromExport = await start('retry', run, '--table', 'clicks').ended
  expect(fromExport).toMatchObject({ code: 1, stderr: expect.stringContaining('clicks.csv has changed') })
  expect(fromExport.stderr).toContain('--from rows.csv')

  const sent = await start('retry', run, '--from', 'rows.csv').ended
  expect([sent.code, sent.stdout]).toEqual([0, expect.stringContaining(`${mended.length} sent, 0 skipped, 0 rejected`)])
  expect(posthog.stored.size).toBe(before + mended.length)
  const people = [...posthog.stored.values()].filter(({ properties }) => properties?.['note'] === 'mended')
  expect(new Set(people.map(({ distinct_id }) => distinct_id))).toEqual(new Set(mended.map(({ row }) => `1${row}`)))

  const twice = await start('retry', run, '--from', 'rows.csv').ended
  expect([twice.code, twice.stdout]).toEqual([0, expect.stringContaining('0 sent, 0 skipped, 0 rejected again')])
  expect(posthog.stored.size).toBe(before + mended.length)
  await exact()
})

test('a retry that is killed again and again sends every row once, and the tallies are exact', async () => {
  const [rows, kills] = [500, 6]
  await writeFile(
    path.join(source, 'clicks.csv'),
    `event_id,user_id,time,note\n${bareLines(1, rows, 'x'.repeat(40_000))}`,
  )
  await writeFile(path.join(source, 'fine.csv'), `event_id,user_id,time\n${bareLines(9001, 50)}`)
  await writeFile(path.join(folder, 'old.yaml'), JSON.stringify({ tables: { clicks: { event: 'n'.repeat(201) } } }))
  await writeFile(path.join(folder, 'new.yaml'), JSON.stringify({ tables: { clicks: { event: 'clicked' } } }))
  const first = await start('run', source, '--run', run, '--mapping', 'old.yaml', '--max-rejected', '100').ended
  expect([first.code, posthog.stored.size]).toEqual([3, 50])

  const seed = Number(process.env.CRASH_SEED ?? Date.now() % 100_000)
  console.log(`kills drawn with CRASH_SEED=${seed}`)
  const random = seededRandom(seed, 'retry').fraction
  posthog.fault({ kind: 'latency', ms: 400 })
  let killed = 0
  while (killed < kills) {
    const before = posthog.batches.length
    const retry = start('retry', run, '--mapping', 'new.yaml')
    await until('a batch arrives', () => posthog.batches.length > before || retry.child.exitCode !== null)
    await sleep(random() * 900)
    if (!retry.child.kill('SIGKILL')) break
    killed++
    await retry.ended
    await exact()
  }
  posthog.clearFaults()
  expect((await start('retry', run, '--mapping', 'new.yaml').ended).code).toBe(0)

  expect(killed).toBe(kills)
  expect(names()).toEqual({ clicked: rows, fine: 50 })
  expect(posthog.stored.size).toBe(rows + 50)
  await exact()
  expect((await tallies()).find(({ table }) => table === 'clicks')?.tally).toMatchObject({ sent: rows, rejected: {} })
  const retried = (await ledger.timeline(run)).flatMap((entry) => (entry.kind === 'retried' ? [entry.sent] : []))
  expect(retried.reduce((sum, sent) => sum + sent, 0)).toBe(rows)
  const arrivals = [...posthog.stored.values()].reduce((sum, { times }) => sum + times, 0)
  console.log(`${arrivals - posthog.stored.size} events were sent again after ${killed} kills`)
  // 1.5 million characters a batch.
  expect(arrivals - posthog.stored.size).toBeLessThanOrEqual(kills * 38)
})

test('while one retry waits for PostHog a second one is refused; Ctrl-C stops it, and the next one sends the rows', async () => {
  await writeFile(path.join(source, 'clicks.csv'), `event_id,user_id,time\n${bareLines(1, 10)}`)
  await writeFile(path.join(folder, 'old.yaml'), JSON.stringify({ tables: { clicks: { event: 'n'.repeat(201) } } }))
  await writeFile(path.join(folder, 'new.yaml'), JSON.stringify({ tables: { clicks: { event: 'clicked' } } }))
  await start('run', source, '--run', run, '--mapping', 'old.yaml', '--max-rejected', '100').ended
  posthog.fault({ kind: 'status', status: 503 })
  const first = start('retry', run, '--mapping', 'new.yaml')
  await until('it has asked PostHog', () => (posthog.requests['503'] ?? 0) > 0)
  const second = await start('retry', run, '--mapping', 'new.yaml').ended
  expect([second.code, second.stderr]).toEqual([1, expect.stringContaining(`retries rows of ${run} already`)])
  first.child.kill('SIGINT')
  expect(await first.ended).toMatchObject({ code: 130, stdout: expect.stringContaining('10 rejected rows now') })
  posthog.clearFaults()
  expect(await said('retry', run, '--mapping', 'new.yaml')).toContain('10 sent')
  expect(names()).toEqual({ clicked: 10 })
  await exact()
})

test('rows that were too young are sent when they are old enough, once, although it is killed; younger ones wait', async () => {
  const waitMs = 40_000
  const startMs = Date.now()
  const timeAt = (ageMs: number): string => new Date(startMs - ageMs).toISOString().replace('T', ' ').replace('Z', '')
  const lines = (from: number, count: number, ageMs: number): string =>
    Array.from({ length: count }, (_, nth) => `${from + nth},7,${timeAt(ageMs)},${'x'.repeat(40_000)}\n`).join('')
  const soon = 300
  const table = `event_id,user_id,time,note\n${lines(1, 20, 72 * hourMs)}${lines(1001, soon, 48 * hourMs - waitMs)}${lines(5001, 30, hourMs)}`
  await writeFile(path.join(source, 'clicks.csv'), table)
  await writeFile(path.join(source, 'packed.csv.gz'), gzipSync(table))
  const first = await start('run', source, '--run', run).ended
  expect([first.code, first.stderr]).toEqual([0, expect.stringContaining(`heapferry retry ${run} --reason held_back`)])
  expect(posthog.stored.size).toBe(40)
  expect(countOf((await tallies())[0]?.tally.skipped ?? {})).toBe(soon + 30)

  await sleep(Math.max(0, startMs + waitMs + 1000 - Date.now()))
  posthog.fault({ kind: 'latency', ms: 400 })
  for (let killed = 0; killed < 3; killed++) {
    const before = posthog.batches.length
    const retry = start('retry', run, '--reason', 'held_back')
    await until('some batches arrive', () => posthog.batches.length > before + 1)
    retry.child.kill('SIGKILL')
    await retry.ended
    await exact()
  }
  posthog.clearFaults()
  const last = await start('retry', run, '--reason', 'held_back').ended
  expect([last.code, last.stdout]).toEqual([3, expect.stringContaining('60 less than 48 hours old')])
  expect(posthog.stored.size).toBe(40 + 2 * soon)
  for (const { tally } of await tallies()) expect(tally).toMatchObject({ sent: 20 + soon, skipped: { held_back: 30 } })
  await exact()
  const arrivals = [...posthog.stored.values()].reduce((sum, { times }) => sum + times, 0)
  const again = await start('retry', run, '--reason', 'held_back').ended
  expect([again.code, again.stdout]).toEqual([3, expect.stringContaining('0 sent, 0 skipped, 0 rejected')])
  expect([...posthog.stored.values()].reduce((sum, { times }) => sum + times, 0)).toBe(arrivals)
})

function mappingOf(clicks: object, tapped: string): string {
  return JSON.stringify({ tables: { clicks, taps: { event: tapped }, fine: { event: `fine ${tapped.slice(0, 4)}` } } })
}

/** Files of five kinds whose rows are bad in every way, and a few good ones. */
async function writeBadRows() {
  const header = 'event_id,user_id,time,note'
  const clicks = [
    Buffer.from('1,,2023-01-02 03:04:05,"of ""two""\nlines"'),
    Buffer.from('2,4.70233395150220e+15,2023-01-02 03:04:05,'),
    Buffer.from('3,7,,'),
    Buffer.from('4,7,1/2/2023 3:04,'),
    Buffer.from('5,7,1999-01-02 03:04:05,'),
    Buffer.from('6,7,2023-01-02 03:04:05,one,too many'),
    Buffer.from('7,7,2023-01-02 03:04:05,"stray" quote'),
    Buffer.from('8,7,2023-01-02 03:04:05,caf\xe9', 'latin1'),
    Buffer.from(`9,7,2023-01-02 03:04:05,"${'""'.repeat(300_000)}"`),
    Buffer.from(`10,7,2023-01-02 03:04:05,${'x'.repeat(4_300_000)}`),
    Buffer.from('11,7,2023-01-02 03:04:05,good'),
  ]
  const csv = Buffer.concat([Buffer.from(`${header}\n`), ...clicks.flatMap((line) => [line, Buffer.from('\n')])])
  await writeFile(path.join(source, 'clicks.csv'), csv)
  await writeFile(path.join(source, 'packed.csv.gz'), gzipSync(csv))
  await writeFile(path.join(source, 'refused.csv'), `${header}\n1,7,2023-01-02 03:04:05,\n2,8,2023-01-02 03:04:05,\n`)

  const taps = [
    '{"event_id": "1", "user_id": "7", "time": "2023-01-02 03:04:05", "note": "good"}',
    '{"event_id": "2", "user_id": "7", "time": "2023-01-02 03:04:05"',
    '{"event_id": "3", "time": "2023-01-02 03:04:05", "deep": {"a": ["b"]}, "big": 12345678901234567890}',
    '{"event_id": "4", "user_id": "7", "time": "never"}',
    '[5]',
  ]
  await writeFile(path.join(source, 'taps.jsonl'), taps.map((line) => `${line}\n`).join(''))

  const columns = ['user_id', 'event_id', 'time', 'note']
  const swipes = [
    ['7', '1', '2023-01-02 03:04:05.000', 'good'],
    [null, '2', '2023-01-02 03:04:05.000', 'no user'],
    ['7', '3', 'never', null],
  ]
  await tableWriters.avro(path.join(source, 'swipes.avro'), { columns, rows: swipes })
  await appendFile(path.join(source, 'swipes.avro'), Buffer.from('this is no block of rows'))

  const users = ['1,ada', '2,anonymous', `3,${'x'.repeat(201)}`, '4.1e9,bob', '11,eve', '12,mallory']
  await writeFile(
    path.join(source, 'users.csv'),
    `user_id,identity,joindate\n${users.map((line) => `${line},2023-01-01 00:00:00\n`).join('')}`,
  )
  await writeFile(
    path.join(source, 'user_migrations.csv'),
    'from_user_id,to_user_id,time\n11,12,2023-01-01 00:00:00\n21,1,2023-01-01 00:00:00\n',
  )
  return { clicks, taps, swipes }
}

/** Rows without a header: their number, a person, a time, and more. */
function bareLines(from: number, count: number, more?: string): string {
  return Array.from({ length: count }, (_, nth) => {
    return `${[from + nth, 7, '2023-01-02 03:04:05', ...(more === undefined ? [] : [more])].join(',')}\n`
  }).join('')
}

/** What `rejected --out` wrote. */
async function rowsOf(table?: string): Promise<Record<string, string>[]> {
  const text = await readFile(path.join(folder, table === undefined ? 'rows.csv' : `rows-${table}.csv`), 'utf8')
  const [header = [], ...rows] = parse(text, { max_record_size: 50_000_000 })
  return rows.map((row) => Object.fromEntries(header.map((name, index) => [name, row[index] ?? ''])))
}

function quoted(cell = ''): string {
  return `"${cell.replaceAll('"', '""')}"`
}

function start(...args: string[]): HeapferryProcess {
  const env = {
    POSTHOG_HOST: posthog.url,
    // Not auto: its question would meet the faults in the place of a batch.
    HEAPFERRY_TRANSPORT: 'v1',
    POSTHOG_API_KEY: apiKey,
    REDIS_URL: redisUrl,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  return heapferry(args, { cwd: folder, env })
}

async function migrated(): Promise<void> {
  const { code, stderr } = await start('run', source, '--run', run, '--max-rejected', '100').ended
  expect([code, stderr]).toEqual([3, expect.any(String)])
}

async function said(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await start(...args).ended
  expect([args, code, stderr]).toEqual([args, 0, expect.any(String)])
  return stdout
}

/** How many events PostHog holds of each name. */
function names(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { event } of posthog.stored.values()) counts[event] = (counts[event] ?? 0) + 1
  return counts
}

async function tallies(): Promise<{ table: string; tally: Tally }[]> {
  return (await ledger.progress(run)).tables.map(({ table, tally }) => ({ table, tally }))
}

/** Every row that was read has ended in one way, and the rejected ones are those of the list. */
async function exact(): Promise<void> {
  const listed = new Map<string, number>()
  for await (const { table } of ledger.rejectedRows(run)) listed.set(table, (listed.get(table) ?? 0) + 1)
  for (const { table, tally } of await tallies()) {
    expect([table, tally.sent + countOf(tally.skipped) + countOf(tally.rejected)]).toEqual([table, tally.read])
    expect([table, countOf(tally.rejected)]).toEqual([table, listed.get(table) ?? 0])
  }
}
