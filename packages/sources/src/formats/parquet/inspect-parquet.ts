import { type Format, OperatorError } from '@heapferry/domain'
import { UnusableFile } from '../../unusable-file.ts'
import type { Blob } from '../../places/blob.ts'
import { openParquet, type ParquetFile } from './open-parquet.ts'

/** @throws OperatorError when its footer cannot be read, and so no row */
export async function inspectParquet(
  blob: Blob,
  path: string,
): Promise<{ format: Format; columns: string[]; firstRowByte: number; notices: string[] }> {
  const { columns } = await openNamed(blob, path)
  const names = columns.map(({ name }) => name.toLowerCase())
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new OperatorError(
      `${path}: its schema has the column "${twice}" twice, or once in upper and once in lower case`,
      'Export the table again with a name of its own for each.',
    )
  }
  const nested = columns.filter((column) => column.nested).map(({ name }) => name)
  return {
    format: { kind: 'parquet' },
    columns: names,
    firstRowByte: 0,
    notices: nested.length > 0 ? [`${path}: nested columns become JSON text: ${nested.join(', ')}`] : [],
  }
}

async function openNamed(blob: Blob, path: string): Promise<ParquetFile> {
  try {
    return await openParquet(blob)
  } catch (error) {
    if (!(error instanceof UnusableFile)) throw error
    throw new OperatorError(`${path}: ${error.message}`, error.hint, { cause: error })
  }
}
