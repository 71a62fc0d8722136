import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { expect, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { crew } from '../support/crew.ts'
import { sampleTables } from '../support/sample-tables.ts'
import { until } from '../support/until.ts'
import { tableWriters } from '../support/write-table.ts'

const powerCuts = 3

test.each([
  ['csvGzip', 'csv'],
  ['jsonLines', 'jsonl'],
  ['jsonArray', 'json'],
  ['avro', 'avro'],
  ['parquet', 'parquet'],
] as const)(
  'an export as %s arrives whole although all workers are killed in the middle of files',
  async (kind, extension) => {
    const { folder, home, run, posthog, workers, replaced, lastWords, start, isComplete, ledger } = await crew()
    const source = path.join(folder, 'export')
    await mkdir(source)
    const tables = await sampleTables({ seed: 5, people: 500, pageviewRows: 20_000, eventRows: 6000 })
    for (const [name, table] of tables) await tableWriters[kind](path.join(source, `${name}.${extension}`), table)

    // Slow answers, so that kills find work in flight.
    posthog.fault({ kind: 'latency', ms: 700 })
    start(source, 2)
    let killed = 0
    for (let round = 0, readBefore = 0; round < powerCuts; round++) {
      await until(
        'rows were committed since the last power cut, some are left, and a batch is under way',
        async () => {
          const { tables: sofar } = await ledger.progress(run)
          const { planned = 0, tally } = sofar.find(({ table }) => table === 'pageviews') ?? {}
          const read = tally?.read ?? 0
          if (read <= readBefore || read >= planned || posthog.underWay === 0) return false
          readBefore = read
          return true
        },
        120_000,
      )
      for (const worker of workers()) if (worker.child.kill('SIGKILL')) killed++
      await until('dead workers are replaced', () => replaced.worker === killed)
    }
    posthog.clearFaults()
    await until('the run is complete', isComplete, 300_000)
    expect(killed).toBe(2 * powerCuts)
    expect(replaced.worker).toBe(killed)
    expect(lastWords).toEqual([])

    const expected = await convertible(source, { run, home })
    const stored = new Map(
      [...posthog.stored].map(([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }]),
    )
    expect(stored).toEqual(expected.events)
    const { tables: progress } = await ledger.progress(run)
    const sent = progress.reduce((sum, { tally }) => sum + tally.sent, 0)
    expect(sent).toBe(expected.convertibleRows)
    // What was under way when a worker died has been sent again.
    expect([...posthog.stored.values()].reduce((sum, { times }) => sum + times, 0)).toBeGreaterThan(sent)
    for (const { table, planned, tally } of progress.filter((one) => tables.has(one.table))) {
      expect([table, planned, tally.read]).toEqual([
        table,
        tables.get(table)?.rows.length,
        tables.get(table)?.rows.length,
      ])
    }
  },
)
