import type { Columns, Conversion, OfRow, Table } from '@heapferry/domain'
import { z } from 'zod'
import type { ConversionContext } from './context.ts'
import { historyAgeMs } from './convert-event.ts'
import { importedProperties } from './convert-user.ts'
import { rowUuid } from './event-uuid.ts'
import { reject, skip } from './outcomes.ts'

/**
 * The columns of the rows that heapferry makes itself of the first that an export says of people: an id that stands for the
 * person, the time of their first row, what they are called in PostHog, and JSON of what is set.
 */
export const firstTouchColumns = ['person', 'time', 'distinct_id', 'set_once', 'set'] as const

const Properties = z.record(z.string(), z.unknown())
const Row = z.object({
  person: z.string(),
  time: z.iso.datetime(),
  distinct_id: z.string(),
  set_once: z.string().transform(parsed).pipe(Properties),
  set: z.string().transform(parsed).pipe(Properties),
})

/** Of each row one `$set`, at the time of the person's first row, and held back like that. */
export function compileFirstTouchConverter(
  table: Table,
  columns: Columns,
  context: ConversionContext,
): OfRow<Conversion> {
  const cells = firstTouchColumns.map((column) => [column, columns.indexOf(column)] as const)
  return (values) => {
    const row = Row.safeParse(Object.fromEntries(cells.map(([column, index]) => [column, values[index] ?? ''])))
    if (!row.success) return reject('not_decodable', 'the row is not as heapferry has written it')
    const { person, time, distinct_id, set_once, set } = row.data
    const timeMs = Date.parse(time)
    if (!context.includeRecent && timeMs > context.startedAtMs - historyAgeMs) return skip('held_back')
    return {
      kind: 'event',
      event: {
        uuid: rowUuid(table.name, person, timeMs, null),
        event: '$set',
        distinct_id,
        timestamp: time,
        properties: {
          ...importedProperties(context),
          ...(Object.keys(set).length > 0 && { $set: set }),
          ...(Object.keys(set_once).length > 0 && { $set_once: set_once }),
        },
      },
    }
  }
}

/** Undefined, which is no object either, where the text is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
