import { writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import avro from 'avsc'
import fc from 'fast-check'
import { avroFile, recordOf } from './avro-file.ts'
import { sourceContract, type Rows } from './source-contract.ts'

const cell = fc.option(
  fc.string({
    unit: fc.constantFrom('a', 'é', '😀', '\n', '"', '\0', ' ', 'x'.repeat(50)),
    minLength: 1,
    maxLength: 6,
  }),
  { nil: null },
)

const nullFirst = { text: ['null', 'string'] }
const nullLast = { text: ['string', 'null'] }

sourceContract('Avro as Heap Connect writes it: snappy, null first', {
  fileName: 'clicks.avro',
  cell,
  write: writer({ codec: 'snappy', ...nullFirst }),
})
sourceContract('Avro with null last, not packed', {
  fileName: 'clicks.avro',
  cell,
  write: writer({ codec: 'null', ...nullLast }),
})
sourceContract('Avro packed with deflate, a row a block', {
  fileName: 'part-00000.avro',
  cell,
  write: writer({ codec: 'deflate', ...nullFirst, rowsPerBlock: 1 }),
})
sourceContract('Avro packed with zstandard, all rows in one block', {
  fileName: 'clicks.avro',
  cell,
  write: writer({ codec: 'zstandard', ...nullLast, rowsPerBlock: 100 }),
})
sourceContract('Avro inside of gzip', {
  fileName: 'clicks.avro.gz',
  cell,
  write: writer({ codec: 'null', ...nullFirst, pack: gzipSync }),
})

interface Style {
  codec: string
  text: string[]
  rowsPerBlock?: number
  pack?(file: Buffer): Buffer
}

function writer({ codec, text, rowsPerBlock = 3, pack = (file) => file }: Style) {
  return async (path: string, { columns, rows }: Rows): Promise<void> => {
    const fields = columns.map((name) => ({ name: name.toUpperCase(), type: name === 'user_id' ? 'long' : text }))
    const schema = recordOf(...fields)
    const record = avro.Type.forSchema(JSON.parse(JSON.stringify(schema)), { wrapUnions: false })
    const encoded = rows.map((cells) =>
      record.toBuffer(
        Object.fromEntries(
          fields.map(({ name, type }, index) => [name, type === 'long' ? Number(cells[index]) : cells[index]]),
        ),
      ),
    )
    const blocks = []
    for (let at = 0; at < encoded.length; at += rowsPerBlock) {
      const some = encoded.slice(at, at + rowsPerBlock)
      blocks.push({ rows: some.length, data: Buffer.concat(some) })
    }
    await writeFile(path, pack(avroFile({ schema, codec, blocks })))
  }
}
