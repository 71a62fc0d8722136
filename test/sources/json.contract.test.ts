import { Mapping } from '@heapferry/domain'
import fc from 'fast-check'
import { json, jsonArray, jsonLines, writerOf } from './row-files.ts'
import { sourceContract } from './source-contract.ts'

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

sourceContract('JSON lines', { fileName: 'clicks.jsonl', cell, write: writerOf(json(jsonLines)) })
sourceContract('JSON lines with CRLF, a byte order mark, blank lines, and empty text for null', {
  fileName: 'clicks.json',
  cell,
  write: writerOf(json((objects) => `\uFEFF${objects.map((object) => `${object}\r\n \r\n\n`).join('')}`, '')),
})
sourceContract('JSON lines with the backslashes of COPY', {
  fileName: 'clicks.ndjson',
  cell,
  mapping: Mapping.parse({ json: { undouble: 'always' } }),
  write: writerOf(json((objects) => jsonLines(objects.map(doubled)))),
})
sourceContract('a JSON array in one line', {
  fileName: 'clicks.json',
  cell,
  write: writerOf(json((objects) => `[${objects.join(',')}]`)),
})
sourceContract('a JSON array with an element a line', {
  fileName: 'clicks.json',
  cell,
  write: writerOf(json(jsonArray)),
})
sourceContract('a JSON array with commas in front', {
  fileName: 'clicks.json',
  cell,
  write: writerOf(json((objects) => `[${objects.join(' \n, ')}]`)),
})
sourceContract('a JSON array, pretty-printed', {
  fileName: 'clicks.json',
  cell,
  write: writerOf(
    json((objects) =>
      JSON.stringify(
        objects.map((object): unknown => JSON.parse(object)),
        null,
        2,
      ),
    ),
  ),
})
sourceContract('a JSON array with the backslashes of COPY', {
  fileName: 'clicks.json',
  cell,
  mapping: Mapping.parse({ json: { undouble: 'always' } }),
  write: writerOf(json((objects) => `[${objects.map(doubled).join(', ')}]`)),
})

function doubled(object: string): string {
  return object.replaceAll('\\', '\\\\')
}
