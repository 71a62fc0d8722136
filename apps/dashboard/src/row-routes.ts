import { randomUUID } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import {
  type ExportFile,
  OperatorError,
  RejectReason,
  type RetryHold,
  type RetryHoldLedger,
  type Run,
  type Source,
  type TimelineLedger,
} from '@heapferry/domain'
import {
  conversionOf,
  convertersToShow,
  exportRejected,
  filesOf,
  groupRejected,
  isMeant,
  makeReport,
  placesOf,
  readRunStatus,
  type ReportWork,
  shownRow,
} from '@heapferry/migration'
import { openSource, type S3Options } from '@heapferry/sources'
import type { Express } from 'express'
import { z } from 'zod'
import { onlyOperators, visitorOf } from './access.ts'
import type { FindRun } from './find-run.ts'
import { type Meant, rejectedPage, retryQuestion, rowPage } from './rejected-page.ts'
import { reportPage } from './report-page.ts'
import { type SampledTable, samplesPage } from './samples-page.ts'
import { refuse, send } from './send.ts'

export interface RowRoutes {
  ledger: ReportWork['ledger'] & Parameters<typeof readRunStatus>[1] & RetryHoldLedger
  s3: S3Options
  version: string
  /** Sends rejected rows again; null where this dashboard has no key to send with. */
  retry: ((hold: RetryHold, meant: Meant) => void) | null
  findRun: FindRun
}

const MeantQuery = z.object({ table: z.string().optional(), reason: RejectReason.optional() })
const RowQuery = z.object({
  file: z.string(),
  row: z.coerce.number().int().positive(),
  byte: z.coerce.number().int().nonnegative(),
})
const sampledRows = 3
const toldAgainMs = 600_000

/** What shows rows of an export, which only operators may see, and what is made from rejected ones. */
export function addRowRoutes(app: Express, routes: RowRoutes): void {
  addRejectedRoutes(app, routes)
  addSamplesRoute(app, routes)
  addReportRoute(app, routes)
  addRetryRoutes(app, routes)
}

function addRejectedRoutes(app: Express, { ledger, s3, retry, findRun }: RowRoutes): void {
  const within = exportOpener(s3)

  app.get('/runs/:id/rejected', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const paths = new Map((await ledger.files(run.id)).map((file) => [file.id, file.path]))
    const groups = await groupRejected(ledger.rejectedRows(run.id), (file) => paths.get(file) ?? file)
    send(response, rejectedPage(run, groups, { visitor: visitorOf(response), retriable: retry !== null }))
  })

  app.get('/runs/:id/rejected/row', onlyOperators, async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const asked = RowQuery.safeParse(query)
    // Only files of the run are opened, whatever the address says.
    const file = asked.success ? (await ledger.files(run.id)).find(({ path }) => path === asked.data.file) : undefined
    if (!asked.success || !file)
      throw new OperatorError('There is no such row', 'Open it from the list of rejected rows.')
    const { row, byte } = asked.data
    await within(run, async (source) => {
      for await (const found of source.rowsAt(file, [{ row, byte }])) {
        const shown = shownRow(found.row, file.table, run.mapping)
        send(response, rowPage(run, { file: file.path, row }, shown, found.text))
      }
    })
  })

  app.get('/runs/:id/rejected.csv', onlyOperators, async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const meant = MeantQuery.parse(query)
    const places = await placesOf(ledger.rejectedRows(run.id), meant)
    const files = filesOf(places, await ledger.files(run.id))
    await within(run, async (source) => {
      const [table] = exportRejected(places, files, { run: run.id, ledger, source })
      if (!table) throw new OperatorError('There are no such rejected rows', 'Look at the list of rejected rows.')
      await recordDownload(ledger, run, { what: 'rejected_rows', by: visitorOf(response).name, table: meant.table })
      response.attachment(`rejected-${run.id}.csv`).type('csv')
      await pipeline(Readable.from(table.lines), response)
    })
  })
}

function addSamplesRoute(app: Express, { ledger, s3, findRun }: RowRoutes): void {
  const within = exportOpener(s3)

  app.get('/runs/:id/samples', onlyOperators, async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const files = await ledger.files(run.id)
    await within(run, async (source) => send(response, samplesPage(run, await samplesOf(run, files, source))))
  })
}

function addReportRoute(app: Express, { ledger, version, findRun }: RowRoutes): void {
  app.get('/runs/:id/report.:format', async ({ params: { id, format } }, response, next) => {
    if (format !== 'html' && format !== 'json') return next()
    const run = await findRun(id, response)
    if (run === null) return
    const status = await readRunStatus(run.id, ledger)
    const report = await makeReport(run, { ledger, status, version, nowMs: Date.now(), source: null })
    await recordDownload(ledger, run, { what: 'report', by: visitorOf(response).name })
    response.attachment(`report-${run.id}.${format}`)
    if (format === 'json') response.json(report)
    else response.type('html').send(reportPage(report))
  })
}

function addRetryRoutes(app: Express, { ledger, retry, findRun }: RowRoutes): void {
  app.get('/runs/:id/retry', onlyOperators, async ({ params: { id }, query }, response, next) => {
    if (retry === null) return next()
    const run = await findRun(id, response)
    if (run !== null) send(response, retryQuestion(run, MeantQuery.parse(query)))
  })

  app.post('/runs/:id/retry', onlyOperators, async ({ params: { id }, query }, response, next) => {
    if (retry === null) return next()
    const run = await findRun(id, response)
    if (run === null) return
    const meant = MeantQuery.parse(query)
    for await (const row of ledger.rejectedRows(run.id)) {
      if (!isMeant(row, meant)) continue
      // Taken before the process is there that is to have it: two who ask at once would else both be told yes.
      const hold = { run: run.id, token: randomUUID() }
      const other = await ledger.takeRetry(hold, visitorOf(response).name, meant)
      if (other !== null) {
        const since = new Date(other.sinceMs).toISOString().slice(11, 19)
        const text = `${other.by} retries rows of ${run.id} since ${since} UTC. One at a time: ask again when that has ended.`
        return refuse(response, 409, 'A retry is under way', text)
      }
      retry(hold, meant)
      response.redirect(303, `/runs/${run.id}`)
      return
    }
    throw new OperatorError('There are no such rejected rows any more', 'Look at the list of rejected rows.')
  })
}

/** Opens what a run reads from, for as long as it is used. */
function exportOpener(s3: S3Options) {
  return async <T>(run: Run, use: (source: Source) => Promise<T>): Promise<T> => {
    const source = await openSource(run.root, s3)
    try {
      return await use(source)
    } finally {
      source.close()
    }
  }
}

interface Download {
  what: 'report' | 'rejected_rows'
  by: string
  /** Whose rows; absent where it is not one table's. */
  table?: string | undefined
}

/** Who repeats a download soon is told once: the timeline is bounded, and no one shall push its older entries out. */
async function recordDownload(ledger: TimelineLedger, run: Run, { what, by, table }: Download): Promise<void> {
  const atMs = await ledger.nowMs()
  const isKnown = (await ledger.timeline(run.id)).some((entry) => {
    if (entry.kind !== 'downloaded' || atMs - entry.atMs > toldAgainMs) return false
    return entry.what === what && entry.by === by && entry.table === table
  })
  if (isKnown) return
  await ledger.record(run.id, { kind: 'downloaded', atMs, by, what, ...(table !== undefined && { table }) })
}

async function samplesOf(run: Run, files: readonly ExportFile[], source: Source): Promise<SampledTable[]> {
  const converterFor = convertersToShow(run)
  const oneOfEach = new Map(files.map((file) => [file.table.name, file]))
  const tables: SampledTable[] = []
  for (const file of oneOfEach.values()) {
    const table = { table: file.table.name, file: file.path }
    try {
      const { rows } = await source.sample(file, sampledRows)
      const shown = rows.slice(0, sampledRows).map((row) => ({
        row: shownRow(row, file.table, run.mapping),
        conversion: conversionOf(row, file.table, converterFor),
      }))
      tables.push({ ...table, rows: shown, fault: shown.length === 0 ? 'The file has no rows.' : null })
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      tables.push({ ...table, rows: [], fault: `${error.message}. ${error.hint}` })
    }
  }
  return tables.toSorted((a, b) => (a.table < b.table ? -1 : 1))
}
