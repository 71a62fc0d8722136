import { gzipSync } from 'node:zlib'
import { Mapping } from '@heapferry/domain'
import fc from 'fast-check'
import { csv, escapedCsv, writerOf } from './row-files.ts'
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

const said = (dialect: object) => Mapping.parse({ csv: dialect })
const dialects = { fileName: 'clicks.csv', cell: orNull(quotable), runs: 60 }

sourceContract('CSV as Redshift unloads it with ESCAPE: nothing quoted, backslashes before line ends and pipes', {
  ...dialects,
  mapping: said({ delimiter: '|', quote: '', escape: '\\' }),
  write: writerOf(escapedCsv({ delimiter: '|', quotes: 'none' })),
})
sourceContract('CSV as Redshift unloads it with ADDQUOTES and ESCAPE', {
  ...dialects,
  mapping: said({ quote: '"', escape: '\\' }),
  write: writerOf(escapedCsv({ delimiter: ',', quotes: 'all' })),
})
sourceContract('CSV as Spark writes it: quotes where they are needed, backslashes before quotes', {
  ...dialects,
  mapping: said({ quote: '"', escape: '\\' }),
  write: writerOf(escapedCsv({ delimiter: ',', quotes: 'some' })),
})
sourceContract('CSV with backslashes in single quotes, and CRLF', {
  ...dialects,
  mapping: said({ quote: "'", escape: '\\' }),
  write: writerOf(escapedCsv({ delimiter: ',', quote: "'", quotes: 'all', lineEnd: '\r\n' })),
})
sourceContract('text as MySQL writes it: tabs, and \\N for null', {
  ...dialects,
  // A cell of the text "\N" is none of the null that is written so.
  cell: fc.option(fc.oneof(quotable, fc.constant('\\N')), { nil: null }),
  mapping: said({ delimiter: '\t', quote: '', escape: '\\' }),
  write: writerOf(escapedCsv({ delimiter: '\t', quotes: 'none', nullText: '\\N' })),
})
sourceContract('text as PostgreSQL copies it: letters for line ends and tabs', {
  ...dialects,
  mapping: said({ delimiter: '\t', quote: '', escape: '\\' }),
  write: writerOf(escapedCsv({ delimiter: '\t', quotes: 'none', nullText: '\\N', letters: true })),
})
sourceContract('CSV in single quotes, which are doubled in text', {
  ...dialects,
  mapping: said({ quote: "'" }),
  write: writerOf(csv({ quote: "'" })),
})
sourceContract('CSV whose rows end at a carriage return', { ...dialects, write: writerOf(csv({ lineEnd: '\r' })) })
sourceContract('CSV whose rows end in two carriage returns and a line feed', {
  ...dialects,
  write: writerOf(csv({ lineEnd: '\r\r\n' })),
})
sourceContract('CSV with a line for Excel that names the delimiter', {
  ...dialects,
  write: writerOf(csv({ delimiter: '~', prefix: 'sep=~\r\n', lineEnd: '\r\n' })),
})
for (const delimiter of ['\u0001', '~', '§', '→'])
  sourceContract(`CSV with the delimiter ${JSON.stringify(delimiter)}`, {
    ...dialects,
    runs: 30,
    mapping: said({ delimiter }),
    write: writerOf(csv({ delimiter })),
  })
sourceContract('CSV in UTF-16, as Windows writes it', {
  ...dialects,
  write: writerOf(csv({ prefix: '\uFEFF', lineEnd: '\r\n' }), asUtf16),
})
sourceContract('CSV in UTF-16 with the high byte first, packed, and without a byte order mark', {
  ...dialects,
  runs: 30,
  write: writerOf(csv(), (content) => gzipSync(asUtf16(content).swap16())),
})
sourceContract('CSV in windows-1252', {
  ...dialects,
  runs: 30,
  cell: orNull(quotable.filter((text) => !text.includes('😀'))),
  mapping: said({ encoding: 'windows-1252' }),
  write: writerOf(csv(), (content) => Buffer.from(content.toString('utf8'), 'latin1')),
})

function asUtf16(content: Buffer): Buffer {
  return Buffer.from(content.toString('utf8'), 'utf16le')
}

function orNull(text: fc.Arbitrary<string>) {
  // A cell of "\N" is null by Snowflake's convention, wherever it stands.
  return fc.option(
    text.filter((value) => value !== '\\N'),
    { nil: null },
  )
}
