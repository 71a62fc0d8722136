import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Report } from '@heapferry/migration'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { startS3StandIn, type TestStore } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'
import { linesBelow } from './heap-in-postgres.ts'
import type { TestWarehouse } from './warehouse-contract.ts'

/** A warehouse that writes tables into a bucket by statements that have names. */
export interface WritingWarehouse {
  warehouse: TestWarehouse
  scheme: 's3' | 'gs'
  /** Of another one, and what is said of it. */
  wrongStage: readonly [stage: string, said: string]
  settings: Record<string, string>
  /** It writes into this one from now on. */
  into(store: TestStore): Promise<void>
  /** Texts of the statements that it has written tables by, in all. */
  writings(): Promise<readonly string[]>
  /** What it says of the rows that it writes next is not so. */
  miscount(): Promise<void>
}

/** What has to hold of every warehouse that writes into a bucket itself, and tells statements apart by their names. */
export function bucketContract(name: string, start: () => Promise<WritingWarehouse>): void {
  const server = redisForTests()
  let writing: WritingWarehouse
  let store: TestStore
  let folder: string

  beforeAll(async () => {
    writing = await start()
  })
  afterAll(() => writing.warehouse.close())
  beforeEach(async () => {
    folder = await temporaryFolder()
    await server.redis.flushall()
    store = await startS3StandIn()
    onTestFinished(() => store.close())
    await writing.into(store)
  })

  const stage = (): string => `${writing.scheme}://${store.bucket}/heap`
  const stageFile = (): string => path.join(folder, 'home/runs/r/stage/stage.json')
  const flags = (home = 'home'): string[] => ['--to', `jsonl:${path.join(folder, home, 'events')}`, '--run', 'r']

  function surroundings(home = 'home') {
    const { warehouse, settings } = writing
    return {
      env: {
        HEAPFERRY_HOME: path.join(folder, home),
        REDIS_URL: server.server.url,
        ...warehouse.settings(warehouse.endpoint),
        ...settings,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        HEAPFERRY_S3_ENDPOINT: store.endpoint,
      },
      cwd: folder,
    }
  }

  const migrate = () =>
    heapferryAnswer(['run', writing.warehouse.source, ...flags(), '--stage', stage()], surroundings())
  const enqueue = (at = stage()) =>
    heapferryHere(['enqueue', writing.warehouse.source, ...flags(), '--stage', at], surroundings())

  /** Each once: of equal rows those in one batch are sent once, and two files make other batches than one. */
  async function eventsOf(home: string): Promise<string[]> {
    return [...new Set(await linesBelow(path.join(folder, home, 'events')))]
  }

  async function attempts(): Promise<number> {
    const text = await readFile(stageFile(), 'utf8').catch(() => '')
    return [...text.matchAll(/"attempt":/g)].length
  }

  /** Nobody was told that a table is written. */
  async function forget(): Promise<void> {
    const stored = JSON.parse(await readFile(stageFile(), 'utf8'))
    for (const { windows } of stored.tables) windows[0].parts = null
    await writeFile(stageFile(), JSON.stringify(stored))
    await server.redis.flushall()
  }

  async function eventsByHand(): Promise<string[]> {
    const tables = ['users', 'user_migrations', 'pageviews', 'clicked_buy', 'nothing_yet']
    await writing.warehouse.unloadByHand(path.join(folder, 'csv'), tables)
    await server.redis.flushall()
    await heapferryAnswer(['run', path.join(folder, 'csv'), ...flags('hand')], surroundings('hand'))
    return eventsOf('hand')
  }

  const signed = { headers: { authorization: 'Credential=a/20230101/us-east-1/s3/x' } }
  async function written(): Promise<Map<string, string | null>> {
    const page = await (await fetch(`${store.endpoint}/acme?list-type=2`, signed)).text()
    const keys = [...page.matchAll(/<Key>([^<]+)/g)].map(([, key = '']) => key)
    const etag = async (key: string): Promise<[string, string | null]> => [
      key,
      (await fetch(`${store.endpoint}/acme/${key}`, signed)).headers.get('etag'),
    ]
    return new Map(await Promise.all(keys.map(etag)))
  }

  describe(`${name} that writes a schema with all that is hard to carry into a bucket`, () => {
    beforeAll(() => writing.warehouse.makeHeap())

    test('it becomes the same events, byte for byte, as CSV unloaded by hand; what comes after reads the bucket', async () => {
      const before = (await writing.writings()).length
      const plan = await heapferryHere(['plan', writing.warehouse.source, '--stage', stage(), '--json'], surroundings())
      expect([plan.code, plan.stderr]).toEqual([0, ''])
      expect(JSON.parse(plan.stdout).notices[0]).toContain(`which it will write into ${stage()} itself`)
      expect(await written()).toEqual(new Map())
      expect((await migrate()).code).toBe(3)
      expect((await writing.writings()).length - before).toBe(6)
      expect(await readdir(path.join(folder, 'home/runs/r/stage'))).toEqual(['stage.json'])
      const keys = [...(await written()).keys()]
      expect(keys.filter((key) => !/^heap\/r\/\w+\/1\/[\w.-]+\.parquet$/.test(key))).toEqual([])

      const { stdout } = await heapferryHere(['report', 'r', '--json'], surroundings())
      const { warehouse } = Report.parse(JSON.parse(stdout))
      expect(warehouse).toMatchObject({ stage: `${stage()}/r`, rows: 4747 })
      expect(warehouse?.tables.find(({ table }) => table === 'pageviews')).toMatchObject({
        statement:
          '7 columns of ' +
          (writing.scheme === 'gs' ? 'pageviews' : 'PAGEVIEWS') +
          ', written by the warehouse into pageviews/1',
        rows: 4006,
      })
      const { HEAPFERRY_HOME, REDIS_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, HEAPFERRY_S3_ENDPOINT } =
        surroundings().env
      const without = {
        env: { HEAPFERRY_HOME, REDIS_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, HEAPFERRY_S3_ENDPOINT },
        cwd: folder,
      }
      expect((await heapferryHere(['verify', 'r', '--offline'], without)).code).toBe(0)
      const retried = await heapferryHere(['retry', 'r', ...flags().slice(0, 2)], without)
      expect(`${retried.stdout}${retried.stderr}`).toContain('0 sent, 0 skipped, ')
      const ours = await eventsOf('home')
      const byHand = await eventsByHand()
      expect(byHand.length).toBeGreaterThan(3500)
      expect(ours).toEqual(byHand)
    })

    test('rows that are told and are in no file stop it before anything of the table is enqueued; the next command has it written anew, elsewhere', async () => {
      await writing.miscount()
      const stopped = await enqueue()
      expect([stopped.code, stopped.stderr]).toEqual([
        1,
        expect.stringMatching(/does not hold \w+ as the warehouse says: .* rows/),
      ])
      expect(JSON.parse(await readFile(stageFile(), 'utf8')).tables[0].windows[0].parts).toBeNull()
      const before = await written()
      expect((await migrate()).code).toBe(3)
      expect(await written()).toEqual(expect.objectContaining(before))
      expect([...(await written()).entries()]).toEqual(expect.arrayContaining([...before]))
      const ours = await eventsOf('home')
      expect(ours).toEqual(await eventsByHand())
    })

    test('a producer that is killed goes on: its statements are found again, none is asked twice, and nothing is written over', async () => {
      const statements = (await writing.writings()).length
      const done = async (): Promise<number> => (await writing.writings()).length - statements
      for (const [what, isThere] of [
        ['a statement is named', async () => (await attempts()) >= 1],
        ['a table is written', async () => (await done()) >= 2],
        ['another is named', async () => (await attempts()) >= 4],
        ['another is written', async () => (await done()) >= 5],
      ] as const) {
        const producer = heapferry(
          ['enqueue', writing.warehouse.source, ...flags(), '--stage', stage()],
          surroundings(),
        )
        await until(what, isThere)
        producer.child.kill('SIGKILL')
        expect((await producer.ended).signal).toBe('SIGKILL')
      }
      const before = await written()
      expect((await migrate()).code).toBe(3)
      expect(await done()).toBe(6)
      expect([...(await written()).entries()]).toEqual(expect.arrayContaining([...before]))
      const ours = await eventsOf('home')
      expect(ours).toEqual(await eventsByHand())
    })

    test('what is whole in the bucket, and nobody was told, is not written again; what was deleted there is', async () => {
      expect((await enqueue()).code).toBe(0)
      const statements = (await writing.writings()).length
      await forget()
      expect((await enqueue()).code).toBe(0)
      expect((await writing.writings()).length).toBe(statements)
      await forget()
      for (const key of (await written()).keys()) if (key.includes('/users/')) await store.remove(key)
      const told = await enqueue()
      expect([told.code, told.stderr]).toEqual([1, expect.stringContaining('does not hold')])
      expect((await migrate()).code).toBe(3)
      expect((await writing.writings()).length).toBe(statements + 1)
    })

    test('another --stage, or one that it cannot write into, is refused with what to do', async () => {
      const [wrong, said] = writing.wrongStage
      const elsewhere = await heapferryHere(['plan', writing.warehouse.source, '--stage', wrong], surroundings())
      expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringContaining(said)])
      expect((await enqueue()).code).toBe(0)
      const other = await enqueue(`${stage()}/other`)
      expect([other.code, other.stderr]).toEqual([
        1,
        expect.stringContaining(`was begun with ${stage()}/r, and not with`),
      ])
    })
  })

  describe(`${name} that writes a table that is altered`, () => {
    beforeAll(() => writing.warehouse.makeTaps())

    test('it stops, and put back it goes on; what was written before is not written again', async () => {
      await writing.miscount()
      // Planned, and stopped at the first table.
      const begun = await enqueue()
      expect(begun.code).toBe(1)
      await writing.warehouse.alter('rename colour')
      const stopped = await enqueue()
      expect([stopped.code, stopped.stderr]).toEqual([
        1,
        expect.stringContaining('was altered in the warehouse since it was planned'),
      ])
      await writing.warehouse.alter('rename it back')
      const before = await written()
      expect((await enqueue()).code).toBe(0)
      expect([...(await written()).entries()]).toEqual(expect.arrayContaining([...before]))
      const stored = JSON.parse(await readFile(stageFile(), 'utf8'))
      const rows = stored.tables.map(
        ({ table, windows }: { table: string; windows: { parts: { rows: number }[] }[] }) => [
          table,
          windows.flatMap(({ parts }) => parts).reduce((sum, part) => sum + part.rows, 0),
        ],
      )
      expect(rows).toContainEqual(['taps', writing.warehouse.tapRows])
    })
  })
}
