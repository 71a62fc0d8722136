import { type Run, tellsWhoIsWho } from '@heapferry/domain'
import { sendsFirstTouch } from './first-touch/save-first-touch.ts'
import { touchFiles } from './first-touch/touch-files.ts'
import type { FoundTable } from './mapping-notices.ts'
import { isIndexed } from './sessions/run-sessions.ts'

/**
 * The tables of which every row is read before the first event is enqueued: those of people, and what the index of sessions
 * and first touch are made from. All others may come while events are sent.
 */
export function readBeforeEvents<T extends FoundTable>(run: Pick<Run, 'mapping'>, tables: readonly T[]): T[] {
  const { mapping } = run
  const telling = sendsFirstTouch(run) ? touchFiles(tables, mapping).files : []
  return tables.filter((one) => tellsWhoIsWho(one.table.kind) || isIndexed(one.table, mapping) || telling.includes(one))
}
