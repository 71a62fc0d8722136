/** What is wrong, or only unusual, with a row of a sample export. A row has at most one. */
export type Trap =
  | 'exact_duplicate'
  | 'whole_second'
  | 'unicode_text'
  | 'newline_text'
  | 'quote_text'
  | 'nul_text'
  | 'float_id'
  | 'exponent_id'
  | 'leading_zero_id'
  | 'server_event'
  | 'invalid_date'
  | 'recent'
  | 'clock_1970'
  | 'clock_2038'
  | 'damaged_id'
  | 'missing_user_id'
  | 'bad_utf8'
  | 'surplus_column'
  | 'missing_column'

/** Of the traps that leave nothing to send: why, in heapferry's words. A row with any other trap is a sound row. */
export const rejectReasons = {
  clock_1970: 'time_out_of_range',
  clock_2038: 'time_out_of_range',
  damaged_id: 'damaged_id',
  missing_user_id: 'missing_user_id',
  bad_utf8: 'not_decodable',
  surplus_column: 'not_decodable',
  missing_column: 'not_decodable',
} as const satisfies Partial<Record<Trap, string>>

export type Row = Record<string, string | null>

const cellTraps = ['unicode_text', 'newline_text', 'quote_text', 'nul_text'] as const
const idTraps = ['float_id', 'exponent_id', 'leading_zero_id', 'damaged_id', 'missing_user_id'] as const
const lineTraps = ['exact_duplicate', 'bad_utf8', 'surplus_column', 'missing_column'] as const
const timeTraps = ['whole_second', 'clock_1970', 'clock_2038'] as const

export const userTraps: readonly Trap[] = [...lineTraps, ...idTraps, ...cellTraps]
export const pageviewTraps: readonly Trap[] = [...lineTraps, ...idTraps, ...cellTraps, ...timeTraps]
export const eventTraps: readonly Trap[] = [...pageviewTraps, 'server_event']

const everyRows = 997

/**
 * Which trap the row of a file has, if any: each once in the first hundred rows, so that small exports have all of them,
 * then each about once in a thousand. The row before a trapped one is always sound: duplicates copy it.
 */
export function trapOf(traps: readonly Trap[], row: number): Trap | undefined {
  const place = (row % everyRows) - 3
  return place % 4 === 0 ? traps[place / 4] : undefined
}

/** The id as pandas writes a column of floats, when no digit is lost by it. */
function exponentForm(id: string): string {
  const text = Number(id).toExponential()
  // With zeros at its end the number would look like one that had lost them.
  return id.endsWith('0') ? `${id}.0` : text
}

/** The row as the trap leaves it. Traps of time, of whole lines and duplicates are made where the line is. */
export function trapRow(trap: Trap, row: Row, options: { textColumn: string; sessionId: string }): Row {
  const { textColumn, sessionId } = options
  const id = row['user_id'] ?? ''
  const changes: Partial<Record<Trap, Row>> = {
    unicode_text: { [textColumn]: '値段 – Ünïcödé für alle 👩‍🚀🚀 ﷽' },
    newline_text: { [textColumn]: 'First line\nsecond, line\r\nthird' },
    quote_text: { [textColumn]: 'He said "now, or never"' },
    nul_text: { [textColumn]: 'before\u0000after' },
    bad_utf8: { [textColumn]: 'Café crème' },
    invalid_date: { joindate: 'Invalid date' },
    float_id: { user_id: `${id}.0` },
    exponent_id: { user_id: exponentForm(id) },
    leading_zero_id: { user_id: `0${id}` },
    // Six digits of sixteen: what a spreadsheet shows and then saves.
    damaged_id: { user_id: Number(id).toExponential(5).toUpperCase() },
    missing_user_id: { user_id: null },
  }
  // An integration of Heap's sends these: from no device, in a session of which nothing else is known.
  if (trap === 'server_event') return { user_id: id, event_id: row['event_id'] ?? null, session_id: sessionId }
  return { ...row, ...changes[trap] }
}

/** The moment a row claims, in milliseconds since 1970. */
export function trapTime(trap: Trap | undefined, atMs: number, nowMs: number): number {
  if (trap === 'whole_second') return Math.floor(atMs / 1000) * 1000
  if (trap === 'clock_1970') return 3_120 + (atMs % 1_000_000)
  if (trap === 'clock_2038') return 2 ** 31 * 1000 + (atMs % 1000)
  // Between 1 and 41 hours before.
  if (trap === 'recent') return nowMs - 3_600_000 - (atMs % 144_000_000)
  return atMs
}
