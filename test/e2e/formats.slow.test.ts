import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { crew } from '../support/crew.ts'
import { sampleTables } from '../support/sample-tables.ts'
import { until } from '../support/until.ts'
import { tableWriters } from '../support/write-table.ts'

const kills = 4

test.each([
  ['csvGzip', 'csv'],
  ['jsonLines', 'jsonl'],
  ['jsonArray', 'json'],
  ['avro', 'avro'],
  ['parquet', 'parquet'],
] as const)(
  'an export as %s arrives whole although workers are killed in the middle of files',
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
    while (killed < kills && !(await isComplete())) {
      const before = posthog.batches.length
      await until('a batch arrives', async () => posthog.batches.length > before || (await isComplete()))
      await sleep(300)
      if (workers()[killed % 2]?.child.kill('SIGKILL')) killed++
    }
    posthog.clearFaults()
    await until('the run is complete', isComplete, 300_000)
    expect(killed).toBe(kills)
    expect(replaced.worker).toBe(kills)
    expect(lastWords).toEqual([])

    const expected = await convertible(source, { run, home })
    const stored = new Map(
      [...posthog.stored].map(([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }]),
    )
    expect(stored).toEqual(expected.events)
    const { tables: progress } = await ledger.progress(run)
    expect(progress.reduce((sum, { tally }) => sum + tally.sent, 0)).toBe(expected.convertibleRows)
    for (const { table, planned, tally } of progress) {
      expect([table, planned, tally.read]).toEqual([
        table,
        tables.get(table)?.rows.length,
        tables.get(table)?.rows.length,
      ])
    }
  },
)
