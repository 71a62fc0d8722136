import { writeFile } from 'node:fs/promises'
import { Mapping } from '@heapferry/domain'
import fc from 'fast-check'
import { type Rows, sourceContract } from './source-contract.ts'

const hard = fc.constantFrom(
  '\n',
  '\r\n',
  '"',
  '\\',
  '\\"',
  '{',
  '}',
  '},{',
  '[',
  ']',
  ',',
  ':',
  '\t',
  'é',
  '😀',
  '\u2028',
  'a',
  ' ',
  '9007199254740993',
  'x'.repeat(50),
)
const text = fc.array(hard, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''))
const cell = fc.option(text, { nil: null })

const lines = (objects: string[]) => objects.map((object) => `${object}\n`).join('')

sourceContract('JSON lines', { fileName: 'clicks.jsonl', cell, write: writer(lines) })
sourceContract('JSON lines with CRLF, a byte order mark, blank lines, and empty text for null', {
  fileName: 'clicks.json',
  cell,
  write: writer((objects) => `\uFEFF${objects.map((object) => `${object}\r\n \r\n\n`).join('')}`, { nullText: '' }),
})
sourceContract('JSON lines with the backslashes of COPY', {
  fileName: 'clicks.ndjson',
  cell,
  mapping: Mapping.parse({ json: { undouble: 'always' } }),
  write: writer((objects) => lines(objects.map(doubled))),
})
sourceContract('a JSON array in one line', {
  fileName: 'clicks.json',
  cell,
  write: writer((objects) => `[${objects.join(',')}]`),
})
sourceContract('a JSON array with an element a line', {
  fileName: 'clicks.json',
  cell,
  write: writer((objects) => `[\n${objects.join(',\n')}\n]\n`),
})
sourceContract('a JSON array with commas in front', {
  fileName: 'clicks.json',
  cell,
  write: writer((objects) => `[${objects.join(' \n, ')}]`),
})
sourceContract('a JSON array, pretty-printed', {
  fileName: 'clicks.json',
  cell,
  write: writer((objects) =>
    JSON.stringify(
      objects.map((object): unknown => JSON.parse(object)),
      null,
      2,
    ),
  ),
})
sourceContract('a JSON array with the backslashes of COPY', {
  fileName: 'clicks.json',
  cell,
  mapping: Mapping.parse({ json: { undouble: 'always' } }),
  write: writer((objects) => `[${objects.map(doubled).join(', ')}]`),
})

function writer(textOf: (objects: string[]) => string, { nullText = null }: { nullText?: string | null } = {}) {
  return async (file: string, { columns, rows }: Rows): Promise<void> => {
    const objects = rows.map((row) =>
      JSON.stringify(Object.fromEntries(columns.map((column, index) => [column, row[index] ?? nullText]))),
    )
    await writeFile(file, textOf(objects))
  }
}

function doubled(json: string): string {
  return json.replaceAll('\\', '\\\\')
}
