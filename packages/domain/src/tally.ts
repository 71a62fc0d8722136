import { z } from 'zod'
import { RejectReason, SkipReason } from './conversion.ts'

const Count = z.number().int().nonnegative()

/** How the rows read so far have ended. Invariant: `read` = `sent` + all of `skipped` + all of `rejected`. */
export const Tally = z.object({
  read: Count,
  sent: Count,
  skipped: z.partialRecord(SkipReason, Count),
  rejected: z.partialRecord(RejectReason, Count),
})
export type Tally = z.infer<typeof Tally>

export const emptyTally: Tally = { read: 0, sent: 0, skipped: {}, rejected: {} }

export function addTallies(a: Tally, b: Tally): Tally {
  return {
    read: a.read + b.read,
    sent: a.sent + b.sent,
    skipped: addCounts(a.skipped, b.skipped),
    rejected: addCounts(a.rejected, b.rejected),
  }
}

/** All of `skipped`, or all of `rejected`, as one number. */
export function countOf(reasons: Tally['skipped'] | Tally['rejected']): number {
  return Object.values(reasons).reduce((sum, count) => sum + count, 0)
}

function addCounts<K extends string>(a: Partial<Record<K, number>>, b: Partial<Record<K, number>>) {
  const sum: Partial<Record<K, number>> = { ...a }
  for (const reason in b) sum[reason] = (sum[reason] ?? 0) + (b[reason] ?? 0)
  return sum
}
