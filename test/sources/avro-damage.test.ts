import type { ReadRow } from '@heapferry/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DamagedContent } from '../../packages/sources/src/unpacking/damaged-content.ts'
import {
  avroBlock,
  avroFile,
  avroHeader,
  avroText,
  codecs,
  contentOf,
  readAll,
  recordOf,
  sync,
  varint,
} from './avro-file.ts'
import { tries } from '../support/tries.ts'

const schema = recordOf({ name: 'id', type: 'long' }, { name: 'text', type: ['null', 'string'] })

/** Row `number` of the files here. */
function row(number: number): Buffer {
  return Buffer.concat([varint(number), varint(1), avroText(`text ${number}`)])
}

function block(first: number, rows: number) {
  return { rows, data: Buffer.concat(Array.from({ length: rows }, (_, index) => row(first + index))) }
}

const header = avroHeader(JSON.stringify(schema), 'null')
const rowNumbers = ({ rows }: { rows: ReadRow[] }) =>
  rows.map((one) => (one.kind === 'row' ? Number(one.values[0]) : one.kind))

describe.each(Object.keys(codecs))('of a file with the codec %s', (codec) => {
  const whole = avroFile({ schema, codec, blocks: [block(1, 3), block(4, 4), block(8, 2)] })
  const headerBytes = avroHeader(JSON.stringify(schema), codec).length

  test('cut off at any byte, the whole blocks are read and one row says that more was there', async () => {
    for (let length = headerBytes; length < whole.length; length++) {
      const read = await readAll(whole.subarray(0, length), { chunkBytes: 1 })
      const complete = rowNumbers(read).filter((number) => number !== 'unreadable')
      expect(complete).toEqual([1, 2, 3, 4, 5, 6, 7].slice(0, complete.length))
      expect([0, 3, 7]).toContain(complete.length)
      const isBlockEnd =
        whole.subarray(headerBytes, length).subarray(-sync.length).equals(sync) || length === headerBytes
      expect(read.rows.length - complete.length).toBe(isBlockEnd ? 0 : 1)
    }
  })

  test('changed in any byte, the blocks that are whole are read, and producer and worker agree on the rest', async () => {
    for (let at = headerBytes; at < whole.length; at++) {
      const changed = Buffer.from(whole)
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
      for (const chunkBytes of [1, 60, null]) {
        const read = await readAll(changed, { chunkBytes })
        const numbers = rowNumbers(read)
        const touched = [0, 1, 2].filter((index) => !isTouched(whole, at, index))
        for (const index of touched) {
          const rows =
            [
              [1, 2, 3],
              [4, 5, 6, 7],
              [8, 9],
            ][index] ?? []
          expect(numbers.join()).toContain(rows.join())
        }
      }
    }
  })
})

test('any bytes behind a header are read to their end, cut and read alike', async () => {
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc.constant(sync),
    fc.constant(avroBlock(2, block(1, 2).data)),
    fc.constant(avroBlock(3, block(1, 2).data)),
    fc
      .tuple(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n))
      .map(([rows, size]) => Buffer.concat([varint(rows), varint(size)])),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { maxLength: 8 }),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 90 }),
      async (parts, chunkBytes, blockBytes) => {
        const file = Buffer.concat([header, ...parts])
        const inChunks = await readAll(file, { chunkBytes, content: contentOf(file, blockBytes) })
        const atOnce = await readAll(file, { chunkBytes: null })
        expect(inChunks.rows).toEqual(atOnce.rows)
      },
    ),
    { numRuns: tries(200) },
  )
})

test('damaged data of every codec is told, whatever its bytes are', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(codecs)),
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.nat(), { maxLength: 3 }),
      async (codec, garbage, flips) => {
        const packed = Buffer.from(codecs[codec]?.(block(1, 20).data) ?? [])
        for (const flip of flips) packed[flip % packed.length] = (packed[flip % packed.length] ?? 0) ^ (1 << (flip % 8))
        const start = avroHeader(JSON.stringify(schema), codec)
        const read = await readAll(Buffer.concat([start, avroBlock(20, packed), avroBlock(5, Buffer.from(garbage))]))
        expect(read.rows).toHaveLength(25)
      },
    ),
    { numRuns: tries(1000) },
  )
})

test('a block whose checksum does not match costs its rows, and no other', async () => {
  const file = avroFile({ schema, codec: 'snappy', blocks: [block(1, 2), block(3, 2), block(5, 2)] })
  const at = file.indexOf('text 3')
  file[at] = 0x54
  const read = await readAll(file)
  expect(rowNumbers(read)).toEqual([1, 2, 'unreadable', 'unreadable', 5, 6])
  expect(read.rows[2]).toMatchObject({
    reason: 'not_decodable',
    detail: 'its block cannot be unpacked: its checksum does not match',
    place: { row: 3, byte: file.indexOf(sync, file.indexOf('text 2')) + sync.length },
  })
})

test('a text that is not UTF-8 costs its row, and no other', async () => {
  const file = avroFile({ schema, blocks: [block(1, 3)] })
  file[file.indexOf('text 2')] = 0xff
  const read = await readAll(file)
  expect(rowNumbers(read)).toEqual([1, 'unreadable', 3])
  expect(read.rows[1]).toMatchObject({ detail: 'a text is not valid UTF-8' })
})

test('a text that holds the character for undecodable bytes is text', async () => {
  const data = Buffer.concat([varint(1), varint(1), avroText('\uFFFD')])
  const read = await readAll(avroFile({ schema, blocks: [{ rows: 1, data }] }))
  expect(read.rows).toMatchObject([{ values: ['1', '\uFFFD'] }])
})

test('a row that cannot be decoded costs those behind it in its block, for nobody knows where they begin', async () => {
  const data = Buffer.concat([row(1), varint(2), varint(9), row(3)])
  const read = await readAll(avroFile({ schema, blocks: [{ rows: 3, data }, block(4, 1)] }))
  expect(rowNumbers(read)).toEqual([1, 'unreadable', 'unreadable', 4])
  expect(read.rows[2]).toMatchObject({
    detail: 'row 2 of the 3 of its block cannot be decoded, nor any behind it: a union has no such branch',
  })
})

test('a block that claims more rows than it has tells each that is missing', async () => {
  const read = await readAll(avroFile({ schema, blocks: [{ ...block(1, 2), rows: 4 }, block(5, 1)] }))
  expect(rowNumbers(read)).toEqual([1, 2, 'unreadable', 'unreadable', 5])
})

test('a block with bytes behind its last row is not taken for whole', async () => {
  const read = await readAll(avroFile({ schema, blocks: [{ ...block(1, 3), rows: 2 }, block(5, 1)] }))
  expect(rowNumbers(read)).toEqual([1, 'unreadable', 5])
  expect(read.rows[1]).toMatchObject({ detail: expect.stringMatching(/^its block goes on for \d+ bytes behind it$/) })
})

test('a block that claims more than any writer writes is passed over without taking the memory', async () => {
  for (const claim of [
    [varint(5), varint(2n ** 31n)],
    [varint(2n ** 40n), varint(5)],
    [varint(1_000_000), varint(row(1).length)],
    [varint(-5), varint(5)],
    [varint(5), varint(-5)],
  ]) {
    const file = Buffer.concat([header, ...claim, row(1), sync, avroBlock(1, row(2))])
    const read = await readAll(file)
    expect(rowNumbers(read)).toEqual(['unreadable', 2])
    expect(read.rows[0]).toMatchObject({ detail: expect.stringContaining('are no block of rows') })
  }
})

test('data that unpacks to more than any writer writes is not unpacked', async () => {
  const size = Buffer.alloc(4)
  // A frame of zstandard that repeats a byte 128 kB long, 3000 times.
  const repeated = Buffer.concat(Array(3000).fill(Buffer.from([0x02, 0x00, 0x10, 0x41])))
  const bomb = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]), repeated, size])
  const file = Buffer.concat([avroHeader(JSON.stringify(schema), 'zstandard'), avroBlock(1, bomb)])
  expect((await readAll(file)).rows).toMatchObject([
    { kind: 'unreadable', detail: 'its block cannot be unpacked: it unpacks to more than 268435456 bytes' },
  ])
})

test('an array that claims more items than an event could hold ends the reading of its block', async () => {
  const nulls = recordOf({ name: 'a', type: { type: 'array', items: 'null' } })
  const data = Buffer.concat([varint(2n ** 40n), varint(0)])
  const read = await readAll(avroFile({ schema: nulls, blocks: [{ rows: 1, data }] }))
  expect(read.rows).toMatchObject([{ kind: 'unreadable', detail: expect.stringContaining('more than 1000000 items') }])
})

test('values that nest without end are not followed', async () => {
  const type = { type: 'record', name: 'node', fields: [{ name: 'next', type: ['null', 'node'] }] }
  const data = Buffer.concat(Array(100_000).fill(varint(1)))
  const read = await readAll(avroFile({ schema: recordOf({ name: 'a', type }), blocks: [{ rows: 1, data }] }))
  expect(read.rows).toMatchObject([{ kind: 'unreadable', detail: expect.stringContaining('more than 200 deep') }])
})

test('where a packed file cannot be unpacked further, one row says so', async () => {
  const file = avroFile({ schema, blocks: [block(1, 2), block(3, 2)] })
  const fault = 'the gzip data ends in the middle'
  for (let length = header.length; length <= file.length; length++) {
    const cutOff = contentOf(file.subarray(0, length))
    const content = {
      async *blocks(start: number, end?: number) {
        yield* cutOff.blocks(start, end)
        if (end === undefined || end > length) throw new DamagedContent(fault)
      },
    }
    const { rows } = await readAll(file, { chunkBytes: null, content })
    expect(rows.at(-1)).toMatchObject({ kind: 'unreadable', detail: fault })
    expect(rows.filter(({ kind }) => kind === 'unreadable')).toHaveLength(1)
  }
})

/** Whether a byte belongs to a block, or to the mark before it, behind which it is looked for. */
function isTouched(file: Buffer, at: number, index: number): boolean {
  let start = 0
  for (let marks = 0; marks <= index; marks++) start = file.indexOf(sync, start) + sync.length
  const end = file.indexOf(sync, start) + sync.length
  return at >= start - sync.length && at < end
}
