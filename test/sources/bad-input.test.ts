import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { chunkIdOf, defaultMapping, Mapping, RunId } from '@heapferry/domain'
import { discover as discoverIn, inspectFile, sourceAt } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace, noS3, onlyTable } from '../support/place.ts'

const discover = (source: string) => discoverIn(source, noS3)

test('a missing source is named, with what would be right', async () => {
  await expect(discover('/nowhere/export')).rejects.toMatchObject({
    message: '/nowhere/export: no such file or folder',
    hint: expect.stringContaining('export/*.csv'),
  })
})

test('a folder without tables is an error, not an empty migration', async () => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'README.md'), 'notes')
  await expect(discover(folder)).rejects.toThrow(`${folder} holds no table`)
})

test('files of other formats stop the run by name instead of being left out', async () => {
  const folder = await temporaryFolder()
  for (const name of ['users.csv', 'pageviews.zip', 'clicks.xlsx']) await writeFile(path.join(folder, name), 'x')
  await expect(discover(folder)).rejects.toThrow('2 files of a kind that cannot be read: clicks.xlsx, pageviews.zip')
})

test('notes beside the data are named and left out', async () => {
  const folder = await temporaryFolder()
  for (const name of ['users.csv', '_SUCCESS', '.DS_Store', 'README.md']) await writeFile(path.join(folder, name), 'x')
  await expect(discover(folder)).resolves.toMatchObject({
    files: [{ path: 'users.csv' }],
    notices: [
      'README.md is not a table by its name and is left out',
      '_SUCCESS is not a table by its name and is left out',
    ],
  })
})

test('a glob takes exactly what it matches, from folders below too', async () => {
  const folder = await temporaryFolder()
  await mkdir(path.join(folder, 'a/b'), { recursive: true })
  for (const name of ['a/users.csv', 'a/b/clicks.csv', 'a/b/other.txt']) await writeFile(path.join(folder, name), 'x')
  await expect(discover(`${folder}/**/*.csv`)).resolves.toMatchObject({
    files: [{ path: 'b/clicks.csv' }, { path: 'users.csv' }],
  })
  await expect(discover(`${folder}/*.tsv`)).rejects.toThrow('matches no file')
})

test.each([
  ['ZIP or a spreadsheet', Buffer.from('PK\x03\x04....')],
  ['UTF-32 text', Buffer.from([0xff, 0xfe, 0, 0, 0x75, 0, 0, 0])],
])('a file that begins like %s is not read as CSV', async (name, bytes) => {
  await expect(inspected('clicks.csv', bytes)).rejects.toThrow(`clicks.csv is not a CSV file: it begins like ${name}`)
})

test.each([',', '|', '\t', ';'])(
  'a header whose quote is never closed is no table of one column: %j',
  async (delimiter) => {
    const header = ['event_id', '"user_id', 'time'].join(delimiter)
    await expect(inspected('clicks.csv', Buffer.from(`${header}\n1,2,3\n`))).rejects.toThrow(
      'clicks.csv: the quotes of its first line do not pair up',
    )
  },
)

test('delimiters inside of quoted names are none', async () => {
  expect(await inspected('scores.csv', Buffer.from('"a;b;c","d"\n1,2\n'))).toMatchObject({ columns: ['a;b;c', 'd'] })
  expect(await inspected('scores.csv', Buffer.from('"a;b,c"\n1\n'))).toMatchObject({ columns: ['a;b,c'] })
})

test.each([
  ['clicks.avro', 'an Avro'],
  ['clicks.avro.gz', 'an Avro'],
  ['clicks.PARQUET', 'a Parquet'],
])('a file that says by its name that it is no CSV is not told to be none: %s', async (name, format) => {
  await expect(inspected(name, Buffer.from([1, 2, 0, 255, 10]))).rejects.toThrow(
    `${name} does not begin like ${format} file`,
  )
})

test('a binary file is not read as CSV', async () => {
  await expect(inspected('clicks.csv', Buffer.from([1, 2, 0, 255, 10]))).rejects.toThrow('its first line is not text')
})

test('a built-in table without its columns names those it misses, and how to give them', async () => {
  await expect(inspected('pageviews.csv', Buffer.from('event_id,path\n1,/\n'))).rejects.toMatchObject({
    message: expect.stringContaining('the file has no user_id, time'),
    hint: expect.stringContaining('tables: { pageviews: { columns: [...] } }'),
  })
})

test('a table with a column twice is an error, because one would hide the other', async () => {
  await expect(inspected('clicks.csv', Buffer.from('user_id,time,plan,PLAN\n'))).rejects.toThrow(
    'names the column "plan" twice',
  )
})

test('a table without a person or a time is no event table', async () => {
  expect((await inspected('vip_users.csv', Buffer.from('user_id,score\n1,2\n')))?.table.kind).toBe('helper')
})

test('an empty file has nothing to migrate', async () => {
  expect(await inspected('clicks.csv', Buffer.from(''))).toBeNull()
  expect(await inspected('clicks.csv', Buffer.from('\uFEFF'))).toBeNull()
})

test('a header that repeats the columns of the mapping is a header all the same', async () => {
  const mapping = Mapping.parse({ tables: { clicks: { columns: ['user_id', 'time'] } } })
  expect(await inspected('clicks.csv', Buffer.from('USER_ID|TIME\n1|2\n'), mapping)).toMatchObject({
    firstRowByte: 13,
    columns: ['user_id', 'time'],
    format: { delimiter: '|' },
  })
})

test('a file that may not be read is named', async ({ skip }) => {
  skip(process.getuid?.() === 0, 'runs as root, who may read everything')
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'clicks.csv'), 'user_id,time\n')
  await chmod(path.join(folder, 'clicks.csv'), 0)
  await expect(inspectFile(await folderPlace(folder), { path: 'clicks.csv' }, defaultMapping)).rejects.toThrow(
    'clicks.csv cannot be read',
  )
})

test.each(['../outside.csv', 'a/../../outside.csv', '/etc/passwd', 'link.csv'])(
  'a path that leads out of the export is refused: %s',
  async (file) => {
    const folder = await temporaryFolder()
    await mkdir(path.join(folder, 'export/a'), { recursive: true })
    await writeFile(path.join(folder, 'outside.csv'), 'user_id,time\n')
    await symlink(path.join(folder, 'outside.csv'), path.join(folder, 'export/link.csv'))
    const place = await folderPlace(path.join(folder, 'export'))
    await expect(inspectFile(place, { path: file }, defaultMapping)).rejects.toThrow('leads out of the export')
  },
)

test('a file that changes after it was planned is not read: its version stops the chunk', async () => {
  const folder = await temporaryFolder()
  const text = 'user_id,time\n1,2\n'
  await writeFile(path.join(folder, 'clicks.csv'), text)
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'clicks.csv')
  await writeFile(path.join(folder, 'clicks.csv'), `${text}3,4\n`)
  const chunk = { id: chunkIdOf(file.id, 0), run: RunId.parse('r'), file: file.id, firstRow: 1, rows: 1, day: null }
  const slices = sourceAt(place).read(file, { ...chunk, range: { kind: 'bytes', start: 13, end: 17 } }, start, limits)
  await expect(slices[Symbol.asyncIterator]().next()).rejects.toMatchObject({ name: 'SourceChanged' })
})

test('broken rows are told by row and byte, and the rows around them are read', async () => {
  const rows = await readRows(
    Buffer.concat([
      Buffer.from('user_id,time\n1,a\n2\n3,c,d\n4,"e\n5,"f"g\n6,'),
      Buffer.from([0xff]),
      Buffer.from('\n7,z\n'),
    ]),
  )
  expect(rows.map((row) => [row.place.row, row.place.byte, row.kind === 'row' ? row.values : row.detail])).toEqual([
    [1, 13, ['1', 'a']],
    [2, 17, 'the row has 1 cells, its table 2 columns'],
    [3, 19, 'the row has 3 cells, its table 2 columns'],
    [4, 25, 'text follows a closing quote'],
    [5, 30, 'text follows a closing quote'],
    [6, 37, 'the row is not valid UTF-8'],
    [7, 41, ['7', 'z']],
  ])
})

const start = { cursor: 0, rows: 0 }
const limits = { rows: 100, bytes: 10_000 }

async function inspected(name: string, bytes: Buffer, mapping = defaultMapping) {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, name), bytes)
  const { files } = await inspectFile(await folderPlace(folder), { path: name }, mapping)
  return files[0] ?? null
}

async function readRows(bytes: Buffer) {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'clicks.csv'), bytes)
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'clicks.csv')
  const rows = []
  for await (const { range, firstRow, rows: count } of sourceAt(place).cut(file, 1_000_000)) {
    const chunk = {
      id: chunkIdOf(file.id, 0),
      run: RunId.parse('r'),
      file: file.id,
      range,
      firstRow,
      rows: count,
      day: null,
    }
    for await (const slice of sourceAt(place).read(file, chunk, start, limits)) rows.push(...slice.rows)
  }
  return rows
}
