import { OperatorError } from '@heapferry/domain'
import type { TableInFile, UnknownFile } from '../file-format.ts'
import { openParquet } from './open-parquet.ts'

/** @throws OperatorError or UnusableFile when its footer cannot be read, and so no row */
export async function inspectParquet({
  blob,
  path,
  compression,
}: Pick<UnknownFile, 'blob' | 'path' | 'compression'>): Promise<TableInFile[]> {
  if (compression !== 'none') {
    throw new OperatorError(
      `${path} is a Parquet file inside of ${compression}: it cannot be read without unpacking it first`,
      'Unpack it; Parquet is compressed inside.',
    )
  }
  const { columns } = await openParquet(blob)
  const names = columns.map(({ name }) => name.toLowerCase())
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new OperatorError(
      `${path}: its schema has the column "${twice}" twice, or once in upper and once in lower case`,
      'Export the table again with a name of its own for each.',
    )
  }
  const nested = columns.filter((column) => column.nested).map(({ name }) => name)
  return [
    {
      format: { kind: 'parquet' },
      columns: names,
      types: columns.map(({ type }) => type ?? null),
      firstRowByte: 0,
      notices: nested.length > 0 ? [`${path}: nested columns become lists and objects: ${nested.join(', ')}`] : [],
    },
  ]
}
