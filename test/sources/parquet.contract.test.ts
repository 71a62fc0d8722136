import { writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { type ParquetWriteOptions, parquetWriteBuffer } from 'hyparquet-writer'
import { type Rows, sourceContract } from './source-contract.ts'

const cell = fc.option(
  fc.string({
    unit: fc.constantFrom('a', 'é', '😀', '\n', '"', '\0', ' ', 'x'.repeat(50)),
    minLength: 1,
    maxLength: 6,
  }),
  { nil: null },
)

sourceContract('Parquet in many small row groups', {
  fileName: 'clicks.parquet',
  cell,
  write: writer({ rowGroupSize: 3 }),
})
sourceContract('Parquet in one row group of many small pages', {
  fileName: 'clicks.parquet',
  cell,
  write: writer({ rowGroupSize: 1000, pageSize: 60, encoding: 'PLAIN' }),
})
sourceContract('Parquet in one row group with dictionaries', {
  fileName: 'part-00000.parquet',
  // So few that a dictionary pays.
  cell: fc.constantFrom(null, 'one', 'two', 'x'.repeat(300)),
  write: writer({ rowGroupSize: 1000, pageSize: 60 }),
})
sourceContract('Parquet in pages whose values build on each other, packed with gzip', {
  fileName: 'clicks.parquet',
  cell,
  write: writer({
    rowGroupSize: 20,
    pageSize: 100,
    encoding: 'DELTA_BYTE_ARRAY',
    codec: 'GZIP',
    compressors: { GZIP: (bytes) => gzipSync(bytes) },
  }),
})
interface Style extends Pick<ParquetWriteOptions, 'rowGroupSize' | 'pageSize' | 'codec' | 'compressors'> {
  encoding?: 'PLAIN' | 'DELTA_BYTE_ARRAY'
}

function writer({ encoding, ...options }: Style) {
  return async (path: string, { columns, rows }: Rows): Promise<void> => {
    // Heap's warehouses write no index of pages, without which a page is only found by way of those before it.
    const offsetIndex = false
    const columnData = columns.map((column, index) => {
      const name = column.toUpperCase()
      const cells = rows.map((row) => row[index] ?? null)
      if (column === 'user_id')
        return { name, type: 'INT64' as const, data: cells.map((id) => id && BigInt(id)), offsetIndex }
      return { name, type: 'STRING' as const, data: cells, offsetIndex, ...(encoding && { encoding }) }
    })
    await writeFile(path, Buffer.from(parquetWriteBuffer({ ...options, columnData })))
  }
}
