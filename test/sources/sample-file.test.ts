import { createHash } from 'node:crypto'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ExportFile, ReadRow, Values } from '@heapferry/domain'
import { type ExportPlace, sourceAt } from '@heapferry/sources'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace, onlyTable } from '../support/place.ts'
import { type TextTable, tableWriters } from '../support/write-table.ts'

const megabyte = 1024 * 1024
const extensions = {
  csv: 'csv',
  csvGzip: 'csv.gz',
  jsonLines: 'jsonl',
  jsonArray: 'json',
  avro: 'avro',
  parquet: 'parquet',
} satisfies Record<keyof typeof tableWriters, string>
const kinds = ['csv', 'csvGzip', 'jsonLines', 'jsonArray', 'avro', 'parquet'] as const

const rows = 20_000

describe.each(kinds)('of a large file, as %s', (kind) => {
  let place: ExportPlace
  let file: ExportFile
  let all: ReadRow[]

  beforeAll(async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-sample-'))
    ;({ place, file } = await written(folder, kind, rows))
    all = await wholeOf(place, file)
    expect(all).toHaveLength(rows)
  })
  afterAll(() => rm(place.root, { recursive: true, force: true }))

  test('samples are rows of it, in its order, and not many more than were asked for', async () => {
    const sample = await sourceAt(place).sample(file, 300)
    const known = new Map(all.map((row) => [valuesOf(row)[1], row]))
    expect(sample.rows.length).toBeGreaterThan(200)
    expect(sample.rows.length).toBeLessThanOrEqual(303)
    expect(sample.whole).toBe(false)
    const found = sample.rows.map((row) => known.get(valuesOf(row)[1]))
    expect(sample.rows.map(valuesOf)).toEqual(found.map((row) => row && valuesOf(row)))
    expect(sample.rows.map(({ place: { byte } }) => byte)).toEqual(found.map((row) => row?.place.byte))
    const numbers = found.map((row) => row?.place.row ?? 0)
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  })

  test('of parts that are read to their ends, no row is sampled that is cut there', async () => {
    const { rows: sampled } = await sourceAt(place).sample(file, rows)
    const known = new Map(all.map((row) => [valuesOf(row)[1], valuesOf(row)]))
    expect(sampled.length).toBeGreaterThan(250)
    expect(sampled.filter((row) => row.kind === 'unreadable')).toEqual([])
    expect(sampled.map(valuesOf)).toEqual(sampled.map((row) => known.get(valuesOf(row)[1])))
  })

  if (kind !== 'csvGzip' && kind !== 'jsonArray')
    test('a sample comes from its beginning, its middle and its end', async () => {
      const { rows: sampled } = await sourceAt(place).sample(file, 300)
      const numbers = sampled.map((row) => Number(valuesOf(row)[1]))
      const thirds = [0, 1, 2].map((third) => numbers.filter((n) => Math.floor((3 * (n - 1)) / rows) === third).length)
      for (const count of thirds) expect(count).toBeGreaterThan(50)
    })

  test('the mean size of a row tells the number of rows to a tenth', async () => {
    const { bytesPerRow } = await sourceAt(place).sample(file, 300)
    const estimate = (file.version.sizeBytes - file.firstRowByte) / (bytesPerRow ?? 0)
    expect(Math.abs(estimate - rows)).toBeLessThan(rows / 10)
  })

  test('no sample takes more than a few megabytes of it', async () => {
    const { counting, readBytes } = countingPlace(place)
    await sourceAt(counting).sample(file, 300)
    expect(readBytes()).toBeLessThan(6 * megabyte)
  })

  test('rows are counted as they are cut, and only where that is cheap', async () => {
    expect(await sourceAt(place).countRows(file, Number.POSITIVE_INFINITY)).toBe(rows)
    // The number of rows stands at the end of a Parquet file.
    expect(await sourceAt(place).countRows(file, 1000)).toBe(kind === 'parquet' ? rows : null)
  })
})

test.each(kinds)('a small file, as %s, is sampled whole, with all its places', async (kind) => {
  const { place, file } = await written(await temporaryFolder(), kind, 200)
  const sample = await sourceAt(place).sample(file, 300)
  expect(sample.whole).toBe(true)
  expect(sample.rows).toEqual(await wholeOf(place, file))
})

test('a file without rows has none to sample, and tells no size of one', async () => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'clicks.csv'), 'event_id,user_id,time\n')
  const place = await folderPlace(folder)
  const sample = await sourceAt(place).sample(await onlyTable(place, 'clicks.csv'), 300)
  expect(sample).toEqual({ rows: [], bytesPerRow: null, whole: true })
})

test('a packed file that is cut off is sampled as far as it can be unpacked', async () => {
  const { place, file } = await written(await temporaryFolder(), 'csvGzip', rows)
  const cut = Math.floor(file.version.sizeBytes / 2)
  await truncate(path.join(place.root, file.path), cut)
  const shortened = await onlyTable(place, file.path)
  const { bytesPerRow, rows: sampled } = await sourceAt(place).sample(shortened, 300)
  expect(sampled).toHaveLength(300)
  expect(Math.abs(cut / (bytesPerRow ?? 0) - rows / 2)).toBeLessThan(rows / 10)
})

/** Rows of different sizes, every fourth with a cell of three lines that looks like rows. */
function rowsOf(count: number): TextTable {
  const columns = ['user_id', 'event_id', 'time', 'title']
  const cells = Array.from({ length: count }, (_, index): string[] => {
    // As hard to pack as the ids of Heap.
    const noise = createHash('sha256').update(String(index)).digest('hex')
    const title = index % 4 === 0 ? `a\n1,${index},b,"c"\n9,9,9,9` : noise.slice(0, (index * 7919) % 64)
    return [String(Number.parseInt(noise.slice(0, 13), 16)), String(index + 1), time, title]
  })
  return { columns, rows: cells }
}

const time = '2023-01-02 03:04:05.678'

async function written(folder: string, kind: keyof typeof tableWriters, count: number) {
  // The writer of packed CSV puts the ending behind.
  await tableWriters[kind](path.join(folder, `clicks.${extensions[kind].replace('.gz', '')}`), rowsOf(count))
  const place = await folderPlace(folder)
  return { place, file: await onlyTable(place, `clicks.${extensions[kind]}`) }
}

async function wholeOf(place: ExportPlace, file: ExportFile): Promise<ReadRow[]> {
  const all: ReadRow[] = []
  for await (const slice of sourceAt(place).readAll(file, { rows: 10_000, bytes: 4 * megabyte }))
    all.push(...slice.rows)
  return all
}

function valuesOf(row: ReadRow): Values {
  if (row.kind === 'unreadable') throw new Error(row.detail)
  return row.values
}

function countingPlace(place: ExportPlace): { counting: ExportPlace; readBytes(): number } {
  let read = 0
  const counting: ExportPlace = {
    ...place,
    async open(file, expected) {
      const blob = await place.open(file, expected)
      return {
        version: blob.version,
        fill(target, at) {
          read += target.length
          return blob.fill(target, at)
        },
        close: () => blob.close(),
      }
    },
  }
  return { counting, readBytes: () => read }
}
