import { utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { type ExportFile, type FoundRow, type Place as RowPlace, type ReadRow } from '@heapferry/domain'
import { openRowsFile, type ExportPlace, sourceAt } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace, onlyTable } from '../support/place.ts'
import { tableWriters } from '../support/write-table.ts'

const columns = ['user_id', 'event_id', 'time', 'text']

test.each([
  ['csv', 'clicks.csv'],
  ['csvGzip', 'clicks.csv.gz'],
  ['jsonLines', 'clicks.jsonl'],
  ['jsonArray', 'clicks.json'],
  ['avro', 'clicks.avro'],
  ['parquet', 'clicks.parquet'],
] as const)('rows of %s are found again by their places, wherever they stand', async (kind, name) => {
  const folder = await temporaryFolder()
  const rows = Array.from({ length: 30_000 }, (_, index) => [
    String(index + 1),
    String(1_000_000 + index),
    '2023-01-02 03:04:05.678',
    index % 7 === 0 ? `of "two"\nlines, ${'x'.repeat(index % 900)}` : 'plain',
  ])
  await tableWriters[kind](path.join(folder, name.replace('.gz', '')), { columns, rows })
  const place = await folderPlace(folder)
  const file = await onlyTable(place, name)
  const all = await wholeFile(place, file)
  expect(all).toHaveLength(rows.length)

  for (const wanted of [[0], [29_999], [3, 4, 5, 6999, 7000, 15_000, 29_998, 29_999], [100, 20_000]]) {
    const places = wanted.map((index) => placeOf(all, index))
    const found = await foundAt(place, file, places)
    expect(found.map(({ row }) => row)).toEqual(wanted.map((index) => all[index]))
  }
})

test('between rows that lie far apart nothing is read', async () => {
  const folder = await temporaryFolder()
  const line = `1,2,2023-01-02 03:04:05,${'x'.repeat(1000)}\n`
  await writeFile(path.join(folder, 'clicks.csv'), `${columns.join(',')}\n${line.repeat(30_000)}`)
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'clicks.csv')
  let bytes = 0
  const counting: ExportPlace = {
    ...place,
    async open(name, version) {
      const blob = await place.open(name, version)
      return {
        ...blob,
        fill(target, at) {
          bytes += target.length
          return blob.fill(target, at)
        },
      }
    },
  }
  const byteOf = (index: number): number => file.firstRowByte + index * line.length
  const places = [1, 2, 29_000].map((index) => ({ row: index + 1, byte: byteOf(index) }))
  expect((await foundAt(counting, file, places)).map(({ row }) => row.kind)).toEqual(['row', 'row', 'row'])
  expect(bytes).toBeLessThan(3_000_000)
})

test('what cannot be read comes with its text, and a place where no row begins is told', async () => {
  const folder = await temporaryFolder()
  const bad = [
    Buffer.from('1,2,2023-01-02 03:04:05,one,too many\n'),
    Buffer.from('1,2,2023-01-02 03:04:05,"open\n'),
    Buffer.from('1,2,2023-01-02 03:04:05,caf\xe9\r\n', 'latin1'),
    Buffer.from('1,2,2023-01-02 03:04:05,good\n'),
  ]
  const header = Buffer.from(`${columns.join(',')}\n`)
  await writeFile(path.join(folder, 'clicks.csv'), Buffer.concat([header, ...bad]))
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'clicks.csv')
  const all = await wholeFile(place, file)
  const places = all.map((row) => row.place)
  const astray = { row: 9, byte: (places[3]?.byte ?? 0) + 3 }
  const found = await foundAt(place, file, [...places, astray])
  expect(found.map(({ row }) => row).slice(0, 4)).toEqual(all)
  expect(found.map(({ text }) => text)).toEqual([
    '1,2,2023-01-02 03:04:05,one,too many',
    '1,2,2023-01-02 03:04:05,"open',
    '1,2,2023-01-02 03:04:05,caf�',
    null,
    null,
  ])
  expect(found[4]?.row).toMatchObject({ kind: 'unreadable', place: astray, reason: 'not_decodable' })
})

test('the row that tells where a packed file breaks off is found again', async () => {
  const folder = await temporaryFolder()
  const lines = Array.from({ length: 5000 }, (_, index) => `${index + 1},${Math.sin(index)},2023-01-02 03:04:05,x\n`)
  const packed = gzipSync(`${columns.join(',')}\n${lines.join('')}`)
  await writeFile(path.join(folder, 'clicks.csv.gz'), packed.subarray(0, packed.length / 2))
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'clicks.csv.gz')
  const all = await wholeFile(place, file)
  const last = all.length - 1
  expect(all[last]?.kind).toBe('unreadable')
  expect((await foundAt(place, file, [placeOf(all, 7), placeOf(all, last)])).map(({ row }) => row)).toEqual([
    all[7],
    all[last],
  ])
})

test('a file that has changed is refused', async () => {
  const folder = await temporaryFolder()
  await tableWriters.csv(path.join(folder, 'clicks.csv'), { columns, rows: [['1', '2', '2023-01-02 03:04:05', 'x']] })
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'clicks.csv')
  await utimes(path.join(folder, 'clicks.csv'), new Date(), new Date(0))
  await expect(foundAt(place, file, [{ row: 1, byte: file.firstRowByte }])).rejects.toThrow('has changed')
})

test.each([
  ['first', 40],
  ['middle', 150_000],
  ['last', 299_990],
])('a file that another of the same size and time has replaced is refused by its %s block', async (_, at) => {
  const file = path.join(await temporaryFolder(), 'clicks.csv')
  const header = 'user_id,event_id,time,text\n'
  const text = `${header}${'1,2,2023-01-02 03:04:05,xxxxxxxxxxxxxxxxxxxxxx\n'.repeat(6400)}`.slice(0, 300_000)
  await writeFile(file, text)
  const modified = new Date(1_700_000_000_000)
  await utimes(file, modified, modified)
  const place = await folderPlace(path.dirname(file))
  const planned = await onlyTable(place, 'clicks.csv')
  const ofOlderVersion = { ...planned, version: { sizeBytes: planned.version.sizeBytes, mark: planned.version.mark } }
  await writeFile(file, `${text.slice(0, at)}!${text.slice(at + 1)}`)
  await utimes(file, modified, modified)
  const read = (one: ExportFile) => foundAt(place, one, [{ row: 1, byte: one.firstRowByte }])
  await expect(read(planned)).rejects.toThrow(/has changed since it was planned: .* content \w+\) then, .* now/)
  // Its plan has only size and time.
  expect(await read(ofOlderVersion)).toHaveLength(1)
})

test('a mended text is read as a row of its file; one that is no row, or several, is not', async () => {
  const folder = await temporaryFolder()
  const rows = [['1', '2', '2023-01-02 03:04:05', 'x']]
  await tableWriters.csv(path.join(folder, 'clicks.csv'), { columns, rows })
  await tableWriters.jsonArray(path.join(folder, 'taps.json'), { columns, rows })
  const place = await folderPlace(folder)
  const at = { row: 17, byte: 400 }
  const ofCsv = (text: string) =>
    onlyTable(place, 'clicks.csv').then((file) => sourceAt(place).rowOfText(file, text, at))
  const ofJson = (text: string) =>
    onlyTable(place, 'taps.json').then((file) => sourceAt(place).rowOfText(file, text, at))
  expect(await ofCsv('1,2,2023-01-02 03:04:05,"say ""hi"", now"')).toMatchObject({
    kind: 'row',
    place: at,
    values: ['1', '2', '2023-01-02 03:04:05', 'say "hi", now'],
  })
  expect(await ofJson('  {"user_id": 4702333951502204, "time": "x"},')).toMatchObject({
    kind: 'row',
    place: at,
    values: ['4702333951502204', 'x'],
  })
  for (const text of ['', '\n', '1,2', '1,2,3,"4', '1,2,3,4\n5,6,7,8', '1,2,3,caf�'])
    expect([text, await ofCsv(text)]).toEqual([text, expect.objectContaining({ kind: 'unreadable', place: at })])
  for (const text of ['{"a": 1', '{"a": 1}\n{"a": 2}', '[]', '7'])
    expect([text, await ofJson(text)]).toEqual([text, expect.objectContaining({ kind: 'unreadable', place: at })])
})

test('the lines of an edited file are numbered as an editor numbers them', async () => {
  const folder = await temporaryFolder()
  const leading = ['reason', 'row']
  const file = path.join(folder, 'rows.csv')
  const text = 'reason,row,user_id,note\r\nx,1,5,"two\r\nlines"\r\n\r\nx,2,6,\r\nx,3,7,"a ""b"""\r\n'
  for (const written of [text, `\uFEFF${text}`, text.replaceAll(',', ';')]) {
    await writeFile(file, written)
    const opened = await openRowsFile(file, leading)
    expect(opened.columns).toEqual(['user_id', 'note'])
    const rows = []
    for await (const { line, row } of opened.rows()) rows.push([line, row.kind === 'row' ? row.values : row.detail])
    expect(rows).toEqual([
      [2, ['x', '1', '5', 'two\r\nlines']],
      [5, ['x', '2', '6', null]],
      [6, ['x', '3', '7', 'a "b"']],
    ])
  }
  await writeFile(file, 'row,reason\n1,x\n')
  await expect(openRowsFile(file, leading)).rejects.toThrow('does not begin with the columns reason, row')
})

async function wholeFile(place: ExportPlace, file: ExportFile): Promise<ReadRow[]> {
  const all: ReadRow[] = []
  for await (const { rows } of sourceAt(place).readAll(file, { rows: 1000, bytes: 1_000_000 })) all.push(...rows)
  return all
}

async function foundAt(place: ExportPlace, file: ExportFile, places: RowPlace[]): Promise<FoundRow[]> {
  const found: FoundRow[] = []
  for await (const one of sourceAt(place).rowsAt(file, places)) found.push(one)
  return found
}

function placeOf(rows: readonly ReadRow[], index: number): RowPlace {
  const row = rows[index]
  if (!row) throw new Error(`there is no row ${index}`)
  return row.place
}
