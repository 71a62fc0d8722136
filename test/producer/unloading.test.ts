import path from 'node:path'
import { defaultMapping, Mapping, type Phase, phases, RunId } from '@heapferry/domain'
import { type Production, produce } from '@heapferry/producer'
import { ChunkQueue, redisLedger } from '@heapferry/queue'
import { openWorkStore, sourceAt } from '@heapferry/sources'
import { expect, onTestFinished, test } from 'vitest'
import { runOf } from '../support/chunk.ts'
import { temporaryFolder } from '../support/folder.ts'
import { memoryScratch } from '../support/memory-store.ts'
import { folderPlace, noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'

type Unloading = NonNullable<Production['unloading']>
type Kind = ReturnType<Unloading['tables']>[number]['table']['kind']

const server = redisForTests()
let runs = 0

interface TestTable {
  kind: Extract<Kind, 'users' | 'sessions' | 'pageviews' | 'event'>
  name: string
  /** In how many files its rows come; none where a warehouse writes none of a table without rows. */
  files: number
  /** Of an event, by file: a row with each. */
  prices?: readonly (readonly string[])[]
}

const people: TestTable = { kind: 'users', name: 'users', files: 1 }
const sessions: TestTable = { kind: 'sessions', name: 'sessions', files: 2 }
const pageviews: TestTable = { kind: 'pageviews', name: 'pageviews', files: 2 }
const taps: TestTable = { kind: 'event', name: 'taps', files: 2 }
const likes: TestTable = { kind: 'event', name: 'likes', files: 1 }

const columns = {
  users: ['user_id', 'identity'],
  sessions: ['user_id', 'session_id', 'time', 'referrer'],
  pageviews: ['event_id', 'user_id', 'session_id', 'time', 'path'],
  event: ['event_id', 'user_id', 'session_id', 'time', 'price'],
}
const cells: Record<string, string> = {
  identity: 'ada',
  session_id: '9000000000000001',
  time: '2023-01-02 03:04:05',
  referrer: 'https://a.example/',
  path: '/a',
}

/**
 * Unloads CSV files instead of a warehouse's tables: a stand-in for `openRunUnloading` that shows in which order files are asked
 * for, and what is there by then; not how a warehouse is read, which test/emulators do.
 */
async function unloaded(tables: readonly TestTable[], mapping: Mapping = defaultMapping) {
  const folder = await temporaryFolder()
  const place = await folderPlace(folder)
  const store = await openWorkStore(path.join(folder, 'work'), noS3)
  const ledger = redisLedger(server.redis)
  const run = await ledger.createRun(runOf(`unloaded-${++runs}`, { root: folder, mapping, chunkBytes: 1 << 20 }), 'ada')
  const errors: Error[] = []
  const queues = new Map(phases.map((phase) => [phase, new ChunkQueue(server.redis, run.id, phase, onError)]))
  function onError(error: Error): void {
    errors.push(error)
  }
  function queueOf(phase: Phase): ChunkQueue {
    const queue = queues.get(phase)
    if (!queue) throw new Error('a phase without a queue')
    return queue
  }
  onTestFinished(async () => {
    for (const queue of queues.values()) await queue.close()
    expect(errors).toEqual([])
  })

  const asked: { file: string; chunks: number; isIndexed: boolean; isTold: boolean }[] = []
  const handedOut = new Set<string>()
  const whole = new Set<string>()
  const filesOf = ({ name, files }: TestTable): string[] =>
    Array.from({ length: files }, (_, index) => `${name}/${index + 1}.csv`)
  async function ask(file: string): Promise<void> {
    const waiting = phases.map(async (phase) => (await ledger.queueState(run.id, phase)).waiting)
    const chunks = (await Promise.all(waiting)).reduce((sum, count) => sum + count, 0)
    const [isIndexed = false, isTold = false] = await Promise.all(
      ['sessions/head', 'first_touch/files'].map((made) =>
        store.read(`${run.id}/${made}`).then(
          () => true,
          () => false,
        ),
      ),
    )
    asked.push({ file, chunks, isIndexed, isTold })
  }
  const unloading: Unloading = {
    address: 'a stand-in',
    discovery: { place, files: [], notices: [] },
    leftOut: () => [],
    tables: () =>
      tables.map((table) => ({
        table: { kind: table.kind, name: table.name },
        columns: columns[table.kind],
        isWhole: whole.has(table.name),
        fileCount: filesOf(table).filter((file) => handedOut.has(file)).length,
      })),
    async *files(isWanted) {
      for (const table of tables.filter(({ name }) => isWanted(name) && !whole.has(name))) {
        for (const [index, file] of filesOf(table).entries()) {
          await ask(file)
          const values = (table.prices?.[index] ?? ['2']).map((price) => row(table, price))
          const rows = [columns[table.kind], ...values].map((cellsOfRow) => cellsOfRow.join(','))
          await place.put(file, [Buffer.from(`${rows.join('\n')}\n`)])
          handedOut.add(file)
          yield { place, files: [{ path: file, table: table.name }], notices: [] }
        }
        whole.add(table.name)
      }
    },
  }
  function row({ kind }: TestTable, price: string): string[] {
    return columns[kind].map((column) => (column === 'price' ? price : (cells[column] ?? String(handedOut.size + 1))))
  }

  const source = sourceAt(place, await folderPlace(path.join(folder, 'work')))
  await produce(
    { run, hashSalt: null, source, files: [], notices: [], unloading, by: 'ada' },
    { ledger, queueOf, store, scratch: memoryScratch(), signal: new AbortController().signal },
  )
  const progress = await ledger.progress(run.id)
  return { run: RunId.parse(run.id), asked, progress, ledger }
}

/** Files that are asked for before anything is enqueued. */
function before({ asked }: Awaited<ReturnType<typeof unloaded>>): string[] {
  return asked.filter(({ chunks }) => chunks === 0).map(({ file }) => file)
}

test('people and sessions are unloaded whole; then sessions are indexed, first touch is made, and events are enqueued while the rest is unloaded', async () => {
  const { asked, progress } = await unloaded([people, likes, sessions, taps, pageviews])
  expect(asked).toEqual([
    { file: 'users/1.csv', chunks: 0, isIndexed: false, isTold: false },
    { file: 'sessions/1.csv', chunks: 0, isIndexed: false, isTold: false },
    { file: 'sessions/2.csv', chunks: 0, isIndexed: false, isTold: false },
    // People, sessions (two, whose rows are skipped) and first touch.
    { file: 'likes/1.csv', chunks: 4, isIndexed: true, isTold: true },
    { file: 'taps/1.csv', chunks: 5, isIndexed: true, isTold: true },
    { file: 'taps/2.csv', chunks: 6, isIndexed: true, isTold: true },
    { file: 'pageviews/1.csv', chunks: 7, isIndexed: true, isTold: true },
    { file: 'pageviews/2.csv', chunks: 8, isIndexed: true, isTold: true },
  ])
  expect(progress.phases).toMatchObject([
    { sealed: true, planned: 2 },
    { sealed: true, planned: 7 },
  ])
})

const all = [people, likes, sessions, taps, pageviews]
const noSessions = [people, likes, taps, pageviews]
const emptySessions = [people, likes, { ...sessions, files: 0 }, taps, pageviews]

test.each([
  ['with pages, pageviews', all, { enrich: 'pages' }, ['users', 'sessions', 'pageviews']],
  ['without sessions, pageviews, for first touch', noSessions, {}, ['users', 'pageviews']],
  ['of sessions that left no file, pageviews, for first touch', emptySessions, {}, ['users', 'pageviews']],
  [
    'without sessions, for first touch, where pageviews are filtered out, all that are not',
    noSessions,
    { filter: { tables: { include: ['likes'] } } },
    ['users', 'likes'],
  ],
  ['without sessions and pageviews, for first touch, all', [people, likes, taps], {}, ['users', 'likes', 'taps']],
  ['of no use for sessions and first touch, people alone', all, { enrich: 'none', first_touch: 'skip' }, ['users']],
  ['of no use for first touch, sessions', all, { first_touch: 'skip' }, ['users', 'sessions']],
])('what is read before events is unloaded whole: %s', async (_, tables, mapping, first) => {
  const outcome = await unloaded(tables, Mapping.parse(mapping))
  const files = tables
    .filter(({ name }) => first.includes(name))
    .flatMap(({ name, files: count }) => Array.from({ length: count }, (__, index) => `${name}/${index + 1}.csv`))
  expect(new Set(before(outcome))).toEqual(new Set(files))
  expect(outcome.asked).toHaveLength(tables.reduce((sum, { files: count }) => sum + count, 0))
  expect(outcome.progress.phases.map(({ sealed }) => sealed)).toEqual([true, true])
})

test('an event that is called first_touch, and comes after first touch is made, is counted as a table of its own', async () => {
  const { progress } = await unloaded([people, sessions, { kind: 'event', name: 'first_touch', files: 1 }])
  expect(progress.tables.map(({ table, planned }) => [table, planned])).toEqual(
    expect.arrayContaining([
      ['first_touch', 1],
      ['first_touch_of_people', 2],
    ]),
  )
})

test('all windows of a table that is unloaded whole are read alike: what its first one writes for nothing is nothing in the others', async () => {
  const { run, ledger } = await unloaded([people, { ...taps, prices: [['NULL', '1.5'], ['2.5']] }])
  const files = (await ledger.files(run)).filter(({ table }) => table.name === 'taps')
  expect(files.map(({ table }) => ('nulls' in table ? table.nulls : undefined))).toEqual([
    [{ text: 'NULL' }],
    [{ text: 'NULL' }],
  ])
})
