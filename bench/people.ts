import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { writeBenchCsv } from '@heapferry/sample-export'
import { inOwnProcess } from './in-own-process.ts'
import { round1 } from './stages.ts'
import { writePeople } from './write-people.ts'

/** What it takes to count people for `verify`: a million rows of events, and a thousand or ten million migrations. */
export async function benchPeople(): Promise<object[]> {
  const results = []
  for (const migrations of [1000, 10_000_000]) {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
    try {
      const [people, store] = [path.join(folder, 'export'), path.join(folder, 'store')]
      await writePeople(people, migrations)
      await writeBenchCsv(path.join(folder, 'pageviews.csv'), { rows: 1_000_000, seed: 1 })
      await inOwnProcess('resolve-people.ts', [people, store])
      const { peakMb, result } = await inOwnProcess('count-people.ts', [people, store, folder])
      results.push({
        migrations,
        ...Object.fromEntries(Object.entries(result).map(([what, value]) => [what, round1(value)])),
        'peak MB': peakMb,
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  }
  return results
}
