import avro from 'avsc'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  avroBlock,
  avroFile,
  avroHeader,
  avroText,
  cellsOf,
  codecs,
  contentOf,
  inspected,
  readAll,
  recordOf,
  sync,
  varint,
} from './avro-file.ts'

test('a long keeps all its digits, also beyond what a double holds, with or without an annotation', async () => {
  const longs = [
    0n,
    -1n,
    1n,
    63n,
    64n,
    -64n,
    -65n,
    2n ** 53n,
    2n ** 53n + 1n,
    -(2n ** 53n) - 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ]
  for (const type of ['long', { type: 'long', logicalType: 'of-another-world' }, { type: { type: 'long' } }])
    expect(await cellsOf(type, longs.map(varint))).toEqual(longs.map(String))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), { minLength: 1 }), async (some) => {
      expect(await cellsOf('long', some.map(varint))).toEqual(some.map(String))
    }),
  )
})

test('null may come first or last in a union, among several types, or not at all', async () => {
  const first = varint(0)
  const second = varint(1)
  const third = varint(2)
  const x = avroText('x')
  const seven = varint(7)
  expect(await cellsOf(['null', 'string'], [first, Buffer.concat([second, x])])).toEqual([null, 'x'])
  expect(await cellsOf(['string', 'null'], [Buffer.concat([first, x]), second])).toEqual(['x', null])
  expect(await cellsOf('string', [x])).toEqual(['x'])
  expect(
    await cellsOf(['null', 'long', 'string'], [first, Buffer.concat([second, seven]), Buffer.concat([third, x])]),
  ).toEqual([null, '7', 'x'])
  expect(
    await cellsOf(['int', 'long', 'null'], [Buffer.concat([first, seven]), Buffer.concat([second, seven]), third]),
  ).toEqual(['7', '7', null])
  expect(await cellsOf('null', [Buffer.alloc(0), Buffer.alloc(0)])).toEqual([null, null])
})

const decimalBytes = (hex: string) => Buffer.concat([varint(hex.length / 2), Buffer.from(hex, 'hex')])
const uuid = '12345678-9abc-def0-1234-56789abcdef0'

test.each<[string, unknown, Buffer, string | null]>([
  ['a boolean', 'boolean', Buffer.from([1]), 'true'],
  ['a boolean', 'boolean', Buffer.from([0]), 'false'],
  ['an int', 'int', varint(-2147483648), '-2147483648'],
  ['a double', 'double', doubleBytes(0.1), '0.1'],
  ['a double without a fraction', 'double', doubleBytes(4702333951502204), '4702333951502204'],
  ['a float', 'float', Buffer.from([0, 0, 0x20, 0x40]), '2.5'],
  ['an empty text', 'string', avroText(''), null],
  ['text', 'string', avroText('Zürich 😀\n"quoted"'), 'Zürich 😀\n"quoted"'],
  ['text that another format takes for null', 'string', avroText('\\N'), '\\N'],
  ['an enum', { type: 'enum', name: 'e', symbols: ['A', 'B'] }, varint(1), 'B'],
  ['bytes that are text', 'bytes', avroText('é'), 'é'],
  ['bytes that are none', 'bytes', decimalBytes('ff00'), 'ff00'],
  ['bytes with control characters', 'bytes', decimalBytes('0001'), '0001'],
  ['no bytes', 'bytes', varint(0), null],
  ['a fixed', { type: 'fixed', name: 'f', size: 2 }, Buffer.from([0xca, 0xfe]), 'cafe'],
  ['a decimal', { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, decimalBytes('04d2'), '12.34'],
  ['a small decimal', { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 3 }, decimalBytes('ff'), '-0.001'],
  ['a whole decimal', { type: 'bytes', logicalType: 'decimal', precision: 9 }, decimalBytes('04d2'), '1234'],
  [
    'a fixed decimal beyond a double',
    { type: 'fixed', name: 'd', size: 12, logicalType: 'decimal', precision: 28, scale: 9 },
    Buffer.from('204fce5e3e25026110000001', 'hex'),
    '10000000000000000000.000000001',
  ],
  ['a uuid', { type: 'string', logicalType: 'uuid' }, avroText(uuid), uuid],
  [
    'a fixed uuid',
    { type: 'fixed', name: 'u', size: 16, logicalType: 'uuid' },
    Buffer.from(uuid.replaceAll('-', ''), 'hex'),
    uuid,
  ],
  ['a date', { type: 'int', logicalType: 'date' }, varint(19_358), '2023-01-01'],
  ['a date before 1970', { type: 'int', logicalType: 'date' }, varint(-1), '1969-12-31'],
  ['a time', { type: 'int', logicalType: 'time-millis' }, varint(3_723_004), '01:02:03.004'],
  ['a time in microseconds', { type: 'long', logicalType: 'time-micros' }, varint(86_399_999_999), '23:59:59.999999'],
  ['a time that no day has', { type: 'int', logicalType: 'time-millis' }, varint(86_400_000), '86400000'],
  ['milliseconds', timestamp('millis'), varint(1_672_628_645_678), '2023-01-02 03:04:05.678'],
  ['whole seconds', timestamp('millis'), varint(1_672_628_645_000), '2023-01-02 03:04:05'],
  ['microseconds', timestamp('micros'), varint(1_672_628_645_678_900n), '2023-01-02 03:04:05.6789'],
  ['nanoseconds', timestamp('nanos'), varint(1_672_628_645_999_999_999n), '2023-01-02 03:04:05.999999999'],
  [
    'local milliseconds',
    { type: 'long', logicalType: 'local-timestamp-millis' },
    varint(-1),
    '1969-12-31 23:59:59.999',
  ],
  [
    'the last microsecond of a second',
    timestamp('micros'),
    varint(9_007_199_253_999_999n),
    '2255-06-05 23:47:33.999999',
  ],
  ['the last of all nanoseconds', timestamp('nanos'), varint(2n ** 63n - 1n), '2262-04-11 23:47:16.854775807'],
  ['a year of six digits', timestamp('micros'), varint(253_402_300_800_000_001n), '+010000-01-01 00:00:00.000001'],
  ['a time that no calendar has', timestamp('millis'), varint(2n ** 63n - 1n), 'day 106751991167 07:12:55.807'],
  ['a long of microseconds without an annotation', 'long', varint(1_672_628_645_678_900n), '1672628645678900'],
])('%s becomes its text: %j', async (_, type, bytes, text) => {
  expect(await cellsOf(type, [bytes])).toEqual([text])
})

test('nested records, arrays and maps become compact JSON, and are named', async () => {
  const type = avro.Type.forSchema({
    type: 'record',
    name: 'row',
    fields: [
      { name: 'Tags', type: { type: 'array', items: ['null', 'string'] } },
      { name: 'counts', type: { type: 'map', values: 'long' } },
      {
        name: 'address',
        type: {
          type: 'record',
          name: 'a',
          fields: [
            { name: 'City', type: 'string' },
            { name: 'at', type: 'double' },
          ],
        },
      },
      { name: 'flat', type: 'string' },
    ],
  })
  const value = { Tags: ['a"b', null, 'ü'], counts: { '2': 1, '1': 2 }, address: { City: 'Bern', at: 46.9 }, flat: 'x' }
  const { rows, notices } = await readAll(
    avroFile({ schema: type.schema(), blocks: [{ rows: 1, data: Buffer.from(type.toBuffer(value)) }] }),
  )
  expect(rows).toMatchObject([
    {
      columns: ['tags', 'counts', 'address', 'flat'],
      values: ['["a\\"b",null,"ü"]', '{"1":2,"2":1}', '{"City":"Bern","at":46.9}', 'x'],
    },
  ])
  expect(notices).toEqual(['clicks.avro: nested columns become lists and objects: tags, counts, address'])
})

test('inside of JSON, numbers keep their digits and times, decimals and bytes their text', async () => {
  const type = {
    type: 'record',
    name: 'inner',
    fields: [
      { name: 'id', type: 'long' },
      { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } },
      { name: 'time', type: timestamp('millis') },
      { name: 'raw', type: 'bytes' },
      { name: 'ratio', type: 'double' },
      { name: 'ok', type: 'boolean' },
    ],
  }
  const bytes = [
    varint(2n ** 63n - 1n),
    decimalBytes('04d2'),
    varint(0),
    decimalBytes('ff'),
    doubleBytes(Number.NaN),
    Buffer.from([1]),
  ]
  expect(await cellsOf(type, [Buffer.concat(bytes)])).toEqual([
    '{"id":9223372036854775807,"price":12.34,"time":"1970-01-01 00:00:00","raw":"ff","ratio":null,"ok":true}',
  ])
})

test('arrays written in several parts, with and without their size, are read whole', async () => {
  const parts = [varint(-2), varint(2), varint(1), varint(2), varint(1), varint(3), varint(0)]
  expect(await cellsOf({ type: 'array', items: 'long' }, [Buffer.concat(parts)])).toEqual(['[1,2,3]'])
})

test('any value of any nested type is read as the Avro library has written it', async () => {
  const type = avro.Type.forSchema({
    type: 'record',
    name: 'row',
    fields: [
      {
        name: 'a',
        type: {
          type: 'array',
          items: {
            type: 'record',
            name: 'item',
            fields: [
              { name: 'text', type: ['null', 'string'] },
              { name: 'number', type: ['double', 'null'] },
              { name: 'flags', type: { type: 'map', values: 'boolean' } },
              { name: 'kind', type: { type: 'enum', name: 'kind', symbols: ['X', 'Y'] } },
            ],
          },
        },
      },
    ],
  })
  const item = fc.record({
    text: fc.option(fc.string({ unit: 'grapheme' })),
    number: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
    flags: fc.dictionary(fc.string(), fc.boolean(), { noNullPrototype: true }),
    kind: fc.constantFrom('X', 'Y'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(item), { minLength: 1 }), async (values) => {
      const data = Buffer.concat(values.map((a) => type.toBuffer({ a })))
      const { rows } = await readAll(avroFile({ schema: type.schema(), blocks: [{ rows: values.length, data }] }))
      expect(rows.map((row) => (row.kind === 'row' ? row.values[0] : row))).toEqual(
        values.map((value) => JSON.stringify(value)),
      )
    }),
  )
})

test.each(Object.keys(codecs))('blocks packed with %s are read', async (codec) => {
  const texts = Array.from({ length: 500 }, (_, index) => `row ${index} of some that are alike`)
  const block = { rows: texts.length, data: Buffer.concat(texts.map(avroText)) }
  const { rows } = await readAll(
    avroFile({ schema: recordOf({ name: 'a', type: 'string' }), codec, blocks: [block, block] }),
  )
  expect(rows.map((row) => (row.kind === 'row' ? row.values[0] : row))).toEqual([...texts, ...texts])
})

test('a block that zstandard has really compressed is read', async () => {
  // printf '\x06aaa%.0s' {1..200} | zstd -19 --no-check
  const data = Buffer.from(zstandardBlock, 'base64')
  const header = avroHeader(JSON.stringify(recordOf({ name: 'a', type: 'string' })), 'zstandard')
  const { rows } = await readAll(Buffer.concat([header, avroBlock(200, data)]))
  expect(rows.map((row) => (row.kind === 'row' ? row.values[0] : row))).toEqual(Array(200).fill('aaa'))
})

test('a file without rows has its columns and no chunk', async () => {
  const file = avroFile({ schema: recordOf({ name: 'User_ID', type: 'long' }), blocks: [] })
  expect(await readAll(file)).toMatchObject({ columns: ['user_id'], cuts: [], rows: [] })
})

test('blocks without rows belong to the chunk of those around them', async () => {
  const empty = { rows: 0, data: Buffer.alloc(0) }
  const one = { rows: 1, data: varint(1) }
  const schema = recordOf({ name: 'a', type: 'long' })
  const some = await readAll(avroFile({ schema, blocks: [empty, one, empty, empty, one, empty] }), { chunkBytes: 1 })
  expect(some.cuts.map(({ rows }) => rows)).toEqual([1, 1, 0])
  const none = await readAll(avroFile({ schema, blocks: [empty, empty] }), { chunkBytes: 1 })
  expect(none.cuts.map(({ rows }) => rows)).toEqual([0])
})

test('a file that can only be read from its beginning is one chunk', async () => {
  const schema = recordOf({ name: 'a', type: 'long' })
  const blocks = [1, 2, 3].map((value) => ({ rows: 1, data: varint(value) }))
  const { cuts, rows } = await readAll(avroFile({ schema, blocks }), { chunkBytes: null })
  expect(cuts).toMatchObject([{ range: { kind: 'whole' }, firstRow: 1, rows: 3 }])
  expect(rows).toHaveLength(3)
})

test('a schema that names a type before it declares all of it is read', async () => {
  const type = {
    type: 'record',
    name: 'heap.node',
    fields: [
      { name: 'value', type: 'int' },
      { name: 'next', type: ['null', 'node'] },
    ],
  }
  const bytes = [varint(1), varint(1), varint(2), varint(0)]
  expect(await cellsOf(type, [Buffer.concat(bytes)])).toEqual(['{"value":1,"next":{"value":2,"next":null}}'])
})

test('names that mean something to JavaScript are columns and keys like others', async () => {
  const inner = { type: 'record', name: 'inner', fields: [{ name: '__proto__', type: 'string' }] }
  const file = avroFile({
    schema: recordOf(
      { name: '__proto__', type: 'string' },
      { name: 'constructor', type: inner },
      { name: 'map', type: { type: 'map', values: 'int' } },
    ),
    blocks: [
      {
        rows: 1,
        data: Buffer.concat([avroText('a'), avroText('b'), varint(1), avroText('__proto__'), varint(3), varint(0)]),
      },
    ],
  })
  expect((await readAll(file)).rows).toMatchObject([
    { columns: ['__proto__', 'constructor', 'map'], values: ['a', '{"__proto__":"b"}', '{"__proto__":3}'] },
  ])
  expect(({} as Record<string, unknown>).b).toBeUndefined()
})

test('defaults are of no interest, also those that are not of their type', async () => {
  const schema = recordOf({ name: 'a', type: ['string', 'null'], default: null })
  const data = Buffer.concat([varint(0), avroText('x')])
  expect((await readAll(avroFile({ schema, blocks: [{ rows: 1, data }] }))).rows).toMatchObject([{ values: ['x'] }])
})

test('a header of any length is read', async () => {
  const schema = { ...recordOf({ name: 'a', type: 'long' }), doc: 'x'.repeat(300_000) }
  const { rows } = await readAll(avroFile({ schema, blocks: [{ rows: 1, data: varint(5) }] }))
  expect(rows).toMatchObject([{ values: ['5'] }])
})

test.each<[string, Buffer, string]>([
  [
    'two columns that differ in case only',
    avroFile({ schema: recordOf({ name: 'plan', type: 'int' }, { name: 'PLAN', type: 'int' }), blocks: [] }),
    'its schema has the column "plan" twice, in upper and lower case',
  ],
  ['a codec that is not known', avroHeader('{"type":"record","fields":[]}', 'bzip2'), 'packed with "bzip2"'],
  ['values without columns', avroHeader('"string"', 'null'), 'is not that of a record'],
  ['a schema that is no JSON', avroHeader('{', 'null'), 'is not valid JSON'],
  ['a type of no name', avroHeader('{"fields":[{"name":"a","type":"uuid"}]}', 'null'), 'names a type "uuid"'],
  ['a header that is cut off', avroHeader('{"type":"record","fields":[]}', 'null').subarray(0, -3), 'cut off'],
  [
    'a schema without a bottom',
    avroHeader(`{"fields":[{"name":"a","type":${'['.repeat(5000)}"int"${']'.repeat(5000)}}]}`, 'null'),
    'more than 100 levels deep',
  ],
])('%s: the file is refused by name, with what to do', async (_, file, message) => {
  await expect(inspected(contentOf(file))).rejects.toMatchObject({
    name: 'OperatorError',
    message: expect.stringContaining(`clicks.avro: `),
    hint: expect.stringMatching(/export the table|Write the table|Only files/i),
  })
  await expect(inspected(contentOf(file))).rejects.toThrow(message)
})

test('rows know the block that they stand in', async () => {
  const schema = recordOf({ name: 'a', type: 'long' })
  const block = { rows: 2, data: Buffer.concat([varint(1), varint(2)]) }
  const file = avroFile({ schema, blocks: [block, block] })
  const [first = 0, second = 0] = [...file.toString('latin1').matchAll(new RegExp(sync.toString('latin1'), 'g'))].map(
    ({ index }) => index + sync.length,
  )
  expect((await readAll(file)).rows.map(({ place }) => place)).toEqual([
    { row: 1, byte: first },
    { row: 2, byte: first },
    { row: 3, byte: second },
    { row: 4, byte: second },
  ])
})

function timestamp(unit: string): object {
  return { type: 'long', logicalType: `timestamp-${unit}` }
}

function doubleBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return bytes
}

const zstandardBlock = 'KLUv/QBoXQAAIAZhYWEBABlVlwg='
