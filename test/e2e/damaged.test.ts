import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import type { RunStatus } from '@heapferry/migration'
import { parquetMetadata } from 'hyparquet'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { packers } from '../sources/packers.ts'
import { avroRows, csv, json, jsonArray, jsonLines, nullFirst, type RowsTo } from '../sources/row-files.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { tableWriters } from '../support/write-table.ts'

const apiKey = 'phc_damaged0000000000000000000000000000000000000'
const rowCount = 150

let folder: string
let source: string
let posthog: FakePostHog

beforeEach(async () => {
  folder = await temporaryFolder()
  source = path.join(folder, 'export')
  await mkdir(source)
  posthog = await startFakePostHog({ apiKey, keep: 'events' })
  onTestFinished(() => posthog.stop())
})

/** Rows 1 to n, whose event_id is their number. */
const table = {
  columns: ['event_id', 'user_id', 'time', 'text'],
  rows: Array.from({ length: rowCount }, (_, index) => [
    String(index + 1),
    '7',
    '2023-01-02 03:04:05',
    `"${index}", é and more`,
  ]),
}
const avro = avroRows({ codec: 'snappy', text: nullFirst, rowsPerBlock: 10 })

test('of damaged files every row before the damage arrives, and the damage is a rejected row with its place', async () => {
  const cutOff = {
    'csv_gzip.csv.gz': await cut('csv_gzip.csv.gz', csv(), packers.gzip),
    'csv_bzip2.csv.bz2': await cut('csv_bzip2.csv.bz2', csv(), packers.bzip2),
    'lines_zstd.jsonl.zst': await cut('lines_zstd.jsonl.zst', json(jsonLines), packers.zstd),
    'array_bzip2.json.bz2': await cut('array_bzip2.json.bz2', json(jsonArray), packers.bzip2),
    'avro_gzip.avro.gz': await cut('avro_gzip.avro.gz', avro, packers.gzip),
  }
  const avroBytes = await cut('avro.avro', avro, (content) => content)
  const crcBytes = gzipSync(csv()(table))
  crcBytes.writeUInt32LE(~crcBytes.readUInt32LE(crcBytes.length - 8) >>> 0, crcBytes.length - 8)
  await writeFile(path.join(source, 'checksum.csv.gz'), crcBytes)
  const zeroed = await parquetWithZeros('zeroed.parquet')
  const quoted = csv()(table).toString().split('\n')
  quoted[40] = quoted[40]?.replace(/"$/, '') ?? ''
  await writeFile(path.join(source, 'unclosed.csv'), quoted.join('\n'))
  await writeFile(path.join(source, 'whole.csv'), csv()(table))

  const { code, stdout, stderr } = await command('run', source, '--run', 'damaged', '--json')
  expect([code, stderr]).toEqual([3, expect.any(String)])
  const status: RunStatus = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  const rejected = await rejectedRows()
  const arrived = arrivedRows()

  expect(status.state).toBe('completed_with_rejected_rows')
  // Those cut off, the checksum, and the block of Avro.
  expect(status.totals.rejected_by_reason.file_damaged).toBe(7)
  expect(status.message).toContain('damaged or cut off in 7 places: nobody can tell how many rows are missing')
  for (const { table: name, planned, read, sent, skipped, rejected: count } of status.tables) {
    expect([name, sent + skipped + count, read]).toEqual([name, read, planned])
    expect([name, sent]).toEqual([name, arrived.get(name)?.length])
    expect([name, count]).toEqual([name, rejected.filter((row) => row.table === name).length])
  }
  expect(status.tables.map((one) => one.table).toSorted()).toEqual([...arrived.keys()].toSorted())

  for (const [file, bytes] of Object.entries(cutOff)) {
    const [name = '', kind = ''] = /^[a-z]+_([a-z0-9]+)/.exec(file) ?? []
    const rows = arrived.get(name)?.length ?? 0
    expect(arrived.get(name)).toEqual(firstRows(rows))
    expect(rows).toBeGreaterThan(30)
    expect(rejected.filter((row) => row.file === file)).toEqual([
      {
        file,
        table: name,
        row: rows + 1,
        byte: expect.any(Number),
        reason: 'file_damaged',
        detail: `the ${kind} data ends in the middle, at byte ${bytes} of the file`,
      },
    ])
  }
  expect(textBefore(rejected, 'csv_gzip.csv.gz')).toBe(lastLine(csv(), arrived.get('csv_gzip')?.length ?? 0))

  const avroRowsRead = arrived.get('avro')?.length ?? 0
  expect(avroRowsRead % 10).toBe(0)
  expect(arrived.get('avro')).toEqual(firstRows(avroRowsRead))
  expect(rejected.filter((row) => row.table === 'avro')).toMatchObject([
    {
      row: avroRowsRead + 1,
      detail: expect.stringMatching(/^\d+ bytes here are no block of rows, or one that is cut off$/),
    },
  ])
  expect(rejected.find((row) => row.table === 'avro')?.byte).toBeLessThan(avroBytes)

  expect(arrived.get('checksum')).toEqual(firstRows(rowCount))
  expect(rejected.filter((row) => row.table === 'checksum')).toMatchObject([
    { row: rowCount + 1, detail: expect.stringMatching(/^the gzip data is damaged at byte \d+ of the file: /) },
  ])

  expect(arrived.get('zeroed')).toEqual(firstRows(100))
  const lost = rejected.filter((row) => row.table === 'zeroed')
  expect(lost.map(({ row }) => row)).toEqual(firstRows(rowCount).slice(100))
  for (const { reason, byte } of lost) expect([reason, byte]).toEqual(['not_decodable', zeroed.start])

  expect(arrived.get('unclosed')).toEqual(firstRows(rowCount).filter((row) => row !== 40))
  expect(rejected.filter((row) => row.table === 'unclosed')).toMatchObject([
    { row: 40, byte: Buffer.byteLength(quoted.slice(0, 40).join('\n')) + 1, reason: 'not_decodable' },
  ])
})

test.each(['users.csv.gz', 'user_migrations.csv.gz'])(
  'who is who is not decided on a part: a run whose %s is cut off sends nothing until the file is whole, and plan tells',
  async (file) => {
    const columns = file.startsWith('users') ? ['user_id', 'identity'] : ['from_user_id', 'to_user_id']
    const rows = Array.from({ length: 500 }, (_, index) => [String(index + 1), `${1000 + index}`])
    const whole = gzipSync(csv()({ columns, rows }))
    const at = path.join(source, file)
    await writeFile(at, whole.subarray(0, whole.length - 300))
    await writeFile(path.join(source, 'whole.csv'), csv()(table))
    const told = `${file} is damaged or cut off: the gzip data ends in the middle`

    const refused = await heapferryHere(['run', source, '--run', 'damaged'], options())
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(told)])
    expect(posthog.batches).toEqual([])
    const plan = JSON.parse((await command('plan', source, '--json')).stdout)
    expect([plan.can_migrate, plan.faults]).toEqual([
      false,
      [{ file, problem: expect.stringContaining(told), hint: expect.stringContaining('get the file again') }],
    ])

    await writeFile(at, whole)
    expect((await command('run', source, '--run', 'damaged')).code).toBe(0)
    expect(posthog.stored.size).toBeGreaterThan(rowCount)
  },
)

test('files of which nothing can be told are all refused by name before anything is sent', async () => {
  const whole = csv()(table)
  await tableWriters.parquet(path.join(source, 'wrong.parquet'), table)
  const faulty: Record<string, [content: Buffer, message: string]> = {
    'twice.csv.gz': [gzipSync(gzipSync(whole)), 'twice.csv.gz is compressed twice: inside of gzip it holds gzip again'],
    'mixed.csv.zst': [
      packers.zstd(packers.bzip2(whole)),
      'mixed.csv.zst is compressed twice: inside of zstd it holds bzip2 again',
    ],
    'wrong.csv.gz': [
      withoutMagic(gzipSync(whole)),
      'wrong.csv.gz is not a CSV file: its first line is not text in UTF-8',
    ],
    'wrong.avro': [withoutMagic(avro(table)), 'wrong.avro does not begin like an Avro file'],
    'wrong.parquet': [
      withoutMagic(await readFile(path.join(source, 'wrong.parquet'))),
      'wrong.parquet does not begin like a Parquet file',
    ],
    'short.csv.bz2': [
      packers.bzip2(whole).subarray(0, 100),
      'short.csv.bz2: no row can be read before its damage: the bzip2 data ends in the middle, at byte 100 of the file',
    ],
    'open.csv': [
      Buffer.from('event_id,"user_id,time\n1,2,3\n'),
      'open.csv: the quotes of its first line do not pair up',
    ],
  }
  for (const [name, [content]] of Object.entries(faulty)) await writeFile(path.join(source, name), content)
  await writeFile(path.join(source, 'whole.csv'), whole)

  const { code, stderr } = await heapferryHere(['run', source], options())
  expect(code).toBe(1)
  expect(stderr).toContain('7 files cannot be read')
  for (const [, message] of Object.values(faulty)) expect(stderr).toContain(message)
  expect(stderr).toContain('Nothing was sent')
  expect(posthog.batches).toEqual([])
})

function withoutMagic(content: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(4), content.subarray(4)])
}

/** Writes the table as a copy leaves it that broke off, and says how many bytes of it. */
async function cut(file: string, make: RowsTo, pack: (content: Buffer) => Buffer): Promise<number> {
  const packed = pack(make(table))
  const bytes = Math.floor(packed.length * 0.7)
  await writeFile(path.join(source, file), packed.subarray(0, bytes))
  return bytes
}

/** Its footer is whole, and so is its first row group; of the second one nothing is left but zeros. */
async function parquetWithZeros(name: string): Promise<{ start: number }> {
  const file = path.join(source, name)
  await tableWriters.parquet(file, table)
  const bytes = await readFile(file)
  const { row_groups: groups } = parquetMetadata(new Uint8Array(bytes).buffer)
  const columns = (groups[1]?.columns ?? []).flatMap(({ meta_data: meta }) => meta ?? [])
  expect(columns.length).toBe(4)
  const starts = columns.map((meta) => Number(meta.dictionary_page_offset ?? meta.data_page_offset))
  for (const [index, meta] of columns.entries()) {
    const start = starts[index] ?? 0
    bytes.fill(0, start, start + Number(meta.total_compressed_size))
  }
  await writeFile(file, bytes)
  return { start: Math.min(...starts) }
}

interface Listed {
  file: string
  table: string
  row: number
  byte: number
  reason: string
  detail: string
}

async function rejectedRows(): Promise<Listed[]> {
  const { stdout } = await command('rejected', 'damaged', '--json')
  const rows: Listed[] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return rows.toSorted((a, b) => a.row - b.row)
}

/** The numbers of the rows of each table whose events PostHog holds. */
function arrivedRows(): Map<string, number[]> {
  const rows = new Map<string, number[]>()
  for (const { event, properties } of posthog.stored.values()) {
    const known = rows.get(event) ?? []
    rows.set(event, known)
    known.push(Number(properties?.heap_event_id))
  }
  for (const known of rows.values()) known.sort((a, b) => a - b)
  return rows
}

function firstRows(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

function textBefore(rejected: readonly Listed[], file: string): string {
  const { byte } = rejected.find((row) => row.file === file) ?? { byte: 0 }
  return csv()(table).subarray(0, byte).toString().trimEnd().split('\n').at(-1) ?? ''
}

function lastLine(make: RowsTo, rows: number): string {
  return make(table).toString().split('\n')[rows] ?? ''
}

function command(...args: string[]) {
  return heapferryAnswer(args, options())
}

function options() {
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  return { cwd: folder, env }
}
