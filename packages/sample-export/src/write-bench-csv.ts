import { createCsvFile, plainDialect } from './csv-file.ts'
import { visitOf } from './people.ts'
import { seededRandom } from './random.ts'
import { benchColumns, pageCells, visitCells } from './rows.ts'
import type { Row } from './traps.ts'

const pagesPerVisit = 20

const quotedTitles = [
  'Pricing, plans and limits',
  'The "best" app, they say',
  'Two lines,\nfor the parser to mind',
] as const

/** Long enough for the size of rows that exports of large sites have, and without a comma that would need quotes. */
const longCells = {
  landing_page_query:
    '?utm_source=google&utm_medium=cpc&utm_campaign=brand_us_2025&gclid=Cj0KCQiAtaOtBhCwARIsAN_x-3KxT8mPzv5w4QyR2b7eLhJd',
  referrer: 'https://www.google.com/search?q=cool+app+pricing&sourceid=chrome&ie=UTF-8',
  user_agent:
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML like Gecko) Chrome/121.0.0.0 Safari/537.36',
}

/** What is quoted here is quoted in several cells of a row. */
const quotedPages = [
  '/search?q="cool app", "pricing"',
  '{"from": "newsletter", "issue": "12, 13"}',
  'one line\nand "another"',
] as const

/**
 * One file of pageviews to measure with: 25 columns, about 590 bytes a row, at least every fourth row with a quoted cell and
 * every twelfth with a line break in it. Nothing is wrong with any row; ids are unique.
 * @param options quoted: every second row has two quoted cells, with doubled quotes in most and line breaks in many
 */
export async function writeBenchCsv(
  path: string,
  options: { rows: number; seed: number; quoted?: boolean },
): Promise<{ bytes: number }> {
  const { rows, seed, quoted = false } = options
  const visits = Math.max(1, Math.ceil(rows / pagesPerVisit))
  const people = Math.max(1, Math.ceil(rows / 50))
  const random = seededRandom(seed, 'bench')
  const file = await createCsvFile(path, {
    columns: benchColumns,
    dialect: plainDialect,
    traps: [],
    textColumn: 'title',
    nowMs: undefined,
    random,
  })
  for (let index = 0; index < visits; index++) {
    const pageviews = Math.min(pagesPerVisit, rows - index * pagesPerVisit)
    const visit = visitOf(seed, index, { people, visits, pageviews })
    const cells = visitCells(visit)
    for (const at of visit.pages.slice(0, pageviews)) {
      const row: Row = { ...cells, ...pageCells(visit, at), ...longCells, event_id: random.id() }
      const every = quoted ? 2 : 4
      if (file.rows % every === 0) {
        const nth = (file.rows / every) % 3
        row['title'] = quotedTitles[nth] ?? quotedTitles[0]
        if (quoted) row['heap_previous_page'] = quotedPages[nth] ?? quotedPages[0]
      }
      file.write(row, at.atMs)
    }
    await file.drain()
  }
  await file.close()
  return { bytes: file.bytes }
}
