import { randomUUID } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import type { Logger } from '@heapferry/config'
import {
  type ExportFile,
  OperatorError,
  RejectReason,
  type RetryHold,
  type RetryHoldLedger,
  type Run,
  type Source,
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
  type RejectedGroup,
  type ReportWork,
  shownRow,
} from '@heapferry/migration'
import { openRunSource, type S3Options } from '@heapferry/sources'
import type { Express, Response } from 'express'
import { z } from 'zod'
import { onlyOperators, type Visitor, visitorOf } from './access.ts'
import type { FindRun } from './find-run.ts'
import type { LiveHub } from './live-hub.ts'
import { liveOf } from './page.ts'
import { type Meant, rejectedPage, type Retries, retriesOf, retryQuestion, rowPage } from './rejected-page.ts'
import { reportPage } from './report-page.ts'
import { type SampledTable, samplesPage } from './samples-page.ts'
import { refuse, send } from './send.ts'

export interface RowRoutes {
  ledger: ReportWork['ledger'] & Parameters<typeof readRunStatus>[1] & RetryHoldLedger
  logger: Logger
  hub: LiveHub
  s3: S3Options
  /** Where producers leave what a run may read: a folder, or `s3://bucket/prefix`. */
  store: string
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

function addRejectedRoutes(app: Express, { ledger, logger, hub, s3, store, retry, findRun }: RowRoutes): void {
  const within = exportOpener({ s3, store })

  const groupsOf = async (run: Run): Promise<RejectedGroup[]> => {
    const paths = new Map((await ledger.files(run.id)).map((file) => [file.id, file.path]))
    return groupRejected(ledger.rejectedRows(run.id), (file) => paths.get(file) ?? file)
  }
  const retriesNow = async (run: Run): Promise<Retries> => {
    const [underWay, timeline, nowMs] = await Promise.all([
      ledger.retryUnderWay(run.id),
      ledger.timeline(run.id),
      ledger.nowMs(run.id),
    ])
    return retriesOf(timeline, underWay, nowMs)
  }
  const offersRetry = retry !== null

  app.get('/runs/:id/rejected', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const [groups, retries] = [await groupsOf(run), await retriesNow(run)]
    send(response, rejectedPage(run, groups, { visitor: visitorOf(response), retries, offersRetry }))
  })

  app.get('/live/runs/:id/rejected', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const visitor = visitorOf(response)
    const seldom = notTooOften(async () => groupsOf(run))
    hub.join(`/runs/${run.id}/rejected ${visitor.role}`, response, async () => {
      const retries = await retriesNow(run)
      const groups = retries.underWay === null ? await groupsOf(run) : await seldom()
      return liveOf(rejectedPage(run, groups, { visitor, retries, offersRetry }), null)
    })
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
        const conversion = conversionOf(found.row, file.table, convertersToShow(run))
        send(response, rowPage(run, file.path, { row: shown, conversion, text: found.text }))
      }
    })
  })

  app.get('/runs/:id/rejected.csv', onlyOperators, async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const meant = meantBy(query, response)
    if (meant === null) return
    const places = await placesOf(ledger.rejectedRows(run.id), meant)
    const files = filesOf(places, await ledger.files(run.id))
    await within(run, async (source) => {
      const [table] = exportRejected(places, files, { run: run.id, ledger, source })
      if (!table) throw new OperatorError('There are no such rejected rows', 'Look at the list of rejected rows.')
      const lines = await begun(table.lines)
      await recordDownload({ ledger, logger }, run, {
        what: 'rejected_rows',
        by: visitorOf(response),
        table: meant.table,
      })
      response.attachment(`rejected-${run.id}.csv`).type('csv')
      await pipeline(Readable.from(lines), response)
    })
  })
}

/** What takes long, as with a million rejected rows, is made again no sooner than after ten times as long. */
function notTooOften<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  let againAtMs = 0
  return () => {
    const startedMs = performance.now()
    if (made !== undefined && startedMs < againAtMs) return made
    againAtMs = Number.POSITIVE_INFINITY
    made = make().finally(() => {
      againAtMs = startedMs + 10 * (performance.now() - startedMs)
    })
    return made
  }
}

/** The same lines. Those that show whether the export can be read have come by then: what is wrong can still be told. */
async function begun(lines: AsyncIterable<string>): Promise<AsyncIterable<string>> {
  const iterator = lines[Symbol.asyncIterator]()
  const first = [await iterator.next(), await iterator.next()].flatMap(({ done, value }) => (done ? [] : [value]))
  return (async function* () {
    yield* first
    yield* { [Symbol.asyncIterator]: () => iterator }
  })()
}

function addSamplesRoute(app: Express, { ledger, s3, store, findRun }: RowRoutes): void {
  const within = exportOpener({ s3, store })

  app.get('/runs/:id/samples', onlyOperators, async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const oneOfEach = new Map((await ledger.files(run.id)).map((file) => [file.table.name, file]))
    const tables = [...oneOfEach.keys()].toSorted()
    const asked = typeof query['table'] === 'string' ? query['table'] : tables[0]
    const file = asked === undefined ? undefined : oneOfEach.get(asked)
    if (file === undefined) {
      throw new OperatorError(
        asked === undefined ? 'No table has been planned yet' : 'The run has no such table',
        'See the page of the run.',
      )
    }
    await within(run, async (source) => send(response, samplesPage(run, tables, await sampleOf(run, file, source))))
  })
}

function addReportRoute(app: Express, { ledger, logger, version, findRun }: RowRoutes): void {
  app.get('/runs/:id/report.:format', async ({ params: { id, format } }, response, next) => {
    if (format !== 'html' && format !== 'json') return next()
    const run = await findRun(id, response)
    if (run === null) return
    const status = await readRunStatus(run.id, ledger)
    const report = await makeReport(run, { ledger, status, version, nowMs: Date.now(), source: null })
    await recordDownload({ ledger, logger }, run, { what: 'report', by: visitorOf(response) })
    response.attachment(`report-${run.id}.${format}`)
    if (format === 'json') response.json(report)
    else response.type('html').send(reportPage(report))
  })
}

function addRetryRoutes(app: Express, { ledger, retry, findRun }: RowRoutes): void {
  app.get('/runs/:id/retry', onlyOperators, async ({ params: { id }, query }, response, next) => {
    if (retry === null) return next()
    const run = await findRun(id, response)
    const meant = run && meantBy(query, response)
    if (run !== null && meant !== null) send(response, retryQuestion(run, meant))
  })

  app.post('/runs/:id/retry', onlyOperators, async ({ params: { id }, query }, response, next) => {
    if (retry === null) return next()
    const run = await findRun(id, response)
    if (run === null) return
    const meant = meantBy(query, response)
    if (meant === null) return
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
      response.redirect(303, `/runs/${run.id}/rejected`)
      return
    }
    throw new OperatorError('There are no such rejected rows any more', 'Look at the list of rejected rows.')
  })
}

/** The rows that an address means; null where it means none, and the visitor has been told so. */
function meantBy(query: unknown, response: Response): Meant | null {
  const asked = MeantQuery.safeParse(query)
  if (asked.success) return asked.data
  refuse(
    response,
    400,
    'No such rows',
    'The address names a table or a reason that cannot be. Open it from the list of rejected rows.',
  )
  return null
}

/** Opens what a run reads from, for as long as it is used. */
function exportOpener(access: Pick<RowRoutes, 's3' | 'store'>) {
  return async <T>(run: Run, use: (source: Source) => Promise<T>): Promise<T> => {
    const source = await openRunSource(run, access)
    try {
      return await use(source)
    } finally {
      source.close()
    }
  }
}

interface Download {
  what: 'report' | 'rejected_rows'
  by: Visitor
  /** Whose rows; absent where it is not one table's. */
  table?: string | undefined
}

// A viewer may sign in under any number of names.
const toldOfViewers = 100

/**
 * Who repeats a download soon is told once, and of viewers the log is told when the timeline has been told much: it is
 * bounded, and no one shall push its older entries out.
 */
async function recordDownload(
  { ledger, logger }: Pick<RowRoutes, 'ledger' | 'logger'>,
  run: Run,
  { what, by: { name: by, role }, table }: Download,
): Promise<void> {
  const atMs = await ledger.nowMs(run.id)
  const told = (await ledger.timeline(run.id)).filter((entry) => entry.kind === 'downloaded' && entry.what === what)
  const isKnown = told.some(
    (entry) =>
      entry.kind === 'downloaded' && atMs - entry.atMs <= toldAgainMs && entry.by === by && entry.table === table,
  )
  if (isKnown) return
  if (role === 'viewer' && told.length >= toldOfViewers) return logger.info({ run: run.id, by, what }, 'downloaded')
  await ledger.record(run.id, { kind: 'downloaded', atMs, by, what, ...(table !== undefined && { table }) })
}

async function sampleOf(run: Run, file: ExportFile, source: Source): Promise<SampledTable> {
  const converterFor = convertersToShow(run)
  const table = { table: file.table.name, file: file.path }
  try {
    const { rows } = await source.sample(file, sampledRows)
    const shown = rows.slice(0, sampledRows).map((row) => ({
      row: shownRow(row, file.table, run.mapping),
      conversion: conversionOf(row, file.table, converterFor),
    }))
    return { ...table, rows: shown, fault: shown.length === 0 ? 'The file has no rows.' : null }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return { ...table, rows: [], fault: `${error.message}. ${error.hint}` }
  }
}
