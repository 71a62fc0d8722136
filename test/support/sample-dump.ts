import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { avroFile, avroText, recordOf, varint } from '../sources/avro-file.ts'
import { timeText } from '../../packages/sample-export/src/csv-file.ts'
import { type SamplePerson, personOf, visitOf } from '../../packages/sample-export/src/people.ts'
import { seededRandom } from '../../packages/sample-export/src/random.ts'
import {
  clickCells,
  clickColumns,
  pageCells,
  pageviewColumns,
  sessionColumns,
  signupCells,
  signupColumns,
  userColumns,
  userRow,
  visitCells,
} from '../../packages/sample-export/src/rows.ts'
import type { Row } from '../../packages/sample-export/src/traps.ts'

export interface SampleDumpOptions {
  /** Becomes the root of the tree, as a copy of the bucket. */
  folder: string
  seed: number
  people: number
  /** In each of the dumps. */
  visits: number
}

/** What is known to be true of a tree of dumps. */
export interface SampleDumpManifest {
  /** What counts, by table: paths in the folder, in the order of the dumps. */
  tables: Record<string, { files: string[]; rows: number; eventIds: Set<string> }>
  /** Of rows that do not count: they were replaced, or their dump is not complete. */
  leftOutEventIds: string[]
  /** Larger than 2^53; a person and some pageviews have it. */
  wideId: string
  /** All that user_migrations say in the end, from and to. */
  migrations: [from: string, to: string][]
  /** Everybody, with all ids they ever had. */
  people: { ids: string[]; identity: string | null }[]
  /** What makes the last dump a complete one. It sends signups again in full, and leads every former id elsewhere. */
  nextManifest: { path: string; text: string }
}

/** One table in one dump. */
interface DumpedTable {
  dump: number
  table: string
  incremental: boolean
  /** Whether it stays when the later dumps are there. */
  counts: boolean
  columns: readonly string[]
  rows: Row[]
}

const bucket = 'heap-rs3-example'
// As text, the third comes first. The last one is still being written.
const dumps = { full: 998, next: 999, last: 1000, open: 1001 }
// Ids of people that Heap has identified are hashes, of which only 64 bits are certain.
const wideId = '9007199254740993'
const dayMs = 86_400_000
const repeatedRows = 5

/**
 * Writes an export of Heap Connect for S3 as it lies in its bucket: three complete dumps and one whose manifest is still
 * missing, each table of a dump in two files and an empty one, in all codecs and unions that readers of such exports have
 * met. Pageviews grow with every dump, which repeats some of the dump before, and gain a column; signups are missing from
 * the second dump and are sent again in full, without the first of them, by the third; no dump has all clicks; people come
 * with several rows, and some are identified only by later ones. The same options give the same bytes.
 */
export async function writeSampleDump(options: SampleDumpOptions): Promise<SampleDumpManifest> {
  const people = peopleOf(options)
  const dumped = [...peopleTables(options, people), ...eventTables(options), metadataTable()]
  const tables: SampleDumpManifest['tables'] = {}
  const filesOf = new Map<DumpedTable, string[]>()
  for (const one of dumped) {
    const files = await writeTable(options.folder, one)
    filesOf.set(one, files)
    if (!one.counts) continue
    const table = (tables[one.table] ??= { files: [], rows: 0, eventIds: new Set() })
    table.files.push(...files)
    table.rows += one.rows.length
    for (const id of eventIdsOf(one)) table.eventIds.add(id)
  }
  const manifestOf = (dump: number) => {
    const listed = dumped
      .filter((one) => one.dump === dump)
      .map((one) => ({
        name: one.table,
        incremental: one.incremental,
        columns: one.columns,
        files: filesOf.get(one)?.map((file) => `s3://${bucket}/${file}`),
      }))
    const definitions = `s3://${bucket}/property_definitions/sync_${dump}.json`
    const text = JSON.stringify({ dump_id: dump, tables: listed, property_definitions: definitions })
    return { path: `manifests/sync_${dump}.json`, text }
  }
  for (const dump of [dumps.full, dumps.next, dumps.last]) {
    const { path, text } = manifestOf(dump)
    await writeInside(options.folder, path, text)
    await writeInside(options.folder, `property_definitions/sync_${dump}.json`, '{}')
  }
  const counted = new Set(dumped.filter(({ counts }) => counts).flatMap(eventIdsOf))
  return {
    tables,
    leftOutEventIds: dumped.flatMap(eventIdsOf).filter((id) => !counted.has(id)),
    wideId,
    migrations: dumped
      .filter(({ table, counts }) => table === 'user_migrations' && counts)
      .flatMap(({ rows }) => rows.map((row): [string, string] => [row['from_user_id'] ?? '', row['to_user_id'] ?? ''])),
    people: people.map(({ userId, formerIds, identity }) => ({ ids: [userId, ...formerIds], identity })),
    nextManifest: manifestOf(dumps.open),
  }
}

function peopleOf({ seed, people }: SampleDumpOptions): SamplePerson[] {
  const formerIds = [seededRandom(seed, 'wide').id()]
  const wide = { ...personOf(seed, 0, 1), userId: wideId, formerIds, identity: 'wide@example.com' }
  return [wide, ...Array.from({ length: people }, (_, index) => personOf(seed, index, people))]
}

/** People as they were at the first dump, those who changed since, and where earlier ids lead as each dump saw it. */
function peopleTables({ seed }: SampleDumpOptions, all: readonly SamplePerson[]): DumpedTable[] {
  const random = seededRandom(seed, 'dump people')
  const rowOf = (person: SamplePerson, dump: number): Row => ({
    ...userRow(person, random),
    joindate: String(person.joinedAtMs * 1000),
    last_modified: String((person.joinedAtMs + dayMs * (1 + dump - dumps.full)) * 1000),
  })
  const former = all.flatMap((person) => person.formerIds.map((userId) => ({ ...person, userId, identity: null })))
  const users = (dump: number, rows: readonly SamplePerson[]): DumpedTable => ({
    dump,
    table: 'users',
    incremental: dump !== dumps.full,
    counts: dump !== dumps.open,
    columns: userColumns,
    rows: rows.map((person) => rowOf(person, dump)),
  })
  const pairs = all.flatMap(({ userId, formerIds, joinedAtMs }) =>
    formerIds.map((from, index) => {
      // The first of three leads on to the second: Heap says it never does.
      const to = index === 0 && formerIds.length === 3 ? formerIds[1] : userId
      return { from_user_id: from, to_user_id: to ?? userId, time: timeText(joinedAtMs) }
    }),
  )
  const migrations = (dump: number, rows: Row[]): DumpedTable => ({
    dump,
    table: 'user_migrations',
    incremental: false,
    counts: dump === dumps.last,
    columns: ['from_user_id', 'to_user_id', 'time'],
    rows,
  })
  const isChanged = (dump: number, index: number): boolean => index % (dump === dumps.next ? 3 : 5) === 0
  const changedIn = (dump: number) => all.filter((_, index) => isChanged(dump, index))
  const unknown = all.map((person, index) => (isChanged(dumps.next, index) ? { ...person, identity: null } : person))
  const elsewhere = pairs.map((pair) => ({ ...pair, to_user_id: random.id() }))
  return [
    // What they were called before leaves rows of its own.
    users(dumps.full, [...unknown, ...former]),
    users(dumps.next, changedIn(dumps.next)),
    users(dumps.last, changedIn(dumps.last)),
    users(dumps.open, all.slice(0, 1)),
    migrations(dumps.full, elsewhere),
    migrations(dumps.next, pairs.slice(1)),
    migrations(dumps.last, pairs),
    migrations(dumps.open, elsewhere),
  ]
}

function eventTables(options: SampleDumpOptions): DumpedTable[] {
  const signups: Row[] = []
  let before: Row[] = []
  return Object.values(dumps).flatMap((dump) => {
    const rows = visitRows(options, dump)
    const isOpen = dump === dumps.open
    const dumpedTable = (
      table: string,
      columns: readonly string[],
      some: Partial<DumpedTable> & { rows: Row[] },
    ): DumpedTable => ({
      dump,
      table,
      incremental: dump !== dumps.full,
      counts: !isOpen,
      columns,
      ...some,
    })
    const pageviews = [...before.slice(-repeatedRows), ...rows.pageviews]
    before = rows.pageviews
    const isLast = dump === dumps.last
    const isWithSignups = dump !== dumps.next
    if (isWithSignups) signups.push(...rows.signups)
    return [
      dumpedTable('pageviews', isLast || isOpen ? [...pageviewColumns, 'loyalty_tier'] : pageviewColumns, {
        rows: pageviews,
      }),
      dumpedTable('sessions', sessionColumns, { rows: rows.sessions }),
      dumpedTable('core_events_click_any_element', clickColumns, { rows: rows.clicks, incremental: true }),
      ...(isWithSignups
        ? [
            dumpedTable('signup_click_start_free_trial', signupColumns, {
              rows: dump === dumps.full ? rows.signups : signups.slice(1),
              incremental: false,
              counts: isLast,
            }),
          ]
        : []),
    ]
  })
}

function visitRows({ seed, people, visits }: SampleDumpOptions, dump: number) {
  const rows: Record<'pageviews' | 'sessions' | 'clicks' | 'signups', Row[]> = {
    pageviews: [],
    sessions: [],
    clicks: [],
    signups: [],
  }
  const random = seededRandom(seed, `dump ${dump}`)
  const first = (dump - dumps.full) * visits
  const all = { people, visits: Object.keys(dumps).length * visits, pageviews: 3 }
  for (let index = first; index < first + visits; index++) {
    const visit = visitOf(seed, index, all)
    const userId = index === first ? wideId : visit.userId
    const cells = { ...visitCells(visit), user_id: userId, session_time: null }
    const at = (atMs: number): Row => ({ ...cells, event_id: random.id(), time: timeText(atMs) })
    rows.sessions.push(at(visit.startMs))
    for (const page of visit.pages)
      rows.pageviews.push({ ...at(page.atMs), ...pageCells(visit, page), loyalty_tier: 'gold' })
    rows.clicks.push({ ...at(visit.startMs + 900), ...clickCells(random) })
    if (index % 2 === 0) rows.signups.push({ ...at(visit.startMs + 1200), ...signupCells(random) })
  }
  return rows
}

/** What Heap says about its tables: nothing that happened. */
function metadataTable(): DumpedTable {
  return {
    dump: dumps.last,
    table: '_event_metadata',
    incremental: false,
    counts: true,
    columns: ['event_table_name', 'event_name'],
    rows: [{ event_table_name: 'signup_click_start_free_trial', event_name: 'Signup: click "Start free trial"' }],
  }
}

// No row is without them.
const idColumns = new Set(['user_id', 'from_user_id', 'to_user_id'])
const longColumns = new Set([
  ...idColumns,
  'event_id',
  'session_id',
  // In microseconds, where events have text.
  'joindate',
  'last_modified',
])
const codecs = ['snappy', 'deflate', 'null']

/** @returns the paths of its files */
async function writeTable(folder: string, { dump, table, columns, rows }: DumpedTable): Promise<string[]> {
  const half = Math.ceil(rows.length / 2)
  const shards = [rows.slice(0, half), rows.slice(half), []]
  const files: string[] = []
  for (const [number, shard] of shards.entries()) {
    const shardColumns = columns.map((name): AvroColumn => {
      const isBare = number === 1 && idColumns.has(name)
      const union = number === 1 ? 'null_last' : 'null_first'
      return { name, type: longColumns.has(name) ? 'long' : 'string', union: isBare ? 'bare' : union }
    })
    const file = `sync_${dump}/${table}/${shardName(dump, table, number)}`
    await mkdir(dirname(join(folder, file)), { recursive: true })
    const codec = codecs[(dump + number) % codecs.length] ?? 'null'
    await writeFile(join(folder, file), avroTable(shardColumns, shard, codec))
    files.push(file)
  }
  return files
}

export interface AvroColumn {
  name: string
  type: 'long' | 'string'
  /** How a cell may hold nothing: which comes first in the union, or that it may not. */
  union: 'null_first' | 'null_last' | 'bare'
}

/** Rows as an Avro file of one block, or of none where there are no rows. */
export function avroTable(columns: readonly AvroColumn[], rows: readonly Row[], codec: string): Buffer {
  const data = Buffer.concat(rows.flatMap((row) => columns.flatMap((column) => avroCell(column, row[column.name]))))
  return avroFile({
    schema: recordOf(...columns.map(({ name, type, union }) => ({ name, type: avroTypes[union](type) }))),
    blocks: rows.length === 0 ? [] : [{ rows: rows.length, data }],
    codec,
  })
}

const avroTypes: Record<AvroColumn['union'], (type: string) => unknown> = {
  null_first: (type) => ['null', type],
  null_last: (type) => [type, 'null'],
  bare: (type) => type,
}

function avroCell({ name, type, union }: AvroColumn, value: string | null = null): Buffer[] {
  if (value === null && union === 'bare') throw new Error(`${name} must hold a value`)
  const branch = union === 'bare' ? [] : [varint((value === null) === (union === 'null_first') ? 0 : 1)]
  return value === null ? branch : [...branch, type === 'long' ? varint(BigInt(value)) : avroText(value)]
}

function shardName(dump: number, table: string, number: number): string {
  if (table === 'users' || table === 'user_migrations') return `${String(number).padStart(4, '0')}_part_00.avro`
  const hex = createHash('md5').update(`${dump} ${table}`).digest('hex')
  const guid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  return `part-${String(number).padStart(5, '0')}-${guid}-c000.avro`
}

async function writeInside(folder: string, file: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, file)), { recursive: true })
  await writeFile(join(folder, file), text)
}

function eventIdsOf({ rows }: DumpedTable): string[] {
  return rows.flatMap((row) => row['event_id'] ?? [])
}
