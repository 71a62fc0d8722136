import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { countOf } from '@heapferry/domain'
import { writeSampleExport } from '@heapferry/sample-export'
import { expect, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { seededRandom } from '../../packages/sample-export/src/random.ts'
import { crew } from '../support/crew.ts'
import { until } from '../support/until.ts'

const kills = 24
const chunksInFlightPerWorker = 4

test('workers, producer and Redis are killed at random, and every event arrives all the same', async () => {
  const { folder, home, run, posthog, redisServer, ledger, workers, producer, replaced, lastWords, start, isComplete } =
    await crew()
  const source = path.join(folder, 'export')
  const sample = await writeSampleExport({
    folder: source,
    seed: 11,
    people: 8000,
    pageviewRows: 140_000,
    eventRows: 45_000,
    traps: true,
  })
  const rows = Object.values(sample.tables).reduce((sum, table) => sum + table.rows, 0)
  expect(rows).toBeGreaterThan(200_000)
  // Slow answers, so that kills find work in flight.
  posthog.fault({ kind: 'latency', ms: 2500 })

  const seed = Number(process.env.CRASH_SEED ?? Date.now() % 100_000)
  console.log(`kills drawn with CRASH_SEED=${seed}`)
  const random = seededRandom(seed, 'kills').fraction
  const killed = { worker: 0, producer: 0, redis: 0 }
  start(source, 2)

  // The producer is young only once: two of its deaths come at the start.
  while (killed.producer < 2) {
    await sleep(300 + random() * 900)
    if (!producer()) break
    if (producer()?.child.kill('SIGKILL')) killed.producer++
    await until('the producer is replaced', () => replaced.producer === killed.producer)
  }
  while (!(await isComplete())) {
    await sleep(1500 + random() * 5000)
    const total = killed.worker + killed.producer + killed.redis
    if (total >= kills) break
    if (total % 4 === 3) {
      process.kill(redisServer.pid, 'SIGKILL')
      killed.redis++
      await sleep(random() * 1500)
      await redisServer.ensure()
    } else {
      const victims = workers()
      const victim = victims[Math.floor(random() * victims.length)]
      if (victim?.child.kill('SIGKILL')) killed.worker++
    }
  }
  posthog.clearFaults()
  await until('the run is complete', isComplete, 300_000)

  console.log(`killed ${JSON.stringify(killed)}, replaced ${JSON.stringify(replaced)}`)
  expect(killed.worker + killed.producer + killed.redis).toBeGreaterThanOrEqual(20)
  expect(killed.redis).toBeGreaterThan(3)
  expect(lastWords).toEqual([])
  expect(replaced).toMatchObject({ producer: killed.producer, worker: killed.worker })

  const expected = await convertible(source, { run, home })
  expect(
    new Map(
      [...posthog.stored].map(([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }]),
    ),
  ).toEqual(expected.events)

  const { tables } = await ledger.progress(run)
  for (const { table, planned, tally } of tables) {
    expect([table, tally.sent + countOf(tally.skipped) + countOf(tally.rejected)]).toEqual([table, tally.read])
    expect([table, planned]).toEqual([table, tally.read])
  }
  // What was sent is counted by day, and no kill has lost a count or doubled one.
  for (const { table, rows: sentRows, events } of await ledger.sentTables(run)) {
    const counted = events.flatMap(({ days }) => [...days.values()]).reduce((sum, count) => sum + count, 0)
    expect([table, counted]).toEqual([table, sentRows])
  }
  const sent = tables.reduce((sum, { tally }) => sum + tally.sent, 0)
  expect(sent).toBe(expected.convertibleRows)

  const arrivals = [...posthog.stored.values()].reduce((sum, { times }) => sum + times, 0)
  const repeatedBatches = (arrivals - sent) / 1000
  console.log(`${arrivals - sent} of ${arrivals} events were sent again`)
  expect(arrivals).toBeGreaterThan(sent)
  // A killed Redis can cost every worker its locks, a killed worker only its own.
  expect(repeatedBatches).toBeLessThanOrEqual((killed.worker + 2 * killed.redis) * chunksInFlightPerWorker)
})
