import { compileSessionAsk } from '@heapferry/conversion'
import type { Columns, Identities, ReadRow, Run, SessionIndex, Table } from '@heapferry/domain'

/** Rows with what is found of their sessions, asked for all at once. */
export type FindSessions = (rows: Iterable<ReadRow>, table: Table) => Promise<Iterable<ReadRow>>

/** Where a run has no index, rows are handed on as they come, unheld. */
export const findNoSessions: FindSessions = async (rows) => rows

export function findSessionsIn(index: SessionIndex | null, run: Run, identities: Identities): FindSessions {
  if (index === null) return findNoSessions
  const { mapping, conversion, createdAtMs: startedAtMs } = run
  // Columns belong to a file, and a file to one table, so the array alone is the key.
  const known = new WeakMap<Columns, ReturnType<typeof compileSessionAsk>>()
  return async (rows, table) => {
    if (table.kind !== 'pageviews' && table.kind !== 'event' && table.kind !== 'raw_events') return rows
    const held = [...rows]
    const sessions = await index.find(
      held.map((row) => {
        if (row.kind !== 'row') return null
        const askOf =
          known.get(row.columns) ??
          compileSessionAsk(table, row.columns, { mapping, conversion, identities, startedAtMs })
        known.set(row.columns, askOf)
        return askOf(row.values, row.types)
      }),
    )
    return held.map((row, nth) => (row.kind === 'row' ? { ...row, session: sessions[nth] ?? null } : row))
  }
}
