import type { Columns, Conversion, OfRow, Table } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { compileColumns } from './compile-columns.ts'
import { noTreatments } from './column-treatments.ts'
import type { ConversionContext } from './context.ts'
import { cellsOf } from './declared-values.ts'
import { importedProperties } from './convert-user.ts'
import { rowUuid } from './event-uuid.ts'
import { parseHeapDate } from './heap-time.ts'
import { columnNulls } from './nulls.ts'
import { earliestMs, isInRange, reject, rejectDistinctId, rejectId, skip } from './outcomes.ts'

export const consumedMigrationColumns: ReadonlySet<string> = new Set(['from_user_id', 'to_user_id', 'time'])

/**
 * Converts rows of `user_migrations`. PostHog merges the alias into distinct_id and refuses to merge away a person who is
 * identified: so distinct_id is the same for all rows of a person, and each of their other ids an alias once.
 */
export function compileUserMigrationConverter(
  table: Table,
  columns: Columns,
  context: ConversionContext,
): OfRow<Conversion> {
  const compiled = compileColumns(columns, {
    consumed: consumedMigrationColumns,
    known: new Map(),
    treatments: noTreatments,
    nulls: columnNulls(table, context.mapping),
  })
  const fromCell = compiled.cell('from_user_id')
  const toCell = compiled.cell('to_user_id')
  const timeCell = compiled.cell('time')

  return (row, types) => {
    const values = cellsOf(row, types)
    const from = canonicalId(fromCell(values))
    if (from.kind !== 'id') return rejectId('from_user_id', from, fromCell(values))
    const to = canonicalId(toCell(values))
    if (to.kind !== 'id') return rejectId('to_user_id', to, toCell(values))

    const idFault = rejectDistinctId('from_user_id', from.id) ?? rejectDistinctId('to_user_id', to.id)
    if (idFault) return idFault
    const join = context.identities.joinedBy(from.id, to.id)
    switch (join.kind) {
      case 'nothing':
        return skip('nothing_to_merge')
      case 'conflict':
        return reject('identity_conflict', join.detail)
      case 'joins':
        break
    }

    const timeMs = mergeTimeMs(timeCell(values), context.startedAtMs)
    return {
      kind: 'event',
      event: {
        uuid: rowUuid(table.name, compiled.content(row), timeMs, context.hash),
        event: '$create_alias',
        distinct_id: join.distinctId,
        timestamp: new Date(timeMs).toISOString(),
        properties: { ...importedProperties(context), distinct_id: join.distinctId, alias: join.alias },
      },
    }
  }
}

/**
 * The time of a merge matters little and the merge much, so no time makes a row unusable. Where there is none (Fivetran
 * writes 0) the earliest time that any event can have stands in: the same for every run, and since a person is as old as
 * the first thing PostHog learns of them, none is younger than their own events.
 */
export function mergeTimeMs(text: string | null, startedAtMs: number): number {
  const timeMs = text === null ? undefined : parseHeapDate(text)
  return timeMs !== undefined && isInRange(timeMs, startedAtMs) ? timeMs : earliestMs
}
