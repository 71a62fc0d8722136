import { writeFile } from 'node:fs/promises'
import { Mapping } from '@heapferry/domain'
import fc from 'fast-check'
import { sourceContract, type Rows } from './source-contract.ts'

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

sourceContract('CSV as BigQuery writes it', { fileName: 'clicks.csv', cell: orNull(quotable), write: writer({}) })
sourceContract('CSV with CRLF and a byte order mark', {
  fileName: 'clicks.csv',
  cell: orNull(quotable),
  write: writer({ lineEnd: '\r\n', prefix: '\uFEFF' }),
})
sourceContract('CSV as Snowflake writes it: upper-case header, every cell quoted, \\N for null', {
  fileName: 'CLICKS.csv',
  cell: orNull(quotable),
  write: (file, rows) => writer({ quoteAll: true, nullText: '\\N' })(file, upperCase(rows)),
})
sourceContract('pipes, as Redshift unloads: no header, no quotes, no extension', {
  fileName: 'clicks0000_part_00',
  cell: orNull(plain),
  mapping: Mapping.parse({
    csv: { delimiter: '|', quote: '' },
    tables: { clicks: { columns: ['user_id', 'time', 'text', 'more'] } },
  }),
  write: writer({ delimiter: '|', header: false, unquoted: true }),
})
sourceContract('tabs', { fileName: 'clicks.tsv', cell: orNull(quotable), write: writer({ delimiter: '\t' }) })

interface Style {
  delimiter?: string
  lineEnd?: string
  prefix?: string
  quoteAll?: boolean
  unquoted?: boolean
  nullText?: string
  header?: boolean
}

function writer(style: Style) {
  const { delimiter = ',', lineEnd = '\n', prefix = '', quoteAll, unquoted, nullText = '', header = true } = style
  const cellText = (cell: string | null): string => {
    if (cell === null) return nullText
    const needsQuotes = quoteAll || /["\r\n]/.test(cell) || cell.includes(delimiter)
    return needsQuotes && !unquoted ? `"${cell.replaceAll('"', '""')}"` : cell
  }
  return async (file: string, { columns, rows }: Rows): Promise<void> => {
    const lines = [...(header ? [columns] : []), ...rows].map((cells) => cells.map(cellText).join(delimiter) + lineEnd)
    await writeFile(file, prefix + lines.join(''))
  }
}

function orNull(text: fc.Arbitrary<string>) {
  // A cell of "\N" is null by Snowflake's convention, wherever it stands.
  return fc.option(
    text.filter((value) => value !== '\\N'),
    { nil: null },
  )
}
