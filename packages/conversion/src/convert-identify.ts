import type { Columns, Conversion, OfRow, Table } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { compileColumns } from './compile-columns.ts'
import { identityNaming, noTreatments } from './column-treatments.ts'
import type { ConversionContext } from './context.ts'
import { cellsOf } from './declared-values.ts'
import { mergeTimeMs } from './convert-user-migration.ts'
import { importedProperties, ownerOf } from './convert-user.ts'
import { identityIn } from './distinct-id.ts'
import { rowUuid } from './event-uuid.ts'
import { columnNulls } from './nulls.ts'
import { rejectDistinctId, rejectId, skip } from './outcomes.ts'

const consumedIdentifyColumns: ReadonlySet<string> = new Set(['user_id', 'identity', 'time'])

/** Converts identify records of Heap's one-time export: `$identify`, without properties of the person. */
export function compileIdentifyConverter(
  table: Table,
  columns: Columns,
  context: ConversionContext,
): OfRow<Conversion> {
  const compiled = compileColumns(columns, {
    consumed: consumedIdentifyColumns,
    known: new Map(),
    treatments: noTreatments,
    nulls: columnNulls(table, context.mapping),
  })
  const distinctIdOf = identityNaming(context)
  const userIdCell = compiled.cell('user_id')
  const identityCell = compiled.cell('identity')
  const timeCell = compiled.cell('time')

  return (row, types) => {
    const values = cellsOf(row, types)
    const userId = canonicalId(userIdCell(values))
    if (userId.kind !== 'id') return rejectId('user_id', userId, userIdCell(values))
    const identity = identityIn(identityCell(values))
    if (identity === null) return skip('nothing_to_merge')
    const idFault = rejectDistinctId('user_id', userId.id) ?? rejectDistinctId('identity', identity)
    if (idFault) return idFault
    const owner = ownerOf(userId.id, distinctIdOf(identity), context.identities)
    if (owner.kind !== 'person') return owner
    if (owner.distinctId === userId.id) return skip('nothing_to_merge')

    const timeMs = mergeTimeMs(timeCell(values), context.startedAtMs)
    return {
      kind: 'event',
      event: {
        uuid: rowUuid(table.name, compiled.content(row), timeMs, context.hash),
        event: '$identify',
        distinct_id: owner.distinctId,
        timestamp: new Date(timeMs).toISOString(),
        properties: { ...importedProperties(context), $anon_distinct_id: userId.id },
      },
    }
  }
}
