import {
  type ExportFile,
  type FileId,
  type FileLedger,
  type FilePlan,
  phases,
  type QueueStates,
  type RetryHoldLedger,
  type Run,
  type RunLedger,
  type TimelineLedger,
  type VerificationLedger,
  type WorkerLedger,
} from '@heapferry/domain'
import { readRunStatus } from '@heapferry/migration'
import { type Redis, redisMemory } from '@heapferry/queue'
import type { Express } from 'express'
import { type Visitor, visitorOf } from './access.ts'
import { actionBar, actionsFor } from './actions.ts'
import type { Board } from './board.ts'
import { filesPage, FilesQuery } from './files-page.ts'
import type { FindRun } from './find-run.ts'
import type { LiveHub } from './live-hub.ts'
import { chartMarks } from './chart-marks.ts'
import { machinesPage } from './machines-page.ts'
import { measure } from './metrics.ts'
import { type Content, liveOf } from './page.ts'
import type { PageVerifications } from './page-verifications.ts'
import { runPage } from './run-page.ts'
import { readRunView, type RunView } from './run-view.ts'
import { runsPage } from './runs-page.ts'
import { send } from './send.ts'

export interface RunRoutes {
  redis: Redis
  ledger: RunLedger & FileLedger & WorkerLedger & TimelineLedger & QueueStates & RetryHoldLedger & VerificationLedger
  board: Board
  hub: LiveHub
  verifications: PageVerifications
  findRun: FindRun
}

/** Every page at its own address, and as a stream of what changes in it below /live. */
export function addRunRoutes(app: Express, { redis, ledger, board, hub, verifications, findRun }: RunRoutes): void {
  const allRuns = async (): Promise<Content> => {
    const runs = await ledger.runs()
    return runsPage(await Promise.all(runs.map(async (run) => ({ run, status: await readRunStatus(run.id, ledger) }))))
  }
  const viewOf = (run: Run) => readRunView(run, { redis, ledger, verifications })
  const contentOf = async (view: RunView, { role }: Visitor): Promise<Content> => {
    const queues = phases.map((phase) => ({ phase, href: board.hrefOf(view.run.id, phase) }))
    const possible = role === 'operator' ? await actionsFor(view.run, ledger) : []
    const offersVerification = role === 'operator' && verifications.offers(view.run)
    return runPage(view, { queues, actions: actionBar(view.run, possible), offersVerification })
  }
  const readFiles = filesReader(ledger)
  const filesOf = async (run: Run, asked: FilesQuery): Promise<Content> => {
    const [{ files, plans }, rows] = await Promise.all([readFiles(run), ledger.fileRows(run.id)])
    const listed = files.map((file) => ({ file, plan: plans.get(file.id) ?? null, read: rows.get(file.id) ?? 0 }))
    return filesPage(run, listed, asked)
  }

  app.get('/', async (_, response) => {
    send(response, await allRuns())
  })
  app.get('/live', (_, response) => {
    hub.join('/', response, async () => liveOf(await allRuns(), null))
  })
  const machines = async () => machinesPage(await measure(ledger), await redisMemory(redis))
  app.get('/machines', async (_, response) => {
    send(response, await machines())
  })
  app.get('/live/machines', (_, response) => {
    hub.join('/machines', response, async () => liveOf(await machines(), null))
  })
  app.get('/runs/:id', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) send(response, await contentOf(await viewOf(run), visitorOf(response)))
  })
  app.get('/live/runs/:id', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const visitor = visitorOf(response)
    hub.join(`/runs/${run.id} ${visitor.role}`, response, async () => {
      const view = await viewOf(run)
      const marks = chartMarks(view.timeline)
      return liveOf(await contentOf(view, visitor), { point: view.latest, marks })
    })
  })
  app.get('/runs/:id/files', async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run !== null) send(response, await filesOf(run, meantBy(query)))
  })
  app.get('/live/runs/:id/files', async ({ params: { id }, query }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const meant = meantBy(query)
    const page = `/runs/${run.id}/files ${JSON.stringify(meant)}`
    hub.join(page, response, async () => liveOf(await filesOf(run, meant), null))
  })
  app.get('/api/runs/:id', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) response.json(await readRunStatus(run.id, ledger))
  })
  app.get('/api/runs/:id/history', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const [points, timeline] = await Promise.all([ledger.history(run.id), ledger.timeline(run.id)])
    response.json({ points, marks: chartMarks(timeline) })
  })
}

interface ReadFiles {
  files: readonly ExportFile[]
  plans: ReadonlyMap<FileId, FilePlan>
}

/** What is known of the files of the run that was asked for last is kept: more may come to it, and none of it ever changes. */
function filesReader(ledger: FileLedger): (run: Run) => Promise<ReadFiles> {
  let kept: { run: string; counts: Awaited<ReturnType<FileLedger['fileCounts']>>; read: ReadFiles } | undefined
  return async ({ id, createdAtMs }) => {
    const run = `${id} ${createdAtMs}`
    const counts = await ledger.fileCounts(id)
    const before = kept?.run === run ? kept : undefined
    const [files, plans] = await Promise.all([
      before?.counts.files === counts.files ? before.read.files : ledger.files(id),
      before?.counts.planned === counts.planned ? before.read.plans : ledger.filePlans(id),
    ])
    kept = { run, counts, read: { files, plans } }
    return kept.read
  }
}

/** An address that cannot be meant so shows all files. */
function meantBy(query: unknown): FilesQuery {
  const asked = FilesQuery.safeParse(query)
  return asked.success ? asked.data : FilesQuery.parse({})
}
