import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inOwnProcess } from './in-own-process.ts'
import { round1 } from './stages.ts'
import { writePeople } from './write-people.ts'

/** Who is who, of a million and of ten million migrations with the users that belong to them. */
export async function benchIdentities(): Promise<object[]> {
  const results = []
  for (const migrations of [1_000_000, 10_000_000]) {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
    try {
      await writePeople(path.join(folder, 'export'), migrations)
      const paths = [path.join(folder, 'export'), path.join(folder, 'store')]
      const { peakMb, result } = await inOwnProcess('resolve-people.ts', paths)
      results.push({
        ...Object.fromEntries(Object.entries(result).map(([what, value]) => [what, round1(value)])),
        'peak MB': peakMb,
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  }
  return results
}
