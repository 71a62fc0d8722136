import { OperatorError } from '@heapferry/domain'
import type { TableInFile, UnknownFile } from '../file-format.ts'
import { declaredType } from './compile-schema.ts'
import { readContainer } from './read-container.ts'

/** @throws OperatorError or UnusableFile when no row can be read from the file */
export async function inspectAvro({ content, path }: Pick<UnknownFile, 'content' | 'path'>): Promise<TableInFile[]> {
  const container = await readContainer(content)
  const columns = container.columns.map(({ name }) => name)
  const twice = columns.find((column, index) => columns.indexOf(column) !== index)
  if (twice !== undefined) {
    throw new OperatorError(
      `${path}: its schema has the column "${twice}" twice, in upper and lower case`,
      'Export the table again with a name of its own for each.',
    )
  }
  const nested = columns.filter((_, index) => container.columns[index]?.nested)
  return [
    {
      format: { kind: 'avro' },
      columns,
      types: container.columns.map(({ kind }) => declaredType(kind) ?? null),
      firstRowByte: container.firstBlockByte,
      notices: nested.length > 0 ? [`${path}: nested columns become lists and objects: ${nested.join(', ')}`] : [],
    },
  ]
}
