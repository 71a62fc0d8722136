import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createCsvFile, type CsvFile, type Dialect, plainDialect, timeText } from './csv-file.ts'
import { firstMs, lastMs, type SamplePerson, personOf, shareOf, type Visit, visitOf } from './people.ts'
import { type Random, seededRandom } from './random.ts'
import {
  clickCells,
  clickColumns,
  orderCells,
  orderColumns,
  pageCells,
  pageviewColumns,
  sessionColumns,
  signupCells,
  signupColumns,
  userColumns,
  userRow,
  visitCells,
} from './rows.ts'
import { eventTraps, pageviewTraps, rejectReasons, type Row, type Trap, userTraps } from './traps.ts'

export interface SampleOptions {
  /** Is made when it is not there; files of an earlier sample in it are overwritten. */
  folder: string
  seed: number
  people: number
  /** In three files. */
  pageviewRows: number
  /** In three event tables. */
  eventRows: number
  /** Whether rows and files have what real exports suffer from; without, every row is sound and plain. */
  traps: boolean
  /** Milliseconds since 1970: makes about one row of a thousand younger than two days. Else all rows are old. */
  nowMs?: number
}

interface SampleTable {
  /** Names in the folder. */
  files: string[]
  /** All that stand in the files, the broken ones too. */
  rows: number
  /** How many rows have which trap; a row has at most one. */
  traps: Partial<Record<Trap, number>>
  /** How many rows can only be refused (see `rejectReasons`). */
  rejected: number
}

/** Special entries of user_migrations, by ids. */
interface SampleCases {
  /** Leads from the first over the second to the third, which is a known person. */
  chain: readonly [string, string, string]
  /** Each leads to the other. */
  cycle: readonly [string, string]
  /** Leads to itself. */
  self: string
  /** One id that leads to two known people. */
  conflict: { from: string; to: readonly [string, string] }
  /** Leads to an id that users does not have. */
  orphan: { from: string; to: string }
}

/** What is known to be true of a sample export. */
export interface SampleManifest {
  /** By table name; `files` of a table are in the order of its rows. */
  tables: Record<string, SampleTable>
  bytes: number
  /** Rows of users that are sound and have an identity; all others that are sound have none. Duplicates not counted. */
  identified: number
  cases: SampleCases
  /** Event ids that both core_events_click_any_element and signup_click_start_free_trial have in a row that can be read. */
  sharedEventIds: number
}

const tableFiles = {
  users: ['users.csv'],
  user_migrations: ['user_migrations.csv'],
  pageviews: ['pageviews-000000000000.csv', 'pageviews-000000000001.csv', 'pageviews-000000000002.csv'],
  sessions: ['sessions.csv'],
  signup_click_start_free_trial: ['my_cool_app.heap_main_production.signup_click_start_free_trial.csv'],
  _key_events_pm__order_complete: ['_key_events_pm__order_complete.csv'],
  core_events_click_any_element: ['core_events_click_any_element0000_part_00.csv'],
  all_events: ['all_events.csv'],
  _sync_info: ['_sync_info.csv'],
  desktop_users: ['desktop_users.csv'],
} as const

/**
 * Writes an export such as Heap customers have: people, three of four without a name, the ids they had before, and what
 * they did in the 14 months up to January 2026, every table in a file form of its own. The same options give the same
 * bytes. Memory does not grow with the number of rows.
 *
 * With traps the three files of pageviews differ as the warehouses do: the first has a byte order mark and times with
 * ` UTC`, the second CRLF and `+00:00`, the third upper-case column names and `\N` for nothing. The table of clicks is
 * delimited by `|` in any case.
 */
export async function writeSampleExport(options: SampleOptions): Promise<SampleManifest> {
  await mkdir(options.folder, { recursive: true })
  const random = seededRandom(options.seed, 'export')
  const open = (name: string, layout: Layout) => openTable(options, name, layout, random)

  const users = await open('users.csv', {
    columns: userColumns,
    traps: ['invalid_date', ...(options.traps ? userTraps : [])],
    textColumn: 'company',
  })
  const migrations = await open('user_migrations.csv', { columns: ['from_user_id', 'to_user_id', 'time'] })
  const segment = await open('desktop_users.csv', { columns: ['user_id'] })
  const people = await writePeople(options, { users, migrations, segment }, random)

  const timed = (traps: readonly Trap[]) => [
    ...(options.traps ? traps : []),
    ...(options.nowMs === undefined ? [] : (['recent'] as const)),
  ]
  const pageviews: CsvFile[] = []
  for (const [shard, name] of tableFiles.pageviews.entries())
    pageviews.push(
      await open(name, {
        columns: pageviewColumns,
        traps: timed(pageviewTraps),
        textColumn: 'title',
        dialect: options.traps ? shardDialects[shard] : undefined,
      }),
    )
  const eventLayout = { traps: timed(eventTraps), textColumn: 'target_text' }
  const signups = await open(tableFiles.signup_click_start_free_trial[0], {
    ...eventLayout,
    columns: signupColumns,
    dialect: options.traps ? { timeSuffix: ' UTC' } : undefined,
  })
  const orders = await open(tableFiles['_key_events_pm__order_complete'][0], {
    ...eventLayout,
    columns: orderColumns,
    textColumn: 'gift_note',
  })
  const clicks = await open(tableFiles.core_events_click_any_element[0], {
    ...eventLayout,
    columns: clickColumns,
    dialect: { delimiter: '|' },
  })
  const sessions = await open('sessions.csv', { columns: sessionColumns })
  const allEvents = await open('all_events.csv', {
    columns: ['event_id', 'time', 'user_id', 'session_id', 'event_table_name'],
  })
  const sharedEventIds = await writeVisits(options, { pageviews, signups, orders, clicks, sessions, allEvents }, random)
  const syncInfo = await open('_sync_info.csv', { columns: ['event_table_name', 'synced_to_time'] })
  writeSyncInfo(syncInfo)

  const files: Record<keyof typeof tableFiles, readonly CsvFile[]> = {
    users: [users],
    user_migrations: [migrations],
    pageviews,
    sessions: [sessions],
    signup_click_start_free_trial: [signups],
    _key_events_pm__order_complete: [orders],
    core_events_click_any_element: [clicks],
    all_events: [allEvents],
    _sync_info: [syncInfo],
    desktop_users: [segment],
  }
  for (const file of Object.values(files).flat()) await file.close()
  const tables = Object.entries(tableFiles).map(([name, names]) => {
    const written = Object.entries(files).find(([table]) => table === name)?.[1] ?? []
    return [name, summarize(names, written)] as const
  })
  return {
    tables: Object.fromEntries(tables),
    bytes: Object.values(files)
      .flat()
      .reduce((sum, file) => sum + file.bytes, 0),
    ...people,
    sharedEventIds,
  }
}

interface Layout {
  columns: readonly string[]
  traps?: readonly Trap[]
  textColumn?: string
  dialect?: Partial<Dialect> | undefined
}

const shardDialects: readonly Partial<Dialect>[] = [
  { byteOrderMark: true, timeSuffix: ' UTC' },
  { lineEnd: '\r\n', timeSuffix: '+00:00' },
  { upperCaseHeader: true, nullText: '\\N' },
]

function openTable(options: SampleOptions, name: string, layout: Layout, random: Random): Promise<CsvFile> {
  return createCsvFile(join(options.folder, name), {
    columns: layout.columns,
    dialect: { ...plainDialect, ...layout.dialect },
    traps: layout.traps ?? [],
    textColumn: layout.textColumn ?? '',
    nowMs: options.nowMs,
    random,
  })
}

/** Users, the ids they came from, and a segment of them. */
async function writePeople(
  options: SampleOptions,
  files: { users: CsvFile; migrations: CsvFile; segment: CsvFile },
  random: Random,
): Promise<{ identified: number; cases: SampleCases }> {
  const { users, migrations, segment } = files
  let identified = 0

  const writeUser = (person: SamplePerson) => {
    const { trap } = users.write(userRow(person, random), person.joinedAtMs)
    const isSound = trap === undefined || !(trap in rejectReasons || trap === 'exact_duplicate')
    if (isSound && person.identity !== null) identified++
  }
  const writeMigration = (from: string, to: string, atMs: number) =>
    migrations.write({ from_user_id: from, to_user_id: to }, atMs)

  // First, where no trap is: see `trapOf`.
  const example = personOf(options.seed, 0, 1)
  const known = (name: string) => {
    const person = { ...example, userId: random.id(), formerIds: [], identity: `${name}@example.com` }
    writeUser(person)
    return person.userId
  }
  const cases: SampleCases = {
    chain: [random.id(), random.id(), known('chain')],
    cycle: [random.id(), random.id()],
    self: random.id(),
    conflict: { from: random.id(), to: [known('conflict.one'), known('conflict.two')] },
    orphan: { from: random.id(), to: random.id() },
  }
  const { chain, cycle, self, conflict, orphan } = cases
  const pairs = [
    [chain[0], chain[1]],
    [chain[1], chain[2]],
    [cycle[0], cycle[1]],
    [cycle[1], cycle[0]],
    [self, self],
    [conflict.from, conflict.to[0]],
    [conflict.from, conflict.to[1]],
    [orphan.from, orphan.to],
  ] as const
  for (const [number, [from, to]] of pairs.entries()) writeMigration(from, to, lastMs - 60_000 * number)

  for (let index = 0; index < options.people; index++) {
    const person = personOf(options.seed, index, options.people)
    writeUser(person)
    if (person.device.deviceType === 'Desktop') segment.write({ user_id: person.userId }, 0)
    for (const [number, former] of person.formerIds.entries()) {
      writeMigration(former, person.userId, person.joinedAtMs + 60_000 * (number + 1))
      // Heap leaves the rows of some former ids in place.
      if (random.chance(0.3)) writeUser({ ...person, userId: former, formerIds: [], identity: null })
    }
    for (const file of [users, migrations, segment]) await file.drain()
  }

  return { identified, cases }
}

interface VisitFiles {
  pageviews: readonly CsvFile[]
  signups: CsvFile
  orders: CsvFile
  clicks: CsvFile
  sessions: CsvFile
  allEvents: CsvFile
}

/** Sessions with their pageviews and events, in the order of time; returns how many event ids are in two tables. */
async function writeVisits(options: SampleOptions, files: VisitFiles, random: Random): Promise<number> {
  const { seed, people, pageviewRows, eventRows } = options
  const visits = Math.max(1, Math.ceil(Math.max(pageviewRows, eventRows) / 4))
  const rowsPerShard = Math.ceil(pageviewRows / files.pageviews.length)
  let pageviewsWritten = 0
  let shared = 0

  for (let index = 0; index < visits; index++) {
    const pageviews = shareOf(seed, 'pageviews', pageviewRows, index, visits)
    const events = shareOf(seed, 'events', eventRows, index, visits)
    const visit = visitOf(seed, index, { people, visits, pageviews })
    const cells = visitCells(visit)
    files.sessions.write({ ...cells, event_id: random.id() }, visit.startMs)
    for (const at of visit.pages.slice(0, pageviews)) {
      const file = files.pageviews[Math.floor(pageviewsWritten / rowsPerShard)]
      file?.write({ ...cells, ...pageCells(visit, at), event_id: random.id() }, at.atMs)
      pageviewsWritten++
    }
    shared += writeEvents(visit, cells, events, files, random)
    for (const file of Object.values(files).flat()) await file.drain()
  }
  return shared
}

function writeEvents(visit: Visit, cells: Row, events: number, files: VisitFiles, random: Random): number {
  const { allEvents, clicks, orders, signups } = files
  let signup: { row: Row; atMs: number } | undefined
  let shared = 0

  const write = (file: CsvFile, table: string, row: Row, atMs: number) => {
    const written = file.write(row, atMs)
    allEvents.write({ ...written.row, event_table_name: table }, written.atMs)
    return written.trap !== 'exact_duplicate' && !isUnreadable(written.trap)
  }

  for (let number = 0; number < events; number++) {
    const at = random.pick([visit.pages[0] ?? { atMs: visit.startMs }, ...visit.pages])
    const atMs = at.atMs + random.below(1_400)
    const row: Row = { ...cells, ...('page' in at ? pageCells(visit, at) : {}), event_id: random.id() }
    const drawn = random.fraction()
    if (signup) {
      // One click that two labels describe: Heap has it in both tables, under one id.
      const again = { ...row, ...clickCells(random), event_id: signup.row['event_id'] ?? null }
      if (write(clicks, 'core_events_click_any_element', again, signup.atMs)) shared++
      signup = undefined
    } else if (drawn < 0.3) {
      const signupRow = { ...row, ...signupCells(random) }
      const isThere = write(signups, 'signup_click_start_free_trial', signupRow, atMs)
      if (isThere && random.chance(0.5)) signup = { row: signupRow, atMs }
    } else if (drawn < 0.6) {
      write(orders, '_key_events_pm__order_complete', { ...row, ...orderCells(random) }, atMs)
    } else {
      write(clicks, 'core_events_click_any_element', { ...row, ...clickCells(random) }, atMs)
    }
  }
  return shared
}

function writeSyncInfo(file: CsvFile): void {
  const events = ['signup_click_start_free_trial', '_key_events_pm__order_complete', 'core_events_click_any_element']
  // One table twice: the table is known to hold duplicates.
  for (const name of ['users', 'pageviews', 'sessions', ...events, 'pageviews'])
    file.write({ event_table_name: name, synced_to_time: timeText(lastMs) }, firstMs)
}

function isUnreadable(trap: Trap | undefined): boolean {
  return trap === 'bad_utf8' || trap === 'surplus_column' || trap === 'missing_column'
}

function countRejected(traps: Partial<Record<Trap, number>>): number {
  return Object.entries(traps).reduce((sum, [trap, count]) => sum + (trap in rejectReasons ? count : 0), 0)
}

function summarize(names: readonly string[], files: readonly CsvFile[]): SampleTable {
  const traps: Record<string, number> = {}
  for (const file of files)
    for (const [trap, count] of Object.entries(file.traps)) traps[trap] = (traps[trap] ?? 0) + count
  return {
    files: [...names],
    rows: files.reduce((sum, file) => sum + file.rows, 0),
    traps,
    rejected: files.reduce((sum, file) => sum + countRejected(file.traps), 0),
  }
}
