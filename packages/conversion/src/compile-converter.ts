import { type Columns, type Conversion, type Convert, hashes, type Table, type Written } from '@heapferry/domain'
import type { ConversionContext } from './context.ts'
import { compileEventConverter, compileRawEventConverter } from './convert-event.ts'
import { compileIsDeleted } from './deleted-rows.ts'
import { compileGroupConverter } from './convert-group.ts'
import { compileFirstTouchConverter } from './convert-first-touch.ts'
import { compileIdentifyConverter } from './convert-identify.ts'
import { compileUserMigrationConverter } from './convert-user-migration.ts'
import { compileUserConverter } from './convert-user.ts'
import { type OutcomeOf, plainEvent, writtenEvent } from './made-event.ts'
import { skip } from './outcomes.ts'

/**
 * Decides once, for a table and its columns, what becomes of each; the function returned converts a row of values in the
 * columns' order. Every row becomes an event, a skip or a reject; nothing throws.
 *
 * What is sent of a row depends on the row, the mapping and, for tables about people, the resolved identities; the start
 * of the run only decides whether it is sent.
 */
export function compileConverter(table: Table, columns: Columns, given: ConversionContext): Convert {
  // A salt that is set beside a mapping that does not hash has no say in anything.
  const context = hashes(given.mapping) ? given : { ...given, hash: null }
  const convert = compileTable(table, columns, context)
  const isDeleted = becomesNothing(table) ? null : compileIsDeleted(columns, context.mapping)
  const outcomeOf: OutcomeOf =
    isDeleted === null
      ? convert
      : (values, types, session) => (isDeleted(values) ? skip('deleted_in_source') : convert(values, types, session))
  return Object.assign(
    (...row: Parameters<OutcomeOf>): Conversion => {
      const outcome = outcomeOf(...row)
      return outcome.kind === 'event' ? { kind: 'event', event: plainEvent(outcome.event) } : outcome
    },
    {
      write: (...row: Parameters<OutcomeOf>): Written => {
        const outcome = outcomeOf(...row)
        return outcome.kind === 'event' ? { kind: 'event', event: writtenEvent(outcome.event) } : outcome
      },
    },
  )
}

function becomesNothing({ kind }: Table): boolean {
  return kind === 'sessions' || kind === 'all_events' || kind === 'helper' || kind === 'first_touch'
}

function compileTable(table: Table, columns: Columns, context: ConversionContext): OutcomeOf {
  switch (table.kind) {
    case 'users':
      return compileUserConverter(table, columns, context)
    case 'user_migrations':
      return compileUserMigrationConverter(table, columns, context)
    case 'groups':
      return compileGroupConverter(table, columns, context)
    case 'identify':
      return compileIdentifyConverter(table, columns, context)
    case 'pageviews':
    case 'event':
      return compileEventConverter(table, columns, context)
    case 'raw_events':
      return compileRawEventConverter(table, columns, context)
    case 'first_touch':
      return compileFirstTouchConverter(table, columns, context)
    case 'sessions':
      return () => skip('derived_by_posthog')
    case 'all_events':
      return () => skip('reconciliation_only')
    case 'helper':
      return () => skip(table.leftOutBy === 'mapping' ? 'filtered_out' : 'helper_table')
  }
}
