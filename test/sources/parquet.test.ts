import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { OperatorError, type ReadRow } from '@heapferry/domain'
import { type ExportPlace, sourceAt } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { cutParquet, readParquet } from '../../packages/sources/src/formats/parquet/read-parquet.ts'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace, onlyTable } from '../support/place.ts'
import { blobOf, chunkOf, type Fetch, inspected, pagesOf, parquetFile, readAll, valuesOf } from './parquet-file.ts'

const folder = new URL('./fixtures/parquet/', import.meta.url)
const fixtures = readdirSync(folder).filter((name) => name.endsWith('.parquet'))
const fixture = (name: string): Buffer => readFileSync(new URL(name, folder))

test.each(fixtures)('%s, written by another program, is read to the last digit', async (name) => {
  const [table = ''] = name.split(/[-.]/)
  const expected = JSON.parse(readFileSync(new URL(`${table}.json`, folder), 'utf8'))
  const { columns, rows } = await readAll(fixture(name))
  expect(columns).toEqual(expected.columns)
  expect(rows.map(valuesOf)).toEqual(expected.rows)
})

test.each(fixtures)('reading %s on from any row gives exactly the rest', async (name) => {
  const blob = blobOf(fixture(name))
  const { columns, rows } = await readAll(fixture(name))
  const chunk = chunkOf({ kind: 'rows', start: 0, end: rows.length }, 1, rows.length)
  for (let cursor = 0; cursor < rows.length; cursor += rows.length > 10 ? 17 : 1) {
    const rest: ReadRow[] = []
    const slices = readParquet(blob, columns, {
      piece: chunk,
      from: { cursor, rows: cursor },
      limits: { rows: 90, bytes: 10_000 },
    })
    for await (const slice of slices) {
      rest.push(...slice.rows)
      expect(slice.next).toBe(cursor + rest.length)
    }
    expect(rest).toEqual(rows.slice(cursor))
  }
})

const numbers = (count: number) => Array.from({ length: count }, (_, number) => number)

test('a row group is fetched once, in few pieces, however many pages and windows it has', async () => {
  const { place, fetches, file, chunk } = await largeRowGroup()
  const rows = await rowsFrom(place, { file, chunk, cursor: 0 })
  expect(rows).toHaveLength(40_000)
  expect(rows.map(({ place: { row } }) => row)).toEqual(numbers(40_000).map((number) => number + 1))
  const { sizeBytes } = file.version
  expect(sizeBytes).toBeGreaterThan(4_000_000)
  const fetched = fetches.reduce((sum, { bytes }) => sum + bytes, 0)
  expect(fetched).toBeLessThan(1.1 * sizeBytes)
  expect(fetches.length).toBeLessThan(60)
})

test('who reads on in the middle of a row group fetches no byte twice', async () => {
  const { place, fetches, file, chunk } = await largeRowGroup()
  const all = await rowsFrom(place, { file, chunk, cursor: 0 })
  fetches.length = 0
  expect(await rowsFrom(place, { file, chunk, cursor: 31_234 })).toEqual(all.slice(31_234))
  const [, ...ofColumns] = fetches
  const sorted = ofColumns.toSorted((a, b) => a.at - b.at)
  for (const [index, { at }] of sorted.entries()) {
    const before = sorted[index - 1]
    expect(at).toBeGreaterThanOrEqual(before ? before.at + before.bytes : 0)
  }
})

test('pages that are passed are not fetched where they are large', async () => {
  const values = numbers(4000).map((number) => `${number} ${'x'.repeat(1000)}`)
  const bytes = parquetFile([{ name: 'text', type: 'STRING', data: values, encoding: 'PLAIN' }])
  const fetches: Fetch[] = []
  const chunk = chunkOf({ kind: 'rows', start: 0, end: 4000 }, 1, 4000)
  const limits = { rows: 10, bytes: 1_000_000 }
  const from = { cursor: 3990, rows: 3990 }
  for await (const slice of readParquet(blobOf(bytes, fetches), ['text'], { piece: chunk, from, limits })) {
    expect([...slice.rows].map(valuesOf)).toEqual(values.slice(3990).map((value) => [value]))
  }
  expect(pagesOf(bytes)).toHaveLength(4)
  expect(fetches.reduce((sum, fetch) => sum + fetch.bytes, 0)).toBeLessThan(bytes.length / 2)
})

test('small row groups are chunks together, and are fetched in one piece each', async () => {
  const columns = numbers(30).map((number) => ({ name: `c${number}`, type: 'INT32' as const, data: numbers(100) }))
  const bytes = parquetFile(columns, { rowGroupSize: 10 })
  const ranges = async (chunkBytes: number) => {
    const cuts = []
    for await (const { range } of cutParquet(blobOf(bytes), chunkBytes)) cuts.push(range)
    return cuts
  }
  expect(await ranges(1)).toEqual(numbers(10).map((n) => ({ kind: 'rows', start: 10 * n, end: 10 * n + 10 })))
  expect(await ranges(bytes.length)).toEqual([{ kind: 'rows', start: 0, end: 100 }])
  const some = await ranges(bytes.length / 4)
  expect(some.length).toBeGreaterThan(2)
  expect(some.length).toBeLessThan(6)

  const fetches: Fetch[] = []
  const { rows } = await readAll(bytes, { chunkBytes: bytes.length, blob: blobOf(bytes, fetches) })
  expect(rows.map(valuesOf)).toEqual(numbers(100).map((number) => Array(30).fill(String(number))))
  expect(fetches.length).toBeLessThan(20)
})

test('a plan reads the time of the first row of a chunk, and no other column', async () => {
  const wide = numbers(50).map((number) => ({ name: `c${number}`, type: 'INT32' as const, data: numbers(1000) }))
  const time = { name: 'Time', type: 'TIMESTAMP' as const, data: numbers(1000).map((ms) => new Date(ms)) }
  const bytes = parquetFile([...wide, time])
  const fetches: Fetch[] = []
  for await (const { first } of cutParquet(blobOf(bytes, fetches), 1)) {
    expect(first).toEqual({
      kind: 'row',
      place: { row: 1, byte: 4 },
      columns: ['time'],
      values: ['1970-01-01 00:00:00'],
    })
  }
  expect(fetches.length).toBeLessThan(4)
})

test('a column of lists is read in its windows, beside columns whose pages end elsewhere', async () => {
  const rows = 21_000
  const lists = numbers(rows).map((number) => (number % 5 === 0 ? null : numbers(number % 4)))
  const schema = [
    { name: 'root', num_children: 2 },
    { name: 'id', type: 'INT32' as const, repetition_type: 'REQUIRED' as const },
    { name: 'list', repetition_type: 'OPTIONAL' as const, converted_type: 'LIST' as const, num_children: 1 },
    { name: 'list', repetition_type: 'REPEATED' as const, num_children: 1 },
    { name: 'element', type: 'INT32' as const, repetition_type: 'OPTIONAL' as const },
  ]
  const columns = [
    { name: 'id', data: numbers(rows) },
    { name: 'list', data: lists },
  ]
  const { rows: read, notices } = await readAll(parquetFile(columns, { schema, rowGroupSize: 15_000, pageSize: 3000 }))
  expect(read.map(valuesOf)).toEqual(lists.map((list, number) => [String(number), list && JSON.stringify(list)]))
  expect(notices).toEqual(['clicks.parquet: nested columns become lists and objects: list'])
})

test('a file without any row has its columns and no chunk', async () => {
  for (const bytes of [parquetFile([{ name: 'User_ID', type: 'INT64', data: [] }]), fixture('empty.parquet')]) {
    const { columns, rows } = await readAll(bytes)
    expect(columns).toEqual([expect.stringMatching(/^(?:user_)?id$/)])
    expect(rows).toEqual([])
  }
})

test.each<[string, Buffer, string]>([
  [
    'two columns of the same name',
    parquetFile(['plan', 'plan'].map((name) => ({ name, type: 'STRING', data: ['x'] }))),
    'has the column "plan" twice',
  ],
  [
    'two columns that differ in case only',
    parquetFile(['plan', 'PLAN'].map((name) => ({ name, type: 'STRING', data: ['x'] }))),
    'has the column "plan" twice',
  ],
  [
    'a codec that is not known',
    parquetFile([{ name: 'id', type: 'INT32', data: [1] }], { codec: 'LZO', compressors: { LZO: (bytes) => bytes } }),
    'its column "id" is packed with LZO',
  ],
  ['a footer that is encrypted', Buffer.from('PAR1    PARE'), 'it is encrypted'],
  ['no footer', Buffer.from('PAR1    '), 'it does not end like one'],
  [
    'a footer that is said to be longer than the file',
    Buffer.from('PAR1\xff\0\0\0PAR1', 'latin1'),
    'longer than the file',
  ],
  ['an empty footer', Buffer.from('PAR1\0\0\0\0PAR1'), 'its footer is damaged'],
])('%s: the file is refused by name, with what to do', async (_, bytes, message) => {
  const refused = inspected(blobOf(bytes))
  await expect(refused).rejects.toBeInstanceOf(OperatorError)
  await expect(refused).rejects.toThrow(`clicks.parquet: it`)
  await expect(refused).rejects.toThrow(message)
})

let largeBytes: ReturnType<typeof parquetFile> | undefined

function largeFile() {
  const columns = ['user_id', 'time', 'a', 'b', 'c', 'd'].map((name, column) => ({
    name,
    type: 'STRING' as const,
    data: numbers(40_000).map((number) => `${column} ${number} ${'x'.repeat(number % 20)}`),
    encoding: 'PLAIN' as const,
  }))
  return parquetFile(columns, { rowGroupSize: 40_000, pageSize: 20_000 })
}

/** A file of one row group of more than 4 MB, and what is fetched of it. */
async function largeRowGroup() {
  const root = await temporaryFolder()
  await writeFile(path.join(root, 'clicks.parquet'), (largeBytes ??= largeFile()))
  const inFolder = await folderPlace(root)
  const fetches: Fetch[] = []
  const place: ExportPlace = {
    ...inFolder,
    async open(file, expected) {
      const blob = await inFolder.open(file, expected)
      return {
        ...blob,
        fill(target, at) {
          fetches.push({ at, bytes: target.length })
          return blob.fill(target, at)
        },
      }
    },
  }
  const file = await onlyTable(place, 'clicks.parquet')
  const cuts = []
  for await (const cut of sourceAt(place).cut(file, 1_000_000)) cuts.push(cut)
  const [cut] = cuts
  if (!cut || cuts.length > 1) throw new Error(`${cuts.length} chunks`)
  fetches.length = 0
  return { place, fetches, file, chunk: { ...chunkOf(cut.range, cut.firstRow, cut.rows), file: file.id } }
}

type Reading = Pick<Awaited<ReturnType<typeof largeRowGroup>>, 'file' | 'chunk'> & { cursor: number }

async function rowsFrom(place: ExportPlace, { file, chunk, cursor }: Reading): Promise<ReadRow[]> {
  const rows: ReadRow[] = []
  const limits = { rows: 1000, bytes: 1_000_000 }
  for await (const slice of sourceAt(place).read(file, chunk, { cursor, rows: cursor }, limits))
    rows.push(...slice.rows)
  return rows
}
