import { type Format, OperatorError } from '@heapferry/domain'
import type { Content } from '../../unpacking/content.ts'
import { type Container, readContainer } from './read-container.ts'
import { withPath } from '../../unusable-file.ts'

/** @throws OperatorError when no row can be read from the file */
export async function inspectAvro(
  content: Content,
  path: string,
): Promise<{ format: Format; columns: string[]; firstRowByte: number; notices: string[] }> {
  const container = await containerOf(content, path)
  const columns = container.columns.map(({ name }) => name)
  const twice = columns.find((column, index) => columns.indexOf(column) !== index)
  if (twice !== undefined) {
    throw new OperatorError(
      `${path}: its schema has the column "${twice}" twice, in upper and lower case`,
      'Export the table again with a name of its own for each.',
    )
  }
  const nested = columns.filter((_, index) => container.columns[index]?.nested)
  return {
    format: { kind: 'avro' },
    columns,
    firstRowByte: container.firstBlockByte,
    notices: nested.length > 0 ? [`${path}: nested columns become JSON text: ${nested.join(', ')}`] : [],
  }
}

async function containerOf(content: Content, path: string): Promise<Container> {
  try {
    return await readContainer(content)
  } catch (error) {
    throw withPath(path, error)
  }
}
