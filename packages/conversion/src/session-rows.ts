import type { Columns, SessionAsk, Table, Types, Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { campaignParameters } from './campaign.ts'
import { treatmentsOf } from './column-treatments.ts'
import { cellAt } from './compile-columns.ts'
import type { ConversionContext } from './context.ts'
import { cellsOf } from './declared-values.ts'
import { compileIsDeleted } from './deleted-rows.ts'
import { parseHeapTime } from './heap-time.ts'
import { columnNulls } from './nulls.ts'
import { isInRange } from './outcomes.ts'
import { compileSessionName } from './session-name.ts'

/** What a row of `sessions` says for all rows of its session. */
export const sessionColumns: Columns = [
  'referrer',
  'landing_page',
  'landing_page_query',
  'landing_page_hash',
  ...campaignParameters,
  'search_keyword',
  'platform',
  'browser',
  'browser_version',
  'device_type',
  'phone_model',
  'device',
  'carrier',
  'user_agent',
  'app_name',
  'app_version',
]

/** What a row of `pageviews` says for those that follow it. */
export const pageColumns: Columns = ['domain', 'path', 'query', 'hash', 'title']

type RowContext = Pick<ConversionContext, 'mapping' | 'conversion' | 'identities' | 'startedAtMs'>

/** Which session a row belongs to, and when it was; null of a row that names none, or that becomes no event. */
export function compileSessionAsk(
  table: Table,
  columns: Columns,
  context: RowContext,
): (values: Values, types: Types | undefined) => SessionAsk | null {
  const momentIn = compileMoment(table, columns, context)
  return (row, types) => {
    const moment = momentIn(cellsOf(row, types))
    return moment === null || moment.timeMs === null ? null : { name: moment.name, timeMs: moment.timeMs }
  }
}

/** The name of a row's session, null where it has none, and its time, null where that is none. */
function compileMoment(
  table: Table,
  columns: Columns,
  context: RowContext,
): (values: Values) => { name: string; timeMs: number | null } | null {
  const nulls = columnNulls(table, context.mapping)
  const keyCell = (column: string) => cellAt(columns.indexOf(column), nulls.certain(column))
  const userIdCell = keyCell('user_id')
  const sessionIdCell = keyCell('session_id')
  const timeCell = keyCell('time')
  const nameOf = compileSessionName(context)
  return (values) => {
    const userId = canonicalId(userIdCell(values))
    const sessionId = canonicalId(sessionIdCell(values))
    if (userId.kind !== 'id' || sessionId.kind !== 'id') return null
    const timeMs = parseHeapTime(timeCell(values) ?? '')
    const isTime = timeMs !== undefined && isInRange(timeMs, context.startedAtMs)
    return { name: nameOf(userId.id, sessionId.id), timeMs: isTime ? timeMs : null }
  }
}

/** A row of `sessions` or `pageviews` for an index: `timeMs` is null where a session does not say when it began. */
interface IndexedRow {
  name: string
  timeMs: number | null
  cells: Values
}

/**
 * Reads what an index holds of a row; null of one that is to have no part in it. What the mapping drops is not in it.
 * @param wanted the columns that are read, in order
 */
export function compileIndexedRow(
  table: Table,
  columns: Columns,
  wanted: Columns,
  context: RowContext,
): (values: Values, types: Types | undefined) => IndexedRow | null {
  const { mapping } = context
  const nulls = columnNulls(table, mapping)
  const treatments = treatmentsOf({ mapping, hash: (text) => text }, [table.name])
  const isDeleted = compileIsDeleted(columns, mapping)
  const momentIn = compileMoment(table, columns, context)
  const cells = wanted.map((column) => {
    const index = treatments.get(column)?.kind === 'drop' ? -1 : columns.indexOf(column)
    return { index, isNull: nulls.ofProperty(column) }
  })
  return (row, types) => {
    if (isDeleted?.(row)) return null
    const values = cellsOf(row, types)
    const moment = momentIn(values)
    return (
      moment && {
        ...moment,
        cells: cells.map(({ index, isNull }) => {
          if (index === -1) return null
          const value = values[index] ?? ''
          return value.trim() === '' || isNull(value) ? '' : value
        }),
      }
    )
  }
}
