import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { defaultMapping } from '@heapferry/domain'
import { type ExportPlace, inspectFile } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace } from '../support/place.ts'
import { tableWriters } from '../support/write-table.ts'
import type { Rows } from './source-contract.ts'

const KiB = 1024
const beginning = { at: 0, bytes: 64 * KiB }

test.each([
  ['csv', 'clicks.csv'],
  ['csvGzip', 'clicks.csv.gz'],
  ['avro', 'clicks.avro'],
] as const)('looking into a large file, as %s, fetches its first 64 KiB, once', async (kind, name) => {
  const { place, fetches } = await counted(await written(kind, name))
  const { files } = await inspectFile(place, { path: name }, defaultMapping)
  expect(files[0]?.columns).toEqual(columns)
  expect(files[0]?.version.sizeBytes).toBeGreaterThan(2048 * KiB)
  expect(fetches).toEqual([beginning])
})

test('looking into a Parquet file fetches its first and its last 64 KiB', async () => {
  const { place, fetches } = await counted(await written('parquet', 'clicks.parquet', 2000))
  const { files } = await inspectFile(place, { path: 'clicks.parquet' }, defaultMapping)
  const { sizeBytes = 0 } = files[0]?.version ?? {}
  expect(fetches).toEqual([beginning, { at: sizeBytes - 64 * KiB, bytes: 64 * KiB }])
})

test('of JSON, whose rows have columns of their own, the first MiB is looked at, and no byte is fetched twice', async () => {
  const { place, fetches } = await counted(await written('jsonLines', 'clicks.jsonl'))
  await inspectFile(place, { path: 'clicks.jsonl' }, defaultMapping)
  expect(fetches).toEqual([beginning, { at: 64 * KiB, bytes: 960 * KiB }])
})

test.each([
  ['csv', 'clicks.csv'],
  ['csvGzip', 'clicks.csv.gz'],
  ['jsonLines', 'clicks.jsonl'],
  ['avro', 'clicks.avro'],
  ['parquet', 'clicks.parquet'],
] as const)('of a small file, as %s, everything is known after one fetch', async (kind, name) => {
  const { place, fetches } = await counted(await written(kind, name, 20))
  await inspectFile(place, { path: name }, defaultMapping)
  expect(fetches).toHaveLength(1)
})

test('a header that is longer than the first 64 KiB is read to its end', async () => {
  const folder = await temporaryFolder()
  const wide = ['user_id', 'time', ...Array.from({ length: 4000 }, (_, n) => `a_column_with_a_long_name_${n}`)]
  const header = wide.join(',')
  expect(header.length).toBeGreaterThan(100 * KiB)
  await writeFile(path.join(folder, 'clicks.csv'), `${header}\n${',x'.repeat(wide.length - 1)}\n`)
  await writeFile(path.join(folder, 'packed.csv.gz'), gzipSync(`${header}\n`))
  const { place } = await counted(folder)
  for (const name of ['clicks.csv', 'packed.csv.gz']) {
    const { files } = await inspectFile(place, { path: name }, defaultMapping)
    expect(files[0]).toMatchObject({ columns: wide, firstRowByte: header.length + 1 })
  }
})

const columns = ['user_id', 'event_id', 'time', 'noise']

/** More than 2 MiB, also packed, unless told otherwise. */
async function written(kind: keyof typeof tableWriters, name: string, count = 12_000): Promise<string> {
  const folder = await temporaryFolder()
  // The writer of packed CSV puts the ending behind.
  await tableWriters[kind](path.join(folder, name.replace('.gz', '')), { columns, rows: rowsOf(count) })
  return folder
}

function rowsOf(count: number): Rows['rows'] {
  let seed = 1
  const noise = (): string => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed.toString(36)
  }
  return Array.from({ length: count }, (_, row) => [
    String(row + 1),
    String(row + 1),
    '2023-01-02 03:04:05.678',
    Array.from({ length: 60 }, noise).join(''),
  ])
}

/** A place that tells what is fetched of its files. */
async function counted(folder: string) {
  const inFolder = await folderPlace(folder)
  const fetches: { at: number; bytes: number }[] = []
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
  return { place, fetches }
}
