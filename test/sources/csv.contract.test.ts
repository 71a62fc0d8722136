import { Mapping } from '@heapferry/domain'
import fc from 'fast-check'
import { csv, writerOf } from './row-files.ts'
import { type Rows, sourceContract } from './source-contract.ts'

const hard = fc.constantFrom(
  '\n',
  '\r\n',
  '"',
  ',',
  '|',
  '\t',
  'é',
  '😀',
  'a',
  ' ',
  '\\',
  "'",
  '5" nail',
  'x'.repeat(50),
)
const quotable = fc.array(hard, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''))
const plain = fc
  .string({ unit: fc.constantFrom('a', 'é', '😀', '"', ' ', ';'), minLength: 1, maxLength: 9 })
  .map((text) => `x${text}`)

const upperCase = (rows: Rows): Rows => ({ ...rows, columns: rows.columns.map((column) => column.toUpperCase()) })

sourceContract('CSV as BigQuery writes it', { fileName: 'clicks.csv', cell: orNull(quotable), write: writerOf(csv()) })
sourceContract('CSV with CRLF and a byte order mark', {
  fileName: 'clicks.csv',
  cell: orNull(quotable),
  write: writerOf(csv({ lineEnd: '\r\n', prefix: '\uFEFF' })),
})
sourceContract('CSV as Snowflake writes it: upper-case header, every cell quoted, \\N for null', {
  fileName: 'CLICKS.csv',
  cell: orNull(quotable),
  write: writerOf((rows) => csv({ quoteAll: true, nullText: '\\N' })(upperCase(rows))),
})
sourceContract('pipes, as Redshift unloads: no header, no quotes, no extension', {
  fileName: 'clicks0000_part_00',
  cell: orNull(plain),
  mapping: Mapping.parse({
    csv: { delimiter: '|', quote: '' },
    tables: { clicks: { columns: ['user_id', 'time', 'text', 'more'] } },
  }),
  write: writerOf(csv({ delimiter: '|', header: false, unquoted: true })),
})
sourceContract('tabs', { fileName: 'clicks.tsv', cell: orNull(quotable), write: writerOf(csv({ delimiter: '\t' })) })

function orNull(text: fc.Arbitrary<string>) {
  // A cell of "\N" is null by Snowflake's convention, wherever it stands.
  return fc.option(
    text.filter((value) => value !== '\\N'),
    { nil: null },
  )
}
