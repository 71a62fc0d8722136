import { readFileSync } from 'node:fs'
import { OperatorError, type ReadRow } from '@heapferry/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { blobOf, pagesOf, parquetFile, readAll, type StoredPage, valuesOf } from './parquet-file.ts'
import { tries } from '../support/tries.ts'

function fixture(name: string): Buffer {
  return readFileSync(new URL(`./fixtures/parquet/${name}.parquet`, import.meta.url))
}

describe.each([
  'pages',
  'pages-v2',
  'pages-checked',
  'pages-delta',
  'pages-split',
  'pages-gzip',
  'pages-brotli',
  'pages-lz4',
  'pages-zstd',
  'pages-indexed',
  'pages-duckdb',
  'pages-duckdb-v2',
  'pages-polars',
  'pages-fastparquet',
])('of the fixture %s, with a bit flipped', (name) => {
  const file = fixture(name)
  const pages = pagesOf(file)

  test('in a page, every row outside of it is read as it was', async () => {
    const whole = (await readAll(file)).rows
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...pages), fc.nat(), fc.nat(7), async (page, offset, bit) => {
        fc.pre(page.end > page.start)
        const at = page.start + (offset % (page.end - page.start))
        const { rows } = await readAll(flipped(file, at, bit))
        expect(changedRows(rows, whole).filter((row) => row < page.firstRow || row >= page.endRow)).toEqual([])
        expect(changedCells(rows, whole, page)).toEqual([])
      }),
      { numRuns: tries(100) },
    )
  })

  test('in the header of a page, no other row gets a value that is not its own', async () => {
    const whole = (await readAll(file)).rows
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...pages), fc.nat(), fc.nat(7), async (page, offset, bit) => {
        const at = page.headerStart + (offset % (page.start - page.headerStart))
        const { rows } = await readAll(flipped(file, at, bit))
        const changed = changedRows(rows, whole)
        expect(changed.filter((row) => row < page.groupStart || row >= page.groupEnd)).toEqual([])
        const others = changed.filter((row) => row < page.firstRow || row >= page.endRow)
        expect(others.filter((row) => rows[row]?.kind === 'row')).toEqual([])
        expect(changedCells(rows, whole, page)).toEqual([])
      }),
      { numRuns: tries(100) },
    )
  })
})

test.each(['pages', 'flat', 'nested', 'pages-polars'])(
  'of the fixture %s, with a bit flipped in its footer, rows are read or the file is refused by name',
  async (name) => {
    const file = fixture(name)
    const start = file.length - 8 - file.readUInt32LE(file.length - 8)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: start, max: file.length - 1 }), fc.nat(7), async (at, bit) => {
        const read = await readAll(flipped(file, at, bit)).catch((error: unknown) => error)
        if (!(read instanceof Error)) return
        expect(read).toBeInstanceOf(OperatorError)
        expect(read.message).toMatch(/^clicks\.parquet: /)
      }),
      { numRuns: tries(300) },
    )
  },
)

test('a file that is cut off anywhere is refused by name, with what to do', async () => {
  const file = fixture('pages')
  for (let length = 1; length < file.length; length += 7) {
    await expect(readAll(file.subarray(0, length))).rejects.toMatchObject({
      name: 'OperatorError',
      message: expect.stringMatching(/^clicks\.parquet: it is no whole Parquet file: /),
      hint: expect.stringContaining('Copy it'),
    })
  }
})

const text = (values: (string | null)[]) => ({ name: 'text', type: 'STRING' as const, data: values })
const ids = (count: number) => ({
  name: 'id',
  type: 'INT32' as const,
  data: Array.from({ length: count }, (_, n) => n),
})

test('a page that cannot be decoded costs its own rows, each of which says which they are', async () => {
  const file = parquetFile([ids(9), text(Array.from({ length: 9 }, (_, n) => `text ${n}`))], { pageSize: 24 })
  const [, second] = pagesOf(file).filter(({ column }) => column === 1)
  expect(second).toMatchObject({ firstRow: 3, endRow: 6 })
  file.writeUInt32LE(1000, second?.start)
  const { rows } = await readAll(file)
  expect(unreadableRows(rows)).toEqual([3, 4, 5])
  expect(rows[4]).toEqual({
    kind: 'unreadable',
    place: { row: 5, byte: 4 },
    reason: 'not_decodable',
    detail: expect.stringMatching(/^rows 4 to 6 of its column "text" cannot be decoded: /),
  })
})

test('a header that cannot be read costs the rest of its column in that row group, and no other', async () => {
  const values = Array.from({ length: 18 }, (_, n) => `text ${n % 9}`)
  const file = parquetFile([ids(18), text(values)], { pageSize: 24, rowGroupSize: 9 })
  const [, second] = pagesOf(file).filter(({ column }) => column === 1)
  file.fill(0xff, second?.headerStart, second?.start)
  const { rows } = await readAll(file)
  expect(unreadableRows(rows)).toEqual([3, 4, 5, 6, 7, 8])
  expect(rows[8]).toMatchObject({
    detail: expect.stringContaining('rows 4 to 9 of its column "text" cannot be decoded'),
  })
})

test('of a number that is not in its dictionary no empty cell is made', async () => {
  const words = ['one', 'two', 'six', 'one', 'six', 'two', 'two', 'six', 'one']
  const file = parquetFile([text([...words, ...words, ...words])])
  const [dictionary, page] = pagesOf(file)
  expect(dictionary?.kind).toBe('dictionary')
  // Numbers of two bits, of which the last stands for nothing.
  file.fill(0xff, (page?.end ?? 0) - 2, page?.end)
  const { rows } = await readAll(file)
  expect(unreadableRows(rows)).toHaveLength(27)
  expect(rows[0]).toMatchObject({ detail: expect.stringContaining('number 3 is not in its dictionary of 3') })
})

test('a dictionary that cannot be read costs the rows that refer to it, and not those of pages without', async () => {
  const file = fixture('pages')
  const pages = pagesOf(file).filter(({ column }) => column === 1)
  const [dictionary] = pages
  expect(dictionary?.kind).toBe('dictionary')
  const whole = await readAll(file)
  file.fill(0xff, dictionary?.start, dictionary?.end)
  const { rows } = await readAll(file)
  const lost = unreadableRows(rows)
  expect(lost.length).toBeGreaterThan(20)
  expect(lost.length).toBeLessThan(200)
  expect(lost).toEqual(Array.from(lost, (_, row) => row))
  expect(rows.slice(lost.length)).toEqual(whole.rows.slice(lost.length))
})

test('a value that takes more from the one before than it has is not filled up', async () => {
  const file = parquetFile([{ ...text(['aaaa1', 'aaaa2', 'aaaa3']), encoding: 'DELTA_BYTE_ARRAY' }])
  const [page] = pagesOf(file)
  const details: unknown[] = []
  for (let at = page?.start ?? 0; at < (page?.end ?? 0); at++) {
    const { rows } = await readAll(flipped(file, at, 5))
    details.push(...rows.map(valuesOf))
  }
  expect(details).toContainEqual(expect.stringMatching(/a value begins with \d+ bytes of one that has \d$/))
})

test('blocks of differences that have no size are not gone through again and again', async () => {
  const file = parquetFile([{ ...ids(300), encoding: 'DELTA_BINARY_PACKED' }])
  const [page] = pagesOf(file)
  // 128 values in four parts, which becomes a negative number of them.
  const at = file.indexOf(Buffer.from([0x80, 0x01, 0x04]), page?.start)
  file.set([0xff, 0xff, 0xff, 0xff, 0x0f], at + 2)
  const { rows } = await readAll(file)
  expect(unreadableRows(rows)).toHaveLength(300)
  expect(rows[0]).toMatchObject({ detail: expect.stringMatching(/blocks of 128 values in -\d+ parts$/) })
})

test('a text that is not UTF-8 costs its row, and no other', async () => {
  const file = parquetFile([text(['text 0', 'text 1', '\uFFFD', 'text 3'])])
  file[file.indexOf('text 1')] = 0xff
  const { rows } = await readAll(file)
  expect(rows.map(valuesOf)).toEqual([
    ['text 0'],
    'its column "text" has text that is not valid UTF-8',
    ['\uFFFD'],
    ['text 3'],
  ])
})

test('a run that claims more values than any page has is not written out', async () => {
  const file = parquetFile([text(Array.from({ length: 100 }, (_, n) => (n % 3 === 0 ? null : `text ${n}`)))])
  const [page] = pagesOf(file)
  file.set([0xfe, 0xff, 0xff, 0xff, 0x0f, 0x01], page?.start)
  const { rows } = await readAll(file)
  expect(unreadableRows(rows)).toHaveLength(100)
  expect(rows[0]).toMatchObject({ detail: expect.stringContaining('a run of 2147483647 values where 100 are missing') })
})

test('what cannot be fetched is no damage: reading ends with the same error', async () => {
  for (const name of ['pages', 'nested']) {
    const file = fixture(name)
    const failure = Object.assign(new Error('the disk is gone'), { code: 'EIO' })
    for (let working = 0; working < 8; working++) {
      let left = working
      const whole = blobOf(file)
      const blob = {
        ...whole,
        fill: (target: Buffer, at: number) => (left-- > 0 ? whole.fill(target, at) : Promise.reject(failure)),
      }
      const read = await readAll(file, { blob }).catch((error: unknown) => error)
      if (read !== failure) expect(read).toEqual(await readAll(file))
    }
  }
})

/** Numbers of the rows that are not what they were. None may be missing. */
function changedRows(rows: readonly ReadRow[], whole: readonly ReadRow[]): number[] {
  expect(rows).toHaveLength(whole.length)
  return [...rows.keys()].filter((row) => JSON.stringify(rows[row]) !== JSON.stringify(whole[row]))
}

/** Of rows that can be read, those that are changed in another column than that of the page. */
function changedCells(rows: readonly ReadRow[], whole: readonly ReadRow[], { column }: StoredPage): number[] {
  const others = (row: ReadRow | undefined) => row?.kind === 'row' && row.values.toSpliced(column, 1).join('\0')
  return [...rows.keys()].filter((row) => rows[row]?.kind === 'row' && others(rows[row]) !== others(whole[row]))
}

function unreadableRows(rows: readonly ReadRow[]): number[] {
  return [...rows.keys()].filter((row) => rows[row]?.kind === 'unreadable')
}

function flipped(file: Buffer, at: number, bit: number): Buffer {
  const changed = Buffer.from(file)
  changed[at] = (changed[at] ?? 0) ^ (1 << bit)
  return changed
}
