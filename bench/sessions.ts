import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inOwnProcess } from './in-own-process.ts'
import { round1 } from './stages.ts'

/** The index of a million and of five million sessions, and what it takes to ask it. */
export async function benchSessions(): Promise<object[]> {
  const results = []
  for (const sessions of [1_000_000, 5_000_000]) {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
    try {
      const { peakMb, result } = await inOwnProcess('index-sessions.ts', [folder, String(sessions)])
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
