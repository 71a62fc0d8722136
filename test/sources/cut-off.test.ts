import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { defaultMapping, OperatorError, type ReadRow } from '@heapferry/domain'
import { inspectFile, sourceAt } from '@heapferry/sources'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace } from '../support/place.ts'
import { compressions, packers, zstdFrame } from './packers.ts'
import { avroRows, csv, json, jsonArray, jsonLines, nullFirst } from './row-files.ts'

const written = {
  columns: ['user_id', 'time', 'text'],
  rows: Array.from({ length: 40 }, (_, index) => [String(index + 1), '2023-01-02 03:04:05', `é "${index}",\nmore`]),
}
const formats = [
  ['CSV', 'clicks.csv', csv()],
  ['JSON lines', 'clicks.jsonl', json(jsonLines)],
  ['a JSON array', 'clicks.json', json(jsonArray)],
  ['a JSON array in one line', 'clicks.json', json((objects) => `[${objects.join(',')}]`)],
  ['Avro', 'clicks.avro', avroRows({ codec: 'null', text: nullFirst })],
] as const

describe.each(compressions)('inside of %s', (compression) => {
  test.each(formats)(
    '%s that is cut off anywhere: refused with the place, or the rows before it stand',
    async (...of) => {
      const [, fileName, make] = of
      const whole = packers[compression](make(written))
      const step = Math.ceil(whole.length / 25)
      const sizes = Array.from({ length: 24 }, (_, index) => 4 + index * step).filter((size) => size < whole.length)
      let longest = 0
      let refused = 0
      for (const size of [...sizes, whole.length - 2, whole.length - 1]) {
        const damage = `the ${compression} data ends in the middle, at byte ${size} of the file`
        const read = await reading(fileName, whole.subarray(0, size))
        if (read.kind === 'refused') {
          expect(longest, `refused at ${size} bytes, and with fewer bytes not`).toBe(0)
          expect(read.message).toMatch(new RegExp(`^${fileName}: .*${damage}$`))
          refused++
          continue
        }
        const before = read.rows.slice(0, -1)
        expect(read.rows.at(-1)).toMatchObject({ kind: 'unreadable', reason: 'file_damaged', detail: damage })
        expect(before.map((row) => (row.kind === 'row' ? row.values : row))).toEqual(
          written.rows.slice(0, before.length),
        )
        expect(before.length).toBeGreaterThanOrEqual(longest)
        longest = before.length
      }
      expect(longest).toBeGreaterThan(20)
      expect(refused).toBeGreaterThan(0)
    },
  )
})

test('a file that holds nothing but was packed all the same is empty, which is no fault', async () => {
  for (const compression of compressions)
    expect(await inspected('clicks.csv', packers[compression](Buffer.alloc(0)))).toMatchObject({
      files: [],
      notices: ['clicks.csv is empty'],
    })
})

test('a byte order mark, a bracket or white space before the damage are no row', async () => {
  for (const [fileName, content] of [
    ['clicks.csv', '\uFEFF'],
    ['clicks.csv', 'user_id,ti'],
    ['clicks.jsonl', ' \n '],
    ['clicks.json', '[\n'],
    ['clicks.json', '[{"user_id": 1, "ti'],
  ] as const) {
    const cutOff = gzipSync(content).subarray(0, -4)
    await expect(inspected(fileName, cutOff)).rejects.toMatchObject({
      name: 'OperatorError',
      message: `${fileName}: no row can be read before its damage: the gzip data ends in the middle, at byte ${cutOff.length} of the file`,
      hint: 'Copy the file again, or export the table again.',
    })
  }
})

test('zstd data that only other tools unpack is told with the name of its file', async () => {
  const { packed } = zstdFrame({ blocks: [{ kind: 'raw', bytes: Buffer.from('a') }], size: 'none', hasChecksum: false })
  packed.writeUInt8((17 << 3) + 1, 5)
  await expect(inspected('clicks.csv.zst', packed)).rejects.toMatchObject({
    name: 'OperatorError',
    message: expect.stringMatching(/^clicks\.csv\.zst: its zstd data asks for a window of 144 MiB/),
  })
})

type Reading = { kind: 'refused'; message: string } | { kind: 'read'; rows: ReadRow[] }

async function reading(fileName: string, bytes: Buffer): Promise<Reading> {
  const place = await placeWith(fileName, bytes)
  const found = await inspectFile(place, { path: fileName }, defaultMapping).catch((error: unknown) => {
    if (error instanceof OperatorError) return error
    throw error
  })
  if (found instanceof OperatorError) return { kind: 'refused', message: found.message }
  const rows: ReadRow[] = []
  for (const file of found.files)
    for await (const slice of sourceAt(place).readAll(file, { rows: 9, bytes: 500 })) rows.push(...slice.rows)
  return { kind: 'read', rows }
}

async function inspected(fileName: string, bytes: Buffer) {
  return inspectFile(await placeWith(fileName, bytes), { path: fileName }, defaultMapping)
}

async function placeWith(fileName: string, bytes: Buffer) {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, fileName), bytes)
  return folderPlace(folder)
}
