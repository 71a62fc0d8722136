import type { Columns, Conversion, Table, Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { planColumns } from './column-plan.ts'
import type { ConversionContext } from './context.ts'
import { importedProperties } from './convert-user.ts'
import { rowUuid } from './event-uuid.ts'
import { parseHeapTime } from './heap-time.ts'
import { earliestMs, isInRange, reject, rejectDistinctId, rejectId, skip } from './outcomes.ts'

export const consumedMigrationColumns: ReadonlySet<string> = new Set(['from_user_id', 'to_user_id', 'time'])

/**
 * Converts rows of `user_migrations`. PostHog merges the alias into distinct_id and refuses to merge away a person who is
 * identified: so the anonymous id is always the alias, and distinct_id always where all migrations end.
 */
export function compileUserMigrationConverter(
  table: Table,
  columns: Columns,
  context: ConversionContext,
): (values: Values) => Conversion {
  const plan = planColumns(columns, { consumed: consumedMigrationColumns, known: new Map() })
  const fromCell = plan.cell('from_user_id')
  const toCell = plan.cell('to_user_id')
  const timeCell = plan.cell('time')

  return (values) => {
    const from = canonicalId(fromCell(values))
    if (from.kind !== 'id') return rejectId('from_user_id', from, fromCell(values))
    const to = canonicalId(toCell(values))
    if (to.kind !== 'id') return rejectId('to_user_id', to, toCell(values))

    const end = context.identities.resolve(from.id) ?? { kind: 'person', distinctId: to.id }
    switch (end.kind) {
      case 'conflict':
        return reject('identity_conflict', end.detail)
      case 'person':
        break
    }
    if (end.distinctId === from.id) return skip('nothing_to_merge')
    const idFault = rejectDistinctId('from_user_id', from.id) ?? rejectDistinctId('the final identity', end.distinctId)
    if (idFault) return idFault

    const timeMs = mergeTimeMs(timeCell(values), context.startedAtMs)
    return {
      kind: 'event',
      event: {
        uuid: rowUuid(table.name, plan.content(values), timeMs),
        event: '$create_alias',
        distinct_id: end.distinctId,
        timestamp: new Date(timeMs).toISOString(),
        properties: { ...importedProperties(context), distinct_id: end.distinctId, alias: from.id },
      },
    }
  }
}

/**
 * The time of a merge matters little and the merge much, so no time makes a row unusable. Where there is none (Fivetran
 * writes 0) the earliest time that any event can have stands in: the same for every run, and since a person is as old as
 * the first thing PostHog learns of them, none is younger than their own events.
 */
function mergeTimeMs(text: string | null, startedAtMs: number): number {
  const timeMs = text === null ? undefined : parseHeapTime(text)
  return timeMs !== undefined && isInRange(timeMs, startedAtMs) ? timeMs : earliestMs
}
