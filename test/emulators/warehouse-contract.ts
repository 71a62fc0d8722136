import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { defaultMapping } from '@heapferry/domain'
import {
  inspectExport,
  openPlace,
  openUnloading,
  openWarehouse,
  sourceAt,
  type WarehouseOptions,
} from '@heapferry/sources'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Fault, type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { linesBelow } from './heap-in-postgres.ts'

/** A warehouse that keeps the results of its queries for a while, and is reached by HTTP; made of what others have written. */
export interface TestWarehouse {
  source: string
  endpoint: string
  /** @param endpoint the warehouse's own, or what stands before it */
  settings(endpoint: string): Record<string, string>
  options(endpoint: string): WarehouseOptions
  /** What stands in the settings, or in files that they name outside of the folder of a test, and nowhere else. */
  secrets: readonly string[]
  /** Makes the schema anew: with `heapTables`, all that is hard to carry, and all_events and big_spenders. */
  makeHeap(): Promise<void>
  /** Makes the schema anew: users (one, with the id 1), taps (event_id from 1, user_id, time, colour) and _sync_info. */
  makeTaps(): Promise<void>
  /** How many taps: some windows of them. */
  tapRows: number
  /** CSV of the tables of `makeHeap`, as a person unloads them, by anything but what is tested. */
  unloadByHand(into: string, tables: readonly string[]): Promise<void>
  /** Alters taps. */
  alter(
    how: 'rename colour' | 'rename it back' | 'add a column' | 'user_id is text' | 'user_id is a number again',
  ): Promise<void>
  /** Heap says that it has synced again. */
  sync(): Promise<void>
  /** Results of queries that were asked so far are kept no longer. */
  expire(): Promise<void>
  /** How many queries were asked for the rows of tables, in all. */
  queries(): Promise<number>
  /** Requests that ask for rows of a result. */
  asksForRows: RegExp
  /** Says, once, that too much was asked of it. */
  busy(on: RegExp): Fault
  /** Makes of an answer with rows one that lacks the last. */
  withoutLastRow(text: string): string
  close(): Promise<void>
}

const heapTables = ['users', 'user_migrations', 'pageviews', 'clicked_buy', 'nothing_yet']

/** What has to hold of every warehouse whose results are read page by page. */
export function warehouseContract(name: string, start: () => Promise<TestWarehouse>): void {
  const server = redisForTests()
  let warehouse: TestWarehouse
  let proxy: FaultProxy
  let folder: string

  beforeAll(async () => {
    warehouse = await start()
  })
  afterAll(() => warehouse.close())
  beforeEach(async () => {
    folder = await temporaryFolder()
    await server.redis.flushall()
    proxy = await startFaultProxy(warehouse.endpoint)
    onTestFinished(() => proxy.close())
  })

  function surroundings(home: string, endpoint = warehouse.endpoint) {
    const env = {
      HEAPFERRY_HOME: path.join(folder, home),
      REDIS_URL: server.server.url,
      ...warehouse.settings(endpoint),
    }
    return { env, cwd: folder }
  }
  const eventsOf = (home: string): string => path.join(folder, home, 'events')
  const flags = (home: string): string[] => ['--to', `jsonl:${eventsOf(home)}`, '--run', 'r']

  async function migrated(from: string, home: string) {
    await server.redis.flushall()
    const ended = await heapferry(['run', from, ...flags(home), '--workers', '1', '--no-dashboard'], surroundings(home))
      .ended
    return { ...ended, lines: await linesBelow(eventsOf(home)) }
  }

  describe(`${name}, a schema with all that is hard to carry`, () => {
    beforeAll(() => warehouse.makeHeap())

    test('it becomes the same events, byte for byte, as the same tables unloaded by hand to CSV', async () => {
      await warehouse.unloadByHand(path.join(folder, 'csv'), heapTables)
      const [ours, byHand] = [
        await migrated(warehouse.source, 'ours'),
        await migrated(path.join(folder, 'csv'), 'hand'),
      ]
      expect(ours.stderr).toContain('all_events, big_spenders')
      expect(byHand.lines.length).toBeGreaterThan(3700)
      expect(ours.lines).toEqual(byHand.lines)
    })

    test('plan tells rows, columns and what it costs, asks for no table whole, and leaves nothing behind', async () => {
      const before = await warehouse.queries()
      const { code, stdout, stderr } = await heapferryHere(['plan', warehouse.source, '--json'], surroundings('home'))
      expect([stderr, code]).toEqual(['', 0])
      const plan = JSON.parse(stdout)
      expect(
        plan.tables.map(({ table, rows }: { table: string; rows: { count: number } }) => [table, rows.count]),
      ).toEqual([
        ['user_migrations', 40],
        ['users', 200],
        ['_sync_info', 1],
        ['clicked_buy', 500],
        ['nothing_yet', 0],
        ['pageviews', 4006],
      ])
      expect(plan.notices.join('\n')).toContain('all_events, big_spenders')
      expect(await warehouse.queries()).toBe(before)
      expect(await readdir(folder)).toEqual([])
    })

    test('secrets are nowhere but in the process: not in Redis, files, logs, reports or what is printed', async () => {
      const said: string[] = []
      const commands = [
        ['run', warehouse.source, ...flags('ours'), '--workers', '1', '--no-dashboard'],
        ['status', 'r', '--json'],
        ['report', 'r'],
        ['rejected', 'r'],
      ]
      for (const args of commands) {
        const { stdout, stderr } = await heapferry(args, {
          ...surroundings('ours'),
          env: { ...surroundings('ours').env, LOG_LEVEL: 'trace' },
        }).ended
        said.push(stdout, stderr)
      }
      for (const key of await server.redis.keys('*'))
        said.push(`${key} ${(await server.redis.dumpBuffer(key))?.toString('latin1')}`)
      const files = await readdir(folder, { recursive: true, withFileTypes: true })
      for (const file of files.filter((one) => one.isFile()))
        said.push((await readFile(path.join(file.parentPath, file.name))).toString('latin1'))
      expect(files.map((file) => file.name)).toContain('stage.json')
      expect(warehouse.secrets.length).toBeGreaterThan(0)
      for (const secret of warehouse.secrets) expect(said.filter((text) => text.includes(secret))).toEqual([])
    })

    test('all that comes after reads the stage: the same command, verify, rejected and retry need no secret and no warehouse', async () => {
      await migrated(warehouse.source, 'ours')
      const { HEAPFERRY_HOME, REDIS_URL } = surroundings('ours').env
      const without = { env: { HEAPFERRY_HOME, REDIS_URL, HOME: folder }, cwd: folder }
      const again = await heapferry(
        ['run', warehouse.source, ...flags('ours'), '--workers', '1', '--no-dashboard'],
        without,
      ).ended
      expect([again.code, again.stderr]).toEqual([3, expect.not.stringContaining('cannot')])
      expect((await heapferryHere(['verify', 'r', '--offline'], without)).code).toBe(0)
      expect((await heapferryHere(['rejected', 'r', '--out', 'rows.csv'], without)).code).toBe(0)
      const mapping = path.join(folder, 'heapferry.yaml')
      await writeFile(mapping, 'tables: { pageviews: { properties: { title: drop } } }\n')
      const retried = await heapferryHere(
        ['retry', 'r', '--to', `jsonl:${eventsOf('ours')}`, '--mapping', mapping],
        without,
      )
      expect(`${retried.stdout}${retried.stderr}`).toContain('0 sent, 0 skipped, ')
    })
  })

  async function opened(endpoint = proxy.endpoint) {
    const waits: (string | null)[] = []
    const open = await openWarehouse(warehouse.source, warehouse.options(endpoint), {
      onWait: (reason) => waits.push(reason),
    })
    onTestFinished(() => open.close())
    const place = await openPlace(path.join(folder, 'stage'), noS3)
    return { waits, open, place, unloading: await openUnloading(place, { warehouse: open, mapping: defaultMapping }) }
  }
  type Opened = Awaited<ReturnType<typeof opened>>

  async function* unloaded({ unloading, open }: Opened, onRows: (rows: number) => void = () => {}) {
    const { signal } = new AbortController()
    yield* unloading.unload(() => true, {
      warehouse: open,
      holding: async () => {},
      signal,
      onProgress: ({ rows }) => onRows(rows),
    })
  }

  async function toEnd(open: Opened, onRows?: (rows: number) => void): Promise<string[]> {
    const notices: string[] = []
    for await (const { told } of unloaded(open, onRows)) if (told?.notice) notices.push(told.notice)
    return notices
  }

  /** The ids of the taps that are in the stage. */
  async function staged({ place, unloading }: Opened): Promise<string[]> {
    const discovery = { place, files: unloading.sealed().filter(({ table }) => table === 'taps'), notices: [] }
    const values: string[] = []
    for (const one of await inspectExport(discovery, defaultMapping)) {
      if (one.kind === 'faulty') throw one.fault
      for (const file of one.files)
        for await (const slice of sourceAt(place).readAll(file))
          for (const row of slice.rows)
            values.push(row.kind === 'row' ? (row.values[row.columns.indexOf('event_id')] ?? '') : 'unreadable')
    }
    return values
  }

  /** Files that are named in stage.json, with their moments and bytes. */
  async function sealedFiles(stage = path.join(folder, 'stage')) {
    const text = await readFile(path.join(stage, 'stage.json'), 'utf8').catch(() => '')
    const files = [...text.matchAll(/"path":"([^"]+)"/g)].map(
      async ([, file = '']): Promise<[string, number, string]> => [
        file,
        (await stat(path.join(stage, file))).mtimeMs,
        await readFile(path.join(stage, file), 'latin1'),
      ],
    )
    return { isPlanned: text !== '', files: await Promise.all(files) }
  }

  /** How many taps are not in the stage once each, and a few of them. */
  async function wrongTaps(open: Opened): Promise<{ count: number; some: string[] }> {
    const times = new Map(Array.from({ length: warehouse.tapRows }, (_, index) => [String(index + 1), 0]))
    // Of what is no tap one is one too many.
    for (const id of await staged(open)) times.set(id, (times.get(id) ?? 1) + 1)
    const wrong = [...times].filter(([, count]) => count !== 1)
    return { count: wrong.length, some: wrong.slice(0, 5).map(([id, count]) => `${id} is there ${count} times`) }
  }
  const none = { count: 0, some: [] }

  describe(`${name}, a table of several windows`, () => {
    beforeAll(() => warehouse.makeTaps())

    test('one query is asked for each table, and its windows tile it', async () => {
      const before = await warehouse.queries()
      const open = await opened()
      expect(await toEnd(open)).toEqual([])
      expect((await warehouse.queries()) - before).toBe(3)
      const taps = open.unloading.stage.tables.find(({ table }) => table === 'taps')
      expect(taps?.windows.length).toBeGreaterThan(1)
      expect(await wrongTaps(open)).toEqual(none)
    })

    test('a sync of Heap while it is unloaded is told', async () => {
      const open = await opened()
      const notices: string[] = []
      let synced = false
      for await (const { told } of unloaded(open)) {
        if (told?.notice) notices.push(told.notice)
        if (!synced) await warehouse.sync()
        synced = true
      }
      expect(notices).toEqual([expect.stringContaining('Heap synced into the warehouse while it was unloaded')])
    })

    test('connections that break and servers that have a bad moment are waited for; each says so, and nothing is asked for twice', async () => {
      const before = await warehouse.queries()
      const open = await opened()
      const { asksForRows: on } = warehouse
      let harmed = false
      await toEnd(open, (rows) => {
        if (harmed || rows === 0) return
        harmed = true
        proxy.faults.push(
          { on, kind: 'reset', afterBytes: 20 },
          // In the middle of rows, of which some were taken by then.
          { on, kind: 'truncated', bytes: 70_000 },
          { on, kind: 'status', status: 503, code: 'SlowDown' },
          warehouse.busy(on),
        )
      })
      expect(harmed).toBe(true)
      expect(proxy.faults).toEqual([])
      expect(open.waits.filter((reason) => reason !== null).length).toBeGreaterThanOrEqual(3)
      expect(open.waits.at(-1)).toBe(null)
      expect((await warehouse.queries()) - before).toBe(3)
      expect(await wrongTaps(open)).toEqual(none)
    })

    test('an answer that lacks rows is not taken for the end: nothing of the table is handed out', async () => {
      const open = await opened()
      let shortened = false
      const rows = toEnd(open, (read) => {
        if (read === 0 || shortened) return
        shortened = true
        for (let times = 0; times < 20; times++)
          proxy.faults.push({ on: warehouse.asksForRows, kind: 'rewritten', as: warehouse.withoutLastRow })
      })
      await rows.catch((error: unknown) => expect(error).toMatchObject({ name: 'OperatorError' }))
      expect(shortened).toBe(true)
      proxy.faults.length = 0
      if (!open.unloading.isWhole()) expect(open.unloading.sealed().filter(({ table }) => table === 'taps')).toEqual([])
      const again = await opened()
      await toEnd(again)
      expect(await wrongTaps(again)).toEqual(none)
    })

    test('a result that is gone costs its table, of which nothing was handed out; files of others stay', async () => {
      const open = await opened()
      const stopped = new AbortController()
      const handedOut: string[] = []
      for await (const { files } of open.unloading.unload(() => true, {
        warehouse: open.open,
        holding: async () => {},
        signal: stopped.signal,
        onProgress: () => {
          const taps = open.unloading.stage.tables.find(({ table }) => table === 'taps')
          if (taps?.windows.some(({ parts }) => parts !== null)) stopped.abort()
        },
      }))
        handedOut.push(...files.map(({ table = '' }) => table))
      expect(handedOut).not.toContain('taps')
      const before = await sealedFiles()
      const queries = await warehouse.queries()
      await warehouse.expire()
      const again = await opened()
      const handedOutBefore = again.unloading.sealed().map(({ path: file }) => file)
      expect(handedOutBefore.length).toBeGreaterThan(0)
      expect(await toEnd(again)).toEqual([expect.stringContaining('taps')])
      expect((await warehouse.queries()) - queries).toBe(1)
      const after = await sealedFiles()
      const kept = before.files.filter(([file]) => handedOutBefore.includes(file))
      expect(after.files).toEqual(expect.arrayContaining(kept))
      expect(await wrongTaps(again)).toEqual(none)
    })

    test.each([
      ['rename colour', 'rename it back'],
      ['user_id is text', 'user_id is a number again'],
    ] as const)('%s after it was planned: it stops, and put back it goes on', async (altering, back) => {
      const open = await opened()
      await warehouse.alter(altering)
      await expect(toEnd(open)).rejects.toMatchObject({
        name: 'SourceChanged',
        message: expect.stringContaining('was altered in the warehouse since it was planned'),
      })
      const before = await sealedFiles()
      await warehouse.alter(back)
      const again = await opened()
      await toEnd(again)
      expect((await sealedFiles()).files).toEqual(expect.arrayContaining(before.files))
      expect(await wrongTaps(again)).toEqual(none)
    })

    test('a column that was added since stays out', async () => {
      const open = await opened()
      await warehouse.alter('add a column')
      expect(await toEnd(open)).toEqual([])
      expect(await wrongTaps(open)).toEqual(none)
    })

    test.skipIf(!canMount())('a full disk is told with its place, and with room again the same goes on', async () => {
      mkdirSync(path.join(folder, 'stage'))
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=200k', 'tmpfs', path.join(folder, 'stage')])
      onTestFinished(() => void execFileSync('umount', [path.join(folder, 'stage')]))
      await expect(toEnd(await opened())).rejects.toMatchObject({
        message: expect.stringContaining('cannot be written to: ENOSPC'),
        hint: expect.stringContaining('what is unloaded stays'),
      })
      execFileSync('mount', ['-o', 'remount,size=50m', path.join(folder, 'stage')])
      const again = await opened()
      await toEnd(again)
      expect(await wrongTaps(again)).toEqual(none)
    })

    test('Ctrl-C ends what waits for an answer: a plan, a run that looks at what there is, and one that unloads, which goes on later', async () => {
      const run = ['run', warehouse.source, ...flags('ours'), '--workers', '1', '--no-dashboard']
      for (const [on, args] of [
        [/./, ['plan', warehouse.source]],
        [/./, run],
        [warehouse.asksForRows, run],
      ] as const) {
        proxy.faults.push({ on, kind: 'silence' })
        const command = heapferry(args, surroundings('ours', proxy.endpoint))
        await until('an answer is waited for', () => proxy.faults.length === 0)
        command.child.kill('SIGINT')
        expect(await command.ended).toMatchObject({ code: 130, stderr: expect.not.stringMatching(/→|bug/) })
      }
      expect((await heapferry(run, surroundings('ours', proxy.endpoint)).ended).code).toBe(0)
      const lines = await linesBelow(eventsOf('ours'))
      expect(new Set(lines.filter((line) => line.includes('taps'))).size).toBe(warehouse.tapRows)
    })

    test('a producer that is killed wherever it is goes on, and asks for no table and no sealed window again', async () => {
      const stage = path.join(folder, 'ours/runs/r/stage')
      const queries = await warehouse.queries()
      const named = async (): Promise<string> => readFile(path.join(stage, 'stage.json'), 'utf8').catch(() => '')
      const reachesRows = (): boolean => proxy.requests.some((one) => warehouse.asksForRows.test(one))
      for (const [what, isThere] of [
        ['it is planned', async () => (await sealedFiles(stage)).isPlanned],
        ['a query is named', async () => (await named()).includes('"query":')],
        ['rows are asked for', reachesRows],
        ['people are sealed', async () => (await sealedFiles(stage)).files.length >= 1],
        [
          'a window of taps is there',
          async () => (await readdir(path.join(stage, 'taps')).catch(() => [])).length >= 1,
        ],
        [
          'two windows of taps are there',
          async () => (await readdir(path.join(stage, 'taps')).catch(() => [])).length >= 2,
        ],
      ] as const) {
        const before = await sealedFiles(stage)
        const producer = heapferry(
          ['enqueue', warehouse.source, ...flags('ours')],
          surroundings('ours', proxy.endpoint),
        )
        await until(what, isThere)
        producer.child.kill('SIGKILL')
        expect((await producer.ended).signal).toBe('SIGKILL')
        expect((await sealedFiles(stage)).files).toEqual(expect.arrayContaining(before.files))
      }
      const before = await sealedFiles(stage)
      const ended = await heapferry(
        ['run', warehouse.source, ...flags('ours'), '--workers', '1', '--no-dashboard'],
        surroundings('ours', proxy.endpoint),
      ).ended
      expect(ended.code).toBe(0)
      expect((await sealedFiles(stage)).files).toEqual(expect.arrayContaining(before.files))
      expect((await warehouse.queries()) - queries).toBe(3)
      const lines = await linesBelow(eventsOf('ours'))
      expect(lines.filter((line) => line.includes('"event":"taps"') || line.includes('taps'))).toHaveLength(
        warehouse.tapRows,
      )
      expect(new Set(lines).size).toBe(lines.length)
    }, 900_000)
  })
}

function canMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}
