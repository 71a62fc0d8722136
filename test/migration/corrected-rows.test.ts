import { chunkIdOf, type ExportFile, FileId, type Phase, type ReadRow } from '@heapferry/domain'
import { checkCorrected, type CorrectedFile, correctedRows, leadingColumns, RowPlaces } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { fileOf } from '../support/chunk.ts'

const clicks = fileOf('clicks')
const users: ExportFile = { ...fileOf('users'), id: FileId.parse('aaaaaaaaaaaa') }
const taps: ExportFile = {
  ...fileOf('taps'),
  id: FileId.parse('bbbbbbbbbbbb'),
  path: 'taps.jsonl',
  format: { kind: 'json_lines', records: 'all', undoubled: false },
}
const own = ['event_id', 'user_id', 'time']

test('mended rows have the columns of their file, whatever the order of columns and lines', async () => {
  const file = edited(
    ['time', 'event_id', 'user_id'],
    ['clicks', 'clicks.csv', '7', '', '2023-01-02', '5', '6'],
    ['clicks', 'clicks.csv', '3', '', '2023-01-03', '', '8'],
  )
  const work = workOf({ clicks: [3, 7] })
  expect(await checkCorrected(file, work)).toEqual({ rows: 2, retriedBefore: 0, unmended: 0 })
  const rows = await read([file], work, 'events')
  expect(rows.map(({ place, row }) => [place.row, place.byte, row.kind === 'row' && row.values])).toEqual([
    [7, 70, ['5', '6', '2023-01-02']],
    [3, 30, [null, '8', '2023-01-03']],
  ])
  expect(rows.map(({ row }) => row.kind === 'row' && row.columns)).toEqual([own, own])
})

test('of JSON a row has no column that only other rows of the table have', async () => {
  const file = edited(
    [...own, 'a', 'b', 'a'],
    ['taps', 'taps.jsonl', '1', '', '5', '6', null, 'x', null, 'y'],
    ['taps', 'taps.jsonl', '2', '', '5', '6', null, null, 'z', null],
  )
  const rows = await read([file], workOf({ taps: [1, 2] }), 'events')
  expect(rows.map(({ row }) => row.kind === 'row' && [row.columns, row.values])).toEqual([
    [
      [...own, 'a', 'a'],
      ['5', '6', null, 'x', 'y'],
    ],
    [
      [...own, 'b'],
      ['5', '6', null, 'z'],
    ],
  ])
})

test('where only the text is there it is read as a row of the file; where nothing is, the row is left', async () => {
  const file = edited(
    own,
    ['clicks', 'clicks.csv', '1', '1,2,"3"', null, null, null],
    ['clicks', 'clicks.csv', '2', 'broken', '5', '6', '7'],
    ['clicks', 'clicks.csv', '3', null, null, null, null],
  )
  const work = workOf({ clicks: [1, 2, 3] })
  expect(await checkCorrected(file, work)).toMatchObject({ rows: 2, unmended: 1 })
  const rows = await read([file], work, 'events')
  expect(rows.map(({ row }) => (row.kind === 'row' ? row.values : row.detail))).toEqual([
    ['text of clicks.csv', '1,2,"3"'],
    ['5', '6', '7'],
  ])
})

test('rows of people and rows of events come in their own phase', async () => {
  const file = edited(
    own,
    ['clicks', 'clicks.csv', '1', '', '5', '6', '7'],
    ['users', 'users.csv', '1', '', '8', '9', ''],
  )
  const work = workOf({ clicks: [1], users: [1] })
  const tablesOf = async (phase: Phase) => (await read([file], work, phase)).map((one) => one.file.table.name)
  expect([await tablesOf('identities'), await tablesOf('events')]).toEqual([['users'], ['clicks']])
})

test('a row that an earlier retry has settled is no fault, and not taken again', async () => {
  const file = edited(
    own,
    ['clicks', 'clicks.csv', '1', '', '5', '6', '7'],
    ['clicks', 'clicks.csv', '2', '', '5', '6', '7'],
  )
  const work = workOf({ clicks: [2] }, { clicks: [1] })
  expect(await checkCorrected(file, work)).toEqual({ rows: 1, retriedBefore: 1, unmended: 0 })
  expect((await read([file], work, 'events')).map(({ place }) => place.row)).toEqual([2])
})

test('every line that is no rejected row of the run is named, and nothing is taken', async () => {
  const file = edited(
    own,
    ['clicks', 'clicks.csv', '9', '', '5', '6', '7'],
    ['clicks', 'other.csv', '1', '', '5', '6', '7'],
    ['taps', 'clicks.csv', '1', '', '5', '6', '7'],
    ['clicks', 'clicks.csv', '1.0', '', '5', '6', '7'],
    ['clicks', 'clicks.csv', '1', '', '5', '6', '7'],
    ['clicks', 'clicks.csv', '1', '', '5', '6', '7'],
  )
  const message = await refusal(file, workOf({ clicks: [1] }))
  expect(message.split('\n')).toEqual([
    'rows.csv cannot be taken back; nothing was sent:',
    '  line 2: row 9 of clicks.csv is not a rejected row of this run',
    '  line 3: the run has no file other.csv of the table clicks',
    '  line 4: the run has no file clicks.csv of the table taps',
    '  line 5: "1.0" is not the number of a row',
    '  line 7: row 1 of clicks.csv stands in line 6 already',
  ])
})

test('a column that is missing, or that a tool has added, is named', async () => {
  const missing = edited(['event_id', 'user_id'], ['clicks', 'clicks.csv', '1', '', '5', '6'])
  expect(await refusal(missing, workOf({ clicks: [1] }))).toContain('line 1: the column time of clicks.csv is missing')
  const added = edited([...own, 'unnamed: 0'], ['clicks', 'clicks.csv', '1', '', '5', '6', '7', '0'])
  expect(await refusal(added, workOf({ clicks: [1] }))).toContain('line 1: the table clicks has no column "unnamed: 0"')
})

test('ids that a spreadsheet has cut are refused', async () => {
  const numbers = Array.from({ length: 30 }, (_, index) => index + 1)
  const lines = numbers.map((nth) => [
    'clicks',
    'clicks.csv',
    String(nth),
    '',
    `470233395150${1000 + nth * 10}`,
    '6',
    '7',
  ])
  expect(await refusal(edited(own, ...lines), workOf({ clicks: numbers }))).toContain('a spreadsheet has cut them')
})

/** Lines of table, file, row, raw and the row's own cells. */
function edited(columns: string[], ...lines: (string | null)[][]): CorrectedFile {
  return {
    path: 'rows.csv',
    columns,
    async *rows() {
      for (const [index, [table = null, path = null, row = null, raw = null, ...cells]] of lines.entries()) {
        const values = ['missing_time', 'time is empty', table, path, row, '0', raw === '' ? null : raw]
        const found: ReadRow = {
          kind: 'row',
          place: { row: index + 1, byte: 0 },
          columns: [...leadingColumns, ...columns],
          values: [...values, ...cells.map((cell) => (cell === '' ? null : cell))],
        }
        yield await Promise.resolve({ line: index + 2, row: found })
      }
    },
  }
}

type Rows = Partial<Record<'clicks' | 'users' | 'taps', number[]>>

function workOf(rejected: Rows, retried: Rows = {}) {
  return {
    files: [clicks, users, taps],
    rejected: placesOf(rejected),
    retried: placesOf(retried),
    source: {
      rowOfText: (file: ExportFile, text: string, place: ReadRow['place']) =>
        Promise.resolve({ kind: 'row', place, columns: own, values: [`text of ${file.path}`, text] } as const),
    },
  }
}

function placesOf(rows: Rows): RowPlaces {
  const places = new RowPlaces()
  const byTable = [
    { file: clicks, numbers: rows.clicks },
    { file: users, numbers: rows.users },
    { file: taps, numbers: rows.taps },
  ]
  for (const { file, numbers = [] } of byTable)
    for (const row of numbers) places.add({ chunk: chunkIdOf(file.id, 0), row, byte: row * 10 })
  return places
}

async function read(files: CorrectedFile[], work: ReturnType<typeof workOf>, phase: Phase) {
  const rows = []
  for await (const row of correctedRows(files, work)(phase)) rows.push(row)
  return rows
}

async function refusal(file: CorrectedFile, work: ReturnType<typeof workOf>): Promise<string> {
  return checkCorrected(file, work).then(
    () => 'not refused',
    (error: unknown) => (error instanceof Error ? error.message : ''),
  )
}
