import type { CsvDialect } from '@heapferry/domain'
import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { finderOf } from '../../packages/sources/src/formats/csv/finder-of.ts'
import { parseRows } from '../../packages/sources/src/formats/csv/parse-rows.ts'
import { scanRows } from '../../packages/sources/src/formats/text/scan-rows.ts'
import { tries } from '../support/tries.ts'

test.each<CsvDialect>([
  { delimiter: ',', quote: '"' },
  { delimiter: ';', quote: '"' },
  { delimiter: '\t', quote: "'" },
  { delimiter: '|', quote: "'" },
])('cells of a row that is well quoted by %j are those that csv-parse finds, whatever they hold', async (dialect) => {
  let wellQuoted = 0
  await fc.assert(
    fc.asyncProperty(textOf(dialect), async (text) => {
      for (const { cells, text: row } of await readRows(text, dialect)) {
        const found = byCsvParse(row, dialect)
        // Whether there are as many cells as columns is not asked of either.
        expect(cells).toEqual(found?.map((cell) => (cell === '' || cell === '\\N' ? null : cell)) ?? null)
        wellQuoted++
      }
    }),
    { numRuns: tries(5000) },
  )
  expect(wellQuoted).toBeGreaterThan(0)
})

/** The rows with quoted cells, and the text of each without its line end. */
async function readRows(text: string, dialect: CsvDialect) {
  const bytes = Buffer.from(text)
  const rows: { cells: readonly (string | null)[] | null; text: string }[] = []
  const limits = { rows: 1000, bytes: 1_000_000 }
  const scanned = scanRows(blocks(bytes), { start: 0, finder: finderOf(dialect), group: limits })
  for await (const group of scanned) {
    for (const span of group.spans.filter(({ state }) => state === 'quoted')) {
      const row = bytes.toString('utf8', span.start, span.end).replace(/\r*\n?$/, '')
      const columns = (byCsvParse(row, dialect) ?? []).map((_, nth) => `column_${nth}`)
      const [read] = parseRows({ ...group, spans: [span] }, 1, dialect, columns)
      rows.push({ cells: read?.kind === 'row' ? read.values : null, text: row })
    }
  }
  return rows
}

async function* blocks(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield bytes
}

function byCsvParse(text: string, { delimiter, quote }: CsvDialect): string[] | null {
  try {
    const records: string[][] = parse(text, {
      delimiter,
      quote,
      escape: quote,
      record_delimiter: '\n',
      relax_column_count: true,
      relax_quotes: true,
    })
    return records.length === 1 ? (records[0] ?? null) : null
  } catch {
    return null
  }
}

/** Rows of cells that are quoted, or look as if they were, and pieces of such. */
function textOf({ delimiter, quote }: CsvDialect): fc.Arbitrary<string> {
  const piece = fc.constantFrom(quote, quote + quote, delimiter, 'a', 'é', '😀', ' ', '\r', '\n', '\\', '\\N', '\0', '')
  const garbage = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
  const quoted = garbage.map((text) => quote + text.replaceAll(quote, quote + quote) + quote)
  const cell = fc.oneof({ arbitrary: quoted, weight: 3 }, { arbitrary: garbage, weight: 1 })
  const row = fc.array(cell, { minLength: 1, maxLength: 5 }).map((cells) => cells.join(delimiter))
  const lineEnd = fc.constantFrom('\n', '\r\n', '\r\r\n')
  return fc.array(fc.tuple(row, lineEnd), { maxLength: 4 }).map((rows) => rows.flat().join(''))
}
