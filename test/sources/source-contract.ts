import path from 'node:path'
import {
  type Chunk,
  chunkIdOf,
  defaultMapping,
  type ExportFile,
  type Mapping,
  type ReadRow,
  type Place as RowPlace,
  RunId,
  type SliceLimits,
} from '@heapferry/domain'
import { type ExportPlace, sourceAt } from '@heapferry/sources'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace, onlyTable } from '../support/place.ts'
import { tries } from '../support/tries.ts'

/** Rows of a table, null where a cell holds nothing. */
export interface Rows {
  columns: string[]
  rows: (string | null)[][]
}

export interface SourceUnderTest {
  /** Writes the rows as a file of this kind. */
  write(file: string, rows: Rows): Promise<void>
  fileName: string
  mapping?: Mapping
  /** What cells may hold. */
  cell: fc.Arbitrary<string | null>
  /** Where what was written into a folder is read from; the folder itself, unless told otherwise. */
  openPlace?(folder: string): Promise<ExportPlace>
  /** How often the first property is tried; fewer where others have shown the same code. */
  runs?: number
}

/** What every kind of file must do, so that chunks can be taken by any worker in any order and gone on with anywhere. */
export function sourceContract(name: string, source: SourceUnderTest): void {
  const { runs = 150 } = source
  const columns = ['user_id', 'time', 'text', 'more']
  const anyRows = fc
    .array(fc.tuple(source.cell, source.cell, source.cell), { minLength: 1, maxLength: 40 })
    // A row without any text would be a blank line, which is no row.
    .map((cells) => ({ columns, rows: cells.map((cell, index) => [String(index + 1), ...cell]) }))

  describe(name, () => {
    test('chunks of any size tile the file, and together hold every row once and in order', async () => {
      const open = await opener(source)
      await fc.assert(
        fc.asyncProperty(anyRows, chunkSize(), async (written, chunkBytes) => {
          const file = await open(written, chunkBytes)
          expectToTile(file.chunks, file.file, written.rows.length)
          const rows = await file.readAll({ rows: 7, bytes: 1000 })
          expect(rows.map(valuesOf)).toEqual(written.rows)
          expect(rows.map(({ place }) => place.row)).toEqual(written.rows.map((_, index) => index + 1))
        }),
        { numRuns: tries(runs) },
      )
    })

    test('reading on from any cursor gives exactly the rest, under the same row numbers', async () => {
      const open = await opener(source)
      await fc.assert(
        fc.asyncProperty(
          anyRows,
          chunkSize(),
          fc.integer({ min: 1, max: 9 }),
          async (written, chunkBytes, sliceRows) => {
            const file = await open(written, chunkBytes)
            for (const chunk of file.chunks) {
              const all = await file.read(chunk, { cursor: 0, rows: 0 }, { rows: 1000, bytes: 1_000_000 })
              let rows = 0
              let cursor = 0
              for await (const slice of file.slices(chunk, { cursor: 0, rows: 0 }, { rows: sliceRows, bytes: 60 })) {
                rows += [...slice.rows].length
                expect(slice.next).toBeGreaterThan(cursor)
                cursor = slice.next
                const rest = await file.read(chunk, { cursor: slice.next, rows }, { rows: 1000, bytes: 1_000_000 })
                expect(rest).toEqual(all.slice(rows))
              }
              expect(rows).toBe(all.length)
            }
          },
        ),
        { numRuns: tries(Math.ceil(runs / 2.5)) },
      )
    })

    test('two reads agree, also at the same time, with all chunks at once and in slices of other sizes', async () => {
      const open = await opener(source)
      await fc.assert(
        fc.asyncProperty(
          anyRows,
          chunkSize(),
          sliceLimits(),
          sliceLimits(),
          async (written, chunkBytes, one, other) => {
            const file = await open(written, chunkBytes)
            const [inTurn, atOnce] = await Promise.all([
              file.readAll(one),
              Promise.all(file.chunks.map((chunk) => file.read(chunk, { cursor: 0, rows: 0 }, other))),
            ])
            expect(atOnce.flat()).toEqual(inTurn)
          },
        ),
        { numRuns: tries(Math.ceil(runs / 5)) },
      )
    })

    test('any of the rows are found again by their places', async () => {
      const open = await opener(source)
      await fc.assert(
        fc.asyncProperty(anyRows, chunkSize(), fc.uniqueArray(fc.nat(39)), async (written, chunkBytes, indexes) => {
          const file = await open(written, chunkBytes)
          const rows = await file.readAll({ rows: 1000, bytes: 1_000_000 })
          const wanted = rows.filter((_, index) => indexes.includes(index))
          const found = []
          for await (const { row } of file.rowsAt(wanted.map(({ place }) => place))) found.push(row)
          expect(found).toEqual(wanted)
        }),
        { numRuns: tries(Math.ceil(runs / 5)) },
      )
    })

    test('looking at the file and cutting it twice gives the same chunks', async () => {
      const open = await opener(source)
      await fc.assert(
        fc.asyncProperty(anyRows, chunkSize(), async (written, chunkBytes) => {
          const file = await open(written, chunkBytes)
          expect(await file.again()).toEqual({ file: file.file, chunks: file.chunks })
        }),
        { numRuns: tries(Math.ceil(runs / 5)) },
      )
    })
  })
}

/** No gap and no overlap: neither in bytes, as far as chunks are bytes, nor in rows. */
function expectToTile(chunks: readonly Chunk[], { firstRowByte, version }: ExportFile, rowCount: number): void {
  let nextRow = 1
  let nextByte = firstRowByte
  for (const { range, firstRow, rows } of chunks) {
    expect(firstRow).toBe(nextRow)
    nextRow += rows
    switch (range.kind) {
      case 'bytes':
        expect(range.start).toBe(nextByte)
        nextByte = range.end
        break
      case 'rows':
        expect(range).toMatchObject({ start: firstRow - 1, end: nextRow - 1 })
        break
      case 'whole':
        expect(chunks.length).toBe(1)
    }
  }
  expect(nextRow - 1).toBe(rowCount)
  if (chunks[0]?.range.kind === 'bytes') expect(nextByte).toBe(version.sizeBytes)
}

async function opener({ write, fileName, mapping = defaultMapping, openPlace = folderPlace }: SourceUnderTest) {
  const root = await temporaryFolder()
  const place = await openPlace(root)
  const source = sourceAt(place)
  return async (rows: Rows, chunkBytes: number) => {
    await write(path.join(root, fileName), rows)
    const again = async () => {
      const found = await onlyTable(place, fileName, mapping)
      return { file: found, chunks: await chunksOf(place, found, chunkBytes) }
    }
    const { file, chunks } = await again()
    const slices = (chunk: Chunk, from: { cursor: number; rows: number }, limits: SliceLimits) =>
      source.read(file, chunk, from, limits)
    const read = async (...where: Parameters<typeof slices>): Promise<ReadRow[]> => {
      const all = []
      for await (const slice of slices(...where)) all.push(...slice.rows)
      return all
    }
    const readAll = async (limits: SliceLimits): Promise<ReadRow[]> => {
      const all = []
      for (const chunk of chunks) all.push(...(await read(chunk, { cursor: 0, rows: 0 }, limits)))
      return all
    }
    const rowsAt = (places: RowPlace[]) => source.rowsAt(file, places)
    return { file, chunks, again, slices, read, readAll, rowsAt }
  }
}

async function chunksOf(place: ExportPlace, file: ExportFile, chunkBytes: number): Promise<Chunk[]> {
  const chunks: Chunk[] = []
  for await (const { range, firstRow, rows } of sourceAt(place).cut(file, chunkBytes)) {
    const id = chunkIdOf(file.id, chunks.length)
    chunks.push({ id, run: RunId.parse('test'), file: file.id, range, firstRow, rows, day: null })
  }
  return chunks
}

function chunkSize() {
  return fc.integer({ min: 1, max: 400 })
}

function sliceLimits() {
  return fc.record({ rows: fc.integer({ min: 1, max: 50 }), bytes: fc.integer({ min: 1, max: 2000 }) })
}

function valuesOf(row: ReadRow) {
  return row.kind === 'row' ? row.values : row
}
