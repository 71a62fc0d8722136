import { OperatorError, type Table, type ToldBy, tableOf } from '@heapferry/domain'
import type { KnownTable } from './known-tables.ts'
import { type NamedTable, sayingSo } from './table-name.ts'

/** Columns of all events and of copying tools: whoever has no others lists events, and says nothing of them. */
const columnsOfAllEvents =
  /^(?:event_id|time|user_id|session_id|event_table_name|event_name|_fivetran_.*|_sdc_.*|_airbyte_.*)$/

type TellingKind = 'users' | 'user_migrations' | 'all_events'

/** The kind of table that alone has such columns; null where several kinds have them. */
function kindByColumns(columns: readonly string[]): TellingKind | null {
  const has = (column: string): boolean => columns.includes(column)
  if (has('from_user_id') && has('to_user_id') && !has('user_id') && !has('event_id')) return 'user_migrations'
  if (has('event_table_name') && has('event_id') && columns.every((column) => columnsOfAllEvents.test(column)))
    return 'all_events'
  return has('identity') && has('joindate') && !has('event_id') && !has('time') ? 'users' : null
}

export interface ToldTable {
  table: Table
  toldBy: ToldBy
  notices: string[]
}

function told(table: Table, toldBy: ToldBy, ...notices: (string | undefined)[]): ToldTable {
  return { table, toldBy, notices: notices.filter((one) => one !== undefined) }
}

/**
 * The table of a file, by its name and, where that leaves it open, by its columns.
 * @throws OperatorError where the two contradict each other, or neither tells
 */
export function tableByColumns(path: string, named: NamedTable, columns: readonly string[]): ToldTable {
  const { table: name, by, notice, doubt } = named
  const kind = kindByColumns(columns)
  const ofHeap = (table: KnownTable, toldBy: ToldBy, ...notices: string[]): ToldTable =>
    told(tableOf(table, columns), toldBy, ...notices)

  const table = tableOf(name, columns)
  if (doubt !== undefined && (named.isKnown || table.kind === 'event')) {
    throw new OperatorError(
      `${path}: ${doubt}`,
      `Give a folder or a glob of the files that belong together, or, where it is the table NAME, ${sayingSo(path, 'NAME')}.`,
    )
  }
  if (named.isKnown) {
    if (kind === null ? isAction(name, columns) : kind !== name) throw contradiction(path, name, columns, kind)
    return told(table, by, notice)
  }
  const { perhaps } = named
  if (perhaps !== undefined && kind === perhaps) return ofHeap(perhaps, 'columns')
  if (perhaps === '_sync_info' || perhaps === '_event_metadata') {
    if (tableOf(name, columns).kind === 'helper') return ofHeap(perhaps, 'name')
  }
  if (kind === 'all_events' && !named.isNameless) throw contradiction(path, name, columns, kind)
  if (kind !== null) {
    return ofHeap(kind, 'columns', `${path} is read as ${kind}: it has the columns that only this table has`)
  }
  if (table.kind !== 'event') return told(table, by, notice)
  if (named.isNameless) {
    throw new OperatorError(
      `${path} holds events, and neither its name nor its folder tells of which table: writers call files of every table so`,
      `Put it into a folder that is named for the table, or ${sayingSo(path, 'NAME')}. Events are named by their tables.`,
    )
  }
  if (perhaps === 'sessions' || perhaps === 'pageviews') {
    throw new OperatorError(
      `${path} may hold ${perhaps} or a table of events called ${name}: by name it could be either, and the columns are the same`,
      `Where it is Heap's table, ${sayingSo(path, perhaps)}; where it is a table of its own, ${sayingSo(path, name)}.`,
    )
  }
  return told(table, by, notice)
}

/** Whether these are columns of actions, which the tables of people and the list of all events do not have. */
function isAction(name: string, columns: readonly string[]): boolean {
  const has = (column: string): boolean => columns.includes(column)
  if (name === 'users') return has('user_id') && has('event_id') && has('time')
  if (name !== 'all_events' || columns.length === 0) return false
  return !columns.every((column) => columnsOfAllEvents.test(column)) && !has('event_table_name') && !has('event_name')
}

function contradiction(
  path: string,
  name: string,
  columns: readonly string[],
  kind: TellingKind | null,
): OperatorError {
  const others =
    kind === 'user_migrations'
      ? 'from_user_id and to_user_id, as user_migrations has them'
      : kind === 'users'
        ? 'identity and joindate, as users has them'
        : kind === 'all_events'
          ? 'event_table_name and nothing of an action, as all_events has them'
          : `columns of actions (${
              columns
                .filter((column) => !columnsOfAllEvents.test(column))
                .slice(0, 3)
                .join(', ') || 'event_id, time'
            })`
  return new OperatorError(
    `${path} is ${name} by its name, and has ${others}`,
    `Say what it is in the mapping file: files: { ${JSON.stringify(path)}: ${kind ?? 'NAME'} } where the columns are right, tables: { ${name}: { kind: … } } where the name is.`,
  )
}
