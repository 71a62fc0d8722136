import { z } from 'zod'
import { RejectReason, SkipReason, Warning } from './conversion.ts'

/** How many. */
export const Count = z.number().int().nonnegative()

/** How the rows read so far have ended. Invariant: `read` = `sent` + all of `skipped` + all of `rejected`. */
export const Tally = z.object({
  read: Count,
  sent: Count,
  skipped: z.partialRecord(SkipReason, Count),
  rejected: z.partialRecord(RejectReason, Count),
  /** Of the rows that are sent: those with something to be said of. Checkpoints of older versions have none. */
  warned: z.partialRecord(Warning, Count).default({}),
})
export type Tally = z.infer<typeof Tally>

export const emptyTally: Tally = { read: 0, sent: 0, skipped: {}, rejected: {}, warned: {} }

export function addTallies(a: Tally, b: Tally): Tally {
  return {
    read: a.read + b.read,
    sent: a.sent + b.sent,
    skipped: addCounts(a.skipped, b.skipped),
    rejected: addCounts(a.rejected, b.rejected),
    warned: addCounts(a.warned, b.warned),
  }
}

/** All of `skipped`, `rejected` or `warned` as one number. */
export function countOf(reasons: Tally['skipped'] | Tally['rejected'] | Tally['warned']): number {
  return Object.values(reasons).reduce((sum, count) => sum + count, 0)
}

function addCounts<K extends string>(a: Partial<Record<K, number>>, b: Partial<Record<K, number>>) {
  const sum: Partial<Record<K, number>> = { ...a }
  for (const reason in b) sum[reason] = (sum[reason] ?? 0) + (b[reason] ?? 0)
  return sum
}
