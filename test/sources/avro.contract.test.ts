import fc from 'fast-check'
import { avroRows, nullFirst, nullLast, writerOf } from './row-files.ts'
import { sourceContract } from './source-contract.ts'

const cell = fc.option(
  fc.string({
    unit: fc.constantFrom('a', 'é', '😀', '\n', '"', '\0', ' ', 'x'.repeat(50)),
    minLength: 1,
    maxLength: 6,
  }),
  { nil: null },
)

sourceContract('Avro as Heap Connect writes it: snappy, null first', {
  fileName: 'clicks.avro',
  cell,
  write: writerOf(avroRows({ codec: 'snappy', text: nullFirst })),
})
sourceContract('Avro with null last, not packed', {
  fileName: 'clicks.avro',
  cell,
  write: writerOf(avroRows({ codec: 'null', text: nullLast })),
})
sourceContract('Avro packed with deflate, a row a block', {
  fileName: 'part-00000.avro',
  cell,
  write: writerOf(avroRows({ codec: 'deflate', text: nullFirst, rowsPerBlock: 1 })),
})
sourceContract('Avro packed with zstandard, all rows in one block', {
  fileName: 'clicks.avro',
  cell,
  write: writerOf(avroRows({ codec: 'zstandard', text: nullLast, rowsPerBlock: 100 })),
})
