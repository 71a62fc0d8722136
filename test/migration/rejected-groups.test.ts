import { chunkIdOf, FileId, type RejectedRow, type RejectReason } from '@heapferry/domain'
import { groupRejected, placesOf, shapeOf } from '@heapferry/migration'
import { expect, test } from 'vitest'

const file = FileId.parse('0123456789ab')

test.each<[RejectReason, string, string]>([
  ['damaged_id', 'user_id has lost digits: 4.70233395150220e+15', 'user_id has lost digits: …'],
  ['damaged_id', 'event_id is not an integer: it is: not', 'event_id is not an integer: …'],
  ['unparsable_time', 'time is not a time of a known form: 1/2/2023 3:04', 'time is not a time of a known form: …'],
  ['time_out_of_range', 'joindate is before 2010: 1970-01-01', 'joindate is before 2010: …'],
  ['not_decodable', 'the row has 5 cells, its table 4 columns', 'the row has … cells, its table … columns'],
  [
    'not_decodable',
    'rows 1 to 10000 of the Parquet file cannot be decoded: x',
    'rows … to … of the Parquet file cannot be decoded: x',
  ],
  [
    'event_too_large',
    "the event would take 1234567 bytes of PostHog's 1 MB",
    "the event would take … bytes of PostHog's … MB",
  ],
  [
    'event_name_too_long',
    "the event's name has 250 bytes, PostHog takes 200",
    "the event's name has … bytes, PostHog takes …",
  ],
  [
    'illegal_distinct_id',
    'PostHog takes no such id for one person: identity is guest',
    'PostHog takes no such id for one person: identity is guest',
  ],
  ['not_decodable', '17 bytes here are no block of rows', '… bytes here are no block of rows'],
  [
    'identity_conflict',
    'migrations join 4 user ids that have 2 identities: 11, -22, 33 and others',
    'migrations join … user ids that have … identities: …, … and others',
  ],
  ['identity_conflict', 'user id 17 has 2 identities', 'user id … has … identities'],
  [
    'refused_by_posthog',
    '400: invalid event "a b" of ada@example.com (018bf8b3-64d5-7a32-8c4a-d4a6dcf3ba79)',
    '400: invalid event … of … (…)',
  ],
])('a detail of %s loses what differs from row to row: %s', (reason, detail, shape) => {
  expect(shapeOf(reason, detail)).toBe(shape)
})

test('rows with one fault are one group, with the first of them by file and row, the largest group first', async () => {
  const groups = await groupRejected(
    inTurn([
      row(5, 'damaged_id', 'user_id has lost digits: 2e15'),
      row(3, 'damaged_id', 'user_id has lost digits: 1e15'),
      row(1, 'missing_time', 'time is empty'),
      { ...row(2, 'damaged_id', 'user_id has lost digits: 9e15'), table: 'taps' },
    ]),
    (id) => `file ${id.slice(0, 2)}`,
  )
  expect(groups).toEqual([
    {
      table: 'clicks',
      reason: 'damaged_id',
      shape: 'user_id has lost digits: …',
      rows: 2,
      first: { file: 'file 01', row: 3, byte: 30 },
      example: 'user_id has lost digits: 1e15',
    },
    expect.objectContaining({ table: 'clicks', reason: 'missing_time', rows: 1 }),
    expect.objectContaining({ table: 'taps', reason: 'damaged_id', rows: 1 }),
  ])
})

test('words of PostHog that are different in every row do not make a group of every row', async () => {
  const rows = Array.from({ length: 5000 }, (_, index) => row(index + 1, 'refused_by_posthog', words(index + 1)))
  const groups = await groupRejected(inTurn(rows), (id) => id)
  expect(groups.length).toBeLessThanOrEqual(101)
  expect(groups.reduce((sum, group) => sum + group.rows, 0)).toBe(5000)
  expect(groups[0]).toMatchObject({ shape: 'other details', rows: 4900 })
})

test('places come in the order of rows, whatever the order in which they were listed', async () => {
  const numbers = [9, 2, 700_000_000, 31, 1, 30, 10_000_000_000]
  const places = await placesOf(inTurn(numbers.map((nth) => row(nth, 'missing_time', 'x'))), {})
  expect(places.files).toEqual([file])
  expect([...places.in(file)].map((place) => place.row)).toEqual(numbers.toSorted((a, b) => a - b))
  for (const nth of numbers)
    expect(places.find(file, nth)).toEqual(expect.objectContaining({ row: nth, byte: nth * 10 }))
  for (const nth of [0, 3, 32, 20_000_000_000]) expect(places.find(file, nth)).toBeUndefined()
  expect(places.countOf(file)).toBe(numbers.length)
})

test('only rows of the table and the reason are meant', async () => {
  const rows = [row(1, 'missing_time', 'x'), row(2, 'damaged_id', 'x'), { ...row(3, 'damaged_id', 'x'), table: 'taps' }]
  const meant = await placesOf(inTurn(rows), { reason: 'damaged_id', table: 'clicks' })
  expect([...meant.in(file)].map((place) => place.row)).toEqual([2])
})

function row(nth: number, reason: RejectReason, detail: string): RejectedRow {
  return { chunk: chunkIdOf(file, nth % 5), file, table: 'clicks', row: nth, byte: nth * 10, reason, detail }
}

async function* inTurn(rows: readonly RejectedRow[]): AsyncGenerator<RejectedRow> {
  for (const one of rows) yield await Promise.resolve(one)
}

/** A word of letters for every number. */
function words(nth: number): string {
  return String(nth).replaceAll(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? '')
}
