import type { ReadRow } from '@heapferry/domain'
import { shortened } from '../formats/shortened.ts'

/** Why a table that seems to hold no actions may hold them all the same, and what to write for it. */
export interface Suspicion {
  what: string
  hint: string
}

/**
 * Whether a table without Heap's columns holds what people did, or who they are, under other names: left out as a helper
 * table, it would be lost in silence.
 * @param rows some of its rows
 */
export function suspicionOf(table: string, columns: readonly string[], rows: readonly ReadRow[]): Suspicion | null {
  const page = pageIn(columns)
  if (page) return page
  const values = rows.flatMap((row) => (row.kind === 'row' ? [row] : []))
  // A header alone has nothing to lose.
  if (rows.length === 0) return null
  return (
    wrapped(table, columns) ??
    wide(table, columns) ??
    unnamed(table, columns) ??
    calledOtherwise(table, columns) ??
    holding(table, columns, values)
  )
}

/** What a server answers instead of a file. */
function pageIn(columns: readonly string[]): Suspicion | null {
  const [first = ''] = columns
  const isError =
    columns.includes('error') &&
    columns.length <= 6 &&
    columns.some((column) =>
      /^(?:message|code|status|request_?id|error_description|statuscode|path|timestamp)$/.test(column),
    )
  if (!/^[<{[]/.test(first) && !isError) return null
  const what = first.startsWith('<')
    ? `begins like a web page or XML (${first.slice(0, 40)}), not like a table: a server may have sent an error instead of the file`
    : isError
      ? 'looks like what a server says of an error, not like a table'
      : 'begins like JSON, and is named as if it were CSV'
  return {
    what,
    hint: 'Fetch or write the file again, or name it for what it is, or give a glob of the files to migrate.',
  }
}

/** Columns in which tools keep whole rows. */
const envelopes: readonly { tool: string; column: RegExp; rows: string }[] = [
  { tool: 'Airbyte', column: /^_airbyte_data$/, rows: '_airbyte_data' },
  { tool: 'Singer', column: /^(?:record|time_extracted)$/, rows: 'record' },
  { tool: 'Debezium', column: /^(?:before|after|ts_ms)$/, rows: 'after' },
]

function wrapped(table: string, columns: readonly string[]): Suspicion | null {
  const found = envelopes.find(
    ({ tool, column }) =>
      columns.filter((one) => column.test(one)).length >= (tool === 'Airbyte' ? 1 : 2) ||
      (tool === 'Singer' && columns.includes('record') && columns.includes('type')),
  )
  if (!found) return null
  const { tool, rows } = found
  return {
    what: `is wrapped as ${tool} does it: the rows are JSON in the column ${rows}`,
    hint: `Take them out of it, for lines of JSON with: jq -c '.${rows}' FILE. ${skipping(table)}`,
  }
}

/** Signs that separate cells and that were not taken for delimiters. */
function wide(table: string, columns: readonly string[]): Suspicion | null {
  for (const column of columns) {
    const separators = new Set(column.match(/[^\p{L}\p{N}_ .'"()[\]$%&/-]/gu) ?? [])
    for (const separator of separators) {
      const parts = column.split(separator)
      const telling = parts.filter((part) => heapName(part) !== null || /\d{6}|\d{4}-\d\d-\d\d/.test(part))
      if (telling.length < 2) continue
      const isDouble = column.includes(separator + separator)
      const shown = JSON.stringify(separator)
      return {
        what: `has one column where several belong: ${shown} stands between them`,
        hint:
          isDouble || knownSeparators.has(separator)
            ? `Write the table again with a single character between cells, and quotes around single cells at most. ${skipping(table)}`
            : `Say it in the mapping file: csv: { delimiter: ${shown} }. ${skipping(table)}`,
      }
    }
  }
  return null
}

/** They are seen where they stand between cells, and not within quotes around a whole line. */
const knownSeparators: ReadonlySet<string> = new Set([',', ';', '|', '\t'])

/** Names that are no names: `_COL_0`, `c1`, `f0_`, `Unnamed: 0`. */
const noName =
  /^(?:_?col(?:umn)?[ _]?\d+|_?c\d+|f\d+_?|\$?\d+|field[ _]?\d+|unnamed:? ?\d+|var\d+|v\d+|expr\d+|attr\d+|\?column\?|)$/

function unnamed(table: string, columns: readonly string[]): Suspicion | null {
  const without = columns.filter((column) => noName.test(column))
  if (without.length < 2 || without.length * 2 < columns.length) return null
  return {
    what: `has no names for its ${columns.length} columns (${shortened(columns)})`,
    hint: `Give them in the mapping file, in order: tables: { ${table}: { columns: [user_id, event_id, …] } }. ${skipping(table)}`,
  }
}

function calledOtherwise(table: string, columns: readonly string[]): Suspicion | null {
  const hint = renaming(table, columns)
  const meant = new Set(columns.map(heapName))
  const has = (...names: string[]): number => names.filter((name) => meant.has(name)).length
  if (has('from_user_id', 'to_user_id') === 2)
    return { what: `looks like migrations of users (${shortened(columns)}) under other names of columns`, hint }
  if (has('user_id', 'event_id', 'session_id', 'time') >= 2 || (has('event_id') > 0 && has('time', 'identity') > 0))
    return { what: `looks like what people did (${shortened(columns)}), without the columns user_id and time`, hint }
  if (columns.filter((column) => ofActions.test(heapSpelling(column))).length >= 3)
    return { what: `looks like what people did (${shortened(columns)}), without the columns user_id and time`, hint }
  if (
    has('identity', 'joindate', 'last_modified') +
      (meant.has('user_id') && columns.some((one) => /e-?mail/i.test(one)) ? 1 : 0) >
      0 &&
    (meant.has('user_id') || has('identity', 'joindate', 'last_modified') > 1)
  )
    return {
      what: `looks like people (${shortened(columns)}), and is called ${table}`,
      hint: `If it is Heap's table users, or a part of it, say so in the mapping file: tables: { ${table}: { kind: users } }. ${skipping(table)}`,
    }
  return null
}

const ofActions =
  /^(?:event_id|session_id|session_time|path|query|title|domain|referrer|landing_page|library|platform|browser|device_type|href|target_text|target_class|utm_\w+|previous_page|view_controller|screen_dimensions)$/

/** Ids of people and times, in columns of whatever name, or rows within a cell. */
function holding(
  table: string,
  columns: readonly string[],
  rows: readonly (ReadRow & { kind: 'row' })[],
): Suspicion | null {
  const cellsOf = (column: string): string[] => rows.flatMap((row) => row.values[row.columns.indexOf(column)] ?? [])
  const mostly = (column: string, is: (cell: string) => boolean): boolean => {
    const cells = cellsOf(column)
    return cells.length > 0 && cells.filter(is).length * 2 > cells.length
  }
  const json = columns.find((column) => mostly(column, isObjectText))
  if (json !== undefined) {
    return {
      what: `has JSON in its column ${json}, which may be whole rows`,
      hint: `Write the table again with a column for each key. ${skipping(table)}`,
    }
  }
  const ids = columns.filter((column) => mostly(column, (cell) => /^-?\d{12,19}$/.test(cell.replaceAll(/[, '"]/g, ''))))
  const times = columns.filter((column) => mostly(column, isMoment))
  const [time] = times
  if (time === undefined || !ids.some((id) => id !== time)) return null
  return {
    what: `looks like what people did, by the numbers in ${shortened(ids)} and the times in ${time}, without the columns user_id and time`,
    hint: `Name its columns in the mapping file: tables: { ${table}: { columns: { ${JSON.stringify(ids[0])}: user_id, ${JSON.stringify(time)}: time } } }. ${skipping(table)}`,
  }
}

function isObjectText(cell: string): boolean {
  return /^\s*[{[]\s*["{]/.test(cell)
}

function isMoment(cell: string): boolean {
  return (
    /^\W*\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d/.test(cell) ||
    /\d{1,2}:\d\d(?::\d\d)?(?:\s*[ap]m)?\W*$/i.test(cell) ||
    /^1[3-9]\d{8}(?:\d{3}|\d{6})?(?:\.\d+)?$/.test(cell)
  )
}

/** What to write where the columns of a table of Heap's have other names; for the file as a whole where none is known. */
export function renaming(table: string, columns: readonly string[]): string {
  const pairs = columns.flatMap((column) => {
    const name = heapName(column)
    return name === null || name === column || columns.includes(name) ? [] : [`${JSON.stringify(column)}: ${name}`]
  })
  const said = pairs.length === 0 ? '"NAME IN THE FILE": user_id, …' : pairs.join(', ')
  return `Name its columns in the mapping file: tables: { ${table}: { columns: { ${said} } } }. ${skipping(table)}`
}

function skipping(table: string): string {
  return `If nothing of it is to be sent: tables: { ${table}: { kind: skip } }.`
}

const spellings: ReadonlyMap<string, string> = new Map(
  Object.entries({
    user_id: 'userid heapuserid distinctid visitorid anonymousid uid',
    event_id: 'eventid heapeventid',
    session_id: 'sessionid heapsessionid',
    time: 'time timestamp eventtime eventtimestamp ts datetime occurredat createdat receivedat eventdate eventdatetime',
    identity: 'identity',
    joindate: 'joindate joinedat datejoined',
    last_modified: 'lastmodified',
    from_user_id: 'fromuserid fromuser',
    to_user_id: 'touserid touser',
    event_table_name: 'eventtablename',
  }).flatMap(([name, all]) => all.split(' ').map((spelling): [string, string] => [spelling, name])),
)

/** Heap's name of a column that is spelt otherwise: `User ID`, `userId`, `signup.user_id`, `"user_id"`. */
function heapName(column: string): string | null {
  return spellings.get(heapSpelling(column).replaceAll('_', '')) ?? null
}

function heapSpelling(column: string): string {
  const last = column.slice(column.lastIndexOf('.') + 1)
  return last
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_|_$/g, '')
}
