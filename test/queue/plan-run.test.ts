import {
  type Chunk,
  chunkIdOf,
  type Cut,
  emptyTally,
  type ExportFile,
  FileId,
  phases,
  type Run,
  type RunLedger,
} from '@heapferry/domain'
import { assertSameFiles, planRun } from '@heapferry/migration'
import { ChunkQueue, redisLedger } from '@heapferry/queue'
import { expect, test } from 'vitest'
import { fileOf, runOf } from '../support/chunk.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'

const server = redisForTests()
let runs = 0

const users = fileNamed('users', 1)
const clicks = fileNamed('clicks', 2)
const orders = fileNamed('orders', 3)
const never = new AbortController().signal

test('a plan schedules every chunk of every file and seals both phases', async () => {
  const plan = await planner()
  await plan.again([users, clicks, orders])
  expect(await plan.jobs()).toEqual({ identities: 3, events: 6 })
  expect(await plan.progress()).toMatchObject({ planned: [3, 6], sealed: [true, true] })
})

test('a producer that dies anywhere plans the same when it starts again', async () => {
  for (let deathAfter = 0; ; deathAfter++) {
    const plan = await planner()
    const died = await plan.again([users, clicks, orders], deathAfter).then(
      () => false,
      () => true,
    )
    await plan.again([users, clicks, orders])
    expect(await plan.jobs()).toEqual({ identities: 3, events: 6 })
    expect(await plan.progress()).toMatchObject({ planned: [3, 6], sealed: [true, true] })
    if (!died) return expect(deathAfter).toBeGreaterThan(10)
  }
})

test('planning again cuts nothing that is scheduled', async () => {
  const plan = await planner()
  await plan.again([users, clicks])
  plan.cuts.length = 0
  await plan.again([users, clicks])
  expect(plan.cuts).toEqual([])
})

test('when the queue is wiped, planning again schedules what is not done, and only that', async () => {
  const plan = await planner()
  await plan.again([clicks])
  await plan.finish(clicks, 0)
  for (const phase of phases) await plan.queueOf(phase).remove()
  await plan.again([clicks])
  expect(await plan.jobs()).toEqual({ identities: 0, events: 2 })
})

test('a file that came later is planned too, and its phase is open again meanwhile', async () => {
  const plan = await planner()
  await plan.again([clicks])
  await plan.again([users, clicks], 2).catch(() => {})
  expect(await plan.progress()).toMatchObject({ sealed: [false, true] })
  await plan.again([users, clicks])
  expect(await plan.jobs()).toEqual({ identities: 3, events: 3 })
  expect(await plan.progress()).toMatchObject({ sealed: [true, true] })
})

test('a Redis that forgot a part of the plan is told, instead of completing without it', async () => {
  const plan = await planner()
  await plan.again([users, clicks])
  await server.redis.hdel(`heapferry-ledger:run:${plan.run}:totals`, 'planned|events')
  await expect(plan.again([users, clicks])).rejects.toThrow('Redis has forgotten a part of the plan')
})

test('a chunk commits only with the range and rows that it was planned with, and under no other name', async () => {
  const plan = await planner()
  await plan.again([clicks])
  const chunk = await plan.chunk(1)
  const altered: Chunk[] = [
    { ...chunk, range: { kind: 'bytes', start: 100, end: 150 } },
    { ...chunk, range: { kind: 'whole' } },
    { ...chunk, rows: 5 },
    { ...chunk, firstRow: 1 },
    { ...chunk, id: chunkIdOf(clicks.id, 3) },
  ]
  for (const one of altered) {
    expect(await plan.ledger.isPlanned(one)).toBe(false)
    expect(await plan.commit(one)).toEqual({ kind: 'not_planned' })
  }
  expect(await plan.ledger.isPlanned(chunk)).toBe(true)
  expect(await plan.commit(chunk)).toMatchObject({ kind: 'committed' })
})

test('chunks of a file that an older version has begun to plan commit as they come', async () => {
  const plan = await planner()
  await server.redis.hset(`heapferry-ledger:run:${plan.run}:files`, clicks.id, JSON.stringify(clicks))
  await plan.again([clicks, orders])
  const chunk = { ...(await plan.chunk(1)), id: chunkIdOf(clicks.id, 7) }
  expect(await plan.ledger.isPlanned(chunk)).toBe(true)
  expect(await plan.commit(chunk)).toMatchObject({ kind: 'committed' })
})

test('planning that is stopped seals nothing, and goes on when it is called again', async () => {
  const plan = await planner()
  await plan.again([users, clicks], Number.POSITIVE_INFINITY, AbortSignal.abort())
  expect(await plan.progress()).toMatchObject({ sealed: [false, false] })
  await plan.again([users, clicks])
  expect(await plan.progress()).toMatchObject({ sealed: [true, true] })
})

test('the first chunks of a large file are in the queue while the others are being cut', async () => {
  const plan = await planner()
  const run = await plan.ledger.run(plan.run)
  if (!run) throw new Error('no run')
  const waiting: (number | undefined)[] = []
  await planRun(run, [clicks], {
    ledger: plan.ledger,
    signal: never,
    schedule: { add: (phase, chunks) => plan.queueOf(phase).add(chunks), known: async () => new Set() },
    source: {
      async *cut(): AsyncGenerator<Cut> {
        for (let nth = 0; nth < 2000; nth++) {
          if ([7, 8, 16, 32, 1500].includes(nth)) waiting.push((await plan.jobs()).events)
          yield { range: { kind: 'bytes', start: nth, end: nth + 1 }, firstRow: nth + 1, rows: 1, first: null }
        }
      },
    },
  })
  expect(waiting).toEqual([0, 8, 16, 32, 1012])
  expect(await plan.jobs()).toMatchObject({ events: 2000 })
})

test('thirty-two small files are cut at once, for they lie far away, and four large ones, for they take memory', async () => {
  for (const { sizeBytes, atOnce } of [
    { sizeBytes: 1024 * 1024, atOnce: 32 },
    { sizeBytes: 1024 * 1024 + 1, atOnce: 4 },
  ]) {
    const plan = await planner()
    const run = await plan.ledger.run(plan.run)
    if (!run) throw new Error('no run')
    const files = Array.from({ length: 40 }, (_, nth) => {
      return { ...fileNamed('taps', sizeBytes + nth), version: { ...clicks.version, sizeBytes } }
    })
    let atHand = 0
    let most = 0
    await planRun(run, files, {
      ledger: plan.ledger,
      signal: never,
      schedule: { add: (phase, chunks) => plan.queueOf(phase).add(chunks), known: async () => new Set() },
      source: {
        async *cut(): AsyncGenerator<Cut> {
          most = Math.max(most, ++atHand)
          // Whoever cuts fewer at once waits here for ever, so not for long.
          await until('as many are at hand', () => most >= atOnce, 5000).catch(() => {})
          yield { range: { kind: 'whole' }, firstRow: 1, rows: 1, first: null }
          atHand--
        },
      },
    })
    expect(atHand).toBe(0)
    expect(most).toBe(atOnce)
  }
})

test('a file that changed is refused by name, and so is one that is gone; one that came is welcome', () => {
  const changed = { ...clicks, version: { ...clicks.version, sizeBytes: 7 } }
  expect(() => assertSameFiles([users, clicks], [users, changed])).toThrow(
    'clicks.csv has changed since this run was planned: 1000 bytes (modified 1970-01-01',
  )
  expect(() => assertSameFiles([users, clicks], [users])).toThrow('clicks.csv belongs to this run and is gone')
  expect(() => assertSameFiles([users], [users, clicks])).not.toThrow()
})

async function planner() {
  runs++
  const ledger = redisLedger(server.redis)
  const run: Run = await ledger.createRun(runOf(`plan-${runs}`), 'ada')
  const queues = new Map(phases.map((phase) => [phase, new ChunkQueue(server.redis, run.id, phase, () => {})]))
  const queueOf = (phase: (typeof phases)[number]) => queues.get(phase) ?? raise()
  const cuts: string[] = []

  return {
    run: run.id,
    cuts,
    queueOf,
    /** Plans with a producer that dies at its nth word to the outside. */
    async again(files: ExportFile[], deathAfter = Number.POSITIVE_INFINITY, signal = never) {
      let words = 0
      const word = () => {
        if (words++ >= deathAfter) throw new Error('the producer died')
      }
      const mortal = new Proxy(ledger, {
        get(target, name: keyof RunLedger) {
          const method: unknown = target[name].bind(target)
          return (...given: unknown[]) => {
            word()
            return typeof method === 'function' ? method(...given) : method
          }
        },
      })
      await planRun(run, files, {
        ledger: mortal,
        signal,
        schedule: {
          async add(phase, chunks) {
            word()
            await queueOf(phase).add(chunks)
          },
          known: (phase, chunks) => queueOf(phase).known(chunks),
        },
        source: {
          async *cut(file): AsyncGenerator<Cut> {
            cuts.push(file.path)
            for (let index = 0; index < 3; index++) {
              word()
              const range = { kind: 'bytes', start: index * 100, end: (index + 1) * 100 } as const
              yield await Promise.resolve({
                range,
                firstRow: index * 10 + 1,
                rows: 10,
                first: {
                  kind: 'row',
                  place: { row: 1, byte: 0 },
                  columns: clicks.columns,
                  values: ['1', '2', '2023-01-01 00:00:00'],
                },
              })
            }
          },
        },
      })
    },
    async jobs() {
      const [identities, events] = await Promise.all(phases.map((phase) => ledger.queueState(run.id, phase)))
      return { identities: identities?.waiting, events: events?.waiting }
    },
    async progress() {
      const { phases: all } = await ledger.progress(run.id)
      return { planned: all.map(({ planned }) => planned), sealed: all.map(({ sealed }) => sealed) }
    },
    ledger,
    async chunk(index: number): Promise<Chunk> {
      const jobs = await queueOf('events').queue.getJobs()
      const job = jobs.find(({ id }) => id === chunkIdOf(clicks.id, index))
      if (!job) throw new Error('the chunk has no job')
      return job.data
    },
    async commit(chunk: Chunk) {
      await server.redis.set(`heapferry:${run.id}-events:${chunk.id}:lock`, 'mine')
      const checkpoint = { cursor: 100, tally: { ...emptyTally, read: 10, sent: 10 }, done: true }
      return ledger.commit({ chunk, file: clicks, token: 'mine' }, checkpoint, [], { from: 0, counts: [] })
    },
    async finish(file: ExportFile, index: number) {
      const [job] = (await queueOf('events').queue.getJobs()).filter(({ id }) => id?.endsWith(`00000${index}`))
      await server.redis.set(`heapferry:${run.id}-events:${job?.id}:lock`, 'mine')
      const tally = { ...emptyTally, read: 10, sent: 10 }
      await ledger.commit({ chunk: job?.data, file, token: 'mine' }, { cursor: 100, tally, done: true }, [], {
        from: 0,
        counts: [],
      })
    },
  }
}

function fileNamed(table: string, number: number): ExportFile {
  return { ...fileOf(table), id: FileId.parse(String(number).padStart(12, '0')), path: `${table}.csv` }
}

function raise(): never {
  throw new Error('no such phase')
}
