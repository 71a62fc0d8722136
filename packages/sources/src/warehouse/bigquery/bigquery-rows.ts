import { OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import { ResultGone } from '../warehouse.ts'
import type { BigqueryApi } from './bigquery-api.ts'
import { isNotThere } from './bigquery-fault.ts'
import { Count } from './bigquery-jobs.ts'

/** All cells are text, with all their digits; of lists and records they are objects. */
export type BigqueryRow = readonly unknown[]

const Page = z.object({
  totalRows: Count,
  rows: z.array(z.object({ f: z.array(z.object({ v: z.unknown() })) })).optional(),
})

// Some megabytes of JSON; BigQuery hands out no more than 10 MB or so at a time.
const pageRows = 5000
// Each page takes its time, but they do not wait for one another.
const pagesAtATime = 4

/** How many rows a table, or the result of a query, has. */
export async function totalOf(api: BigqueryApi, rowsPath: string): Promise<number> {
  const { totalRows } = await api.get(pathOf(rowsPath, { maxResults: '0' }), Page)
  return totalRows
}

/**
 * Rows of what never changes, in its order: from the one (inclusive, 0 is the first) to the other (exclusive).
 * @param rowsPath below `projects/`: the rows of a table, or of the result of a query
 * @throws ResultGone when it is there no more
 */
export async function* readRows(
  api: BigqueryApi,
  rowsPath: string,
  { from, until }: { from: number; until: number },
): AsyncGenerator<BigqueryRow[]> {
  const ahead: Promise<BigqueryRow[]>[] = []
  for (let at = from; at < until || ahead.length > 0; ) {
    while (at < until && ahead.length < pagesAtATime) {
      const page = readSpan(api, rowsPath, { from: at, until: Math.min(at + pageRows, until) })
      // Somebody awaits it, but later.
      page.catch(() => {})
      ahead.push(page)
      at += pageRows
    }
    const next = await ahead.shift()
    if (next) yield next
  }
}

/** BigQuery may hand out fewer rows than it is asked for. */
async function readSpan(
  api: BigqueryApi,
  rowsPath: string,
  { from, until }: { from: number; until: number },
): Promise<BigqueryRow[]> {
  const rows: BigqueryRow[] = []
  while (from + rows.length < until) {
    const wanted = until - from - rows.length
    const page = await pageAt(api, rowsPath, from + rows.length, wanted)
    const got = page.rows ?? []
    // An answer without rows looks like the end: only the number tells.
    if (got.length === 0 || got.length > wanted || page.totalRows < until)
      throw new OperatorError(
        `BigQuery counts ${page.totalRows} rows of a result, and handed out ${got.length} of the ${wanted} from row ${from + rows.length}`,
        'Nothing of them was taken. Start the same command again; if it is the same then, tell the maintainers of heapferry.',
      )
    for (const { f } of got) rows.push(f.map(({ v }) => v))
  }
  return rows
}

async function pageAt(api: BigqueryApi, rowsPath: string, startIndex: number, maxResults: number) {
  const path = pathOf(rowsPath, {
    startIndex: String(startIndex),
    maxResults: String(maxResults),
    // Otherwise times are floating-point seconds.
    'formatOptions.useInt64Timestamp': 'true',
  })
  try {
    return await api.get(path, Page)
  } catch (error) {
    if (isNotThere(error)) throw goneOf(error)
    throw error
  }
}

/** What a query gave was deleted, or was kept for no longer. */
export function goneOf(cause: unknown): ResultGone {
  return new ResultGone(
    'BigQuery has the result of its query no more',
    'It keeps one for 24 hours, in HEAPFERRY_BIGQUERY_SCRATCH for a week. Start the same command again: that table is queried again, and what is unloaded of others stays.',
    { cause },
  )
}

function pathOf(rowsPath: string, query: Record<string, string>): string {
  return `${rowsPath}${rowsPath.includes('?') ? '&' : '?'}${new URLSearchParams(query).toString()}`
}
