import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@heapferry/config'
import { OperatorError, type Phase, phases, type RetryLedger, type Run, RunId, type RunLedger } from '@heapferry/domain'
import { workerFault } from '@heapferry/migration'
import { readRun, readRunStatus, type Redis, redisMemory } from '@heapferry/queue'
import type { S3Options } from '@heapferry/sources'
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Response } from 'express'
import {
  assertDifferent,
  forms,
  isLoopback,
  onlyLoopbackNames,
  onlyOperators,
  onlySameSiteWrites,
  openToAll,
  passwordAccess,
  type Passwords,
  type Visitor,
  visitorOf,
} from './access.ts'
import { act, actionBar, actionsFor, confirmation, isAction, PaceForm, paceQuestion } from './actions.ts'
import { type Board, boardPath, openBoard } from './board.ts'
import { browserFile } from './browser-file.ts'
import { filesPage } from './files-page.ts'
import { listen } from './listen.ts'
import { LiveHub } from './live-hub.ts'
import type { LivePage } from './live-page.ts'
import { type Measured, metricsText, metricsType } from './metrics.ts'
import { type Content, noticePage, pageOf, titleOf } from './page.ts'
import { runPage } from './run-page.ts'
import { addRowRoutes, type RowRoutes } from './row-routes.ts'
import { readRunView, type RunView } from './run-view.ts'
import { runsPage } from './runs-page.ts'
import { boardContentPolicy, securityHeaders } from './security-headers.ts'
import { style } from './style.ts'

export interface DashboardOptions {
  redis: Redis
  ledger: RunLedger & RetryLedger
  /** How buckets are reached that runs read from. */
  s3: S3Options
  /** As the command tells it. */
  version: string
  /** Sends rejected rows of a run again; null where there is no key to send with. */
  retry: RowRoutes['retry']
  host: string
  /** 0 takes any free port. */
  port: number
  /** Null only where nobody but this machine can connect. */
  passwords: Passwords | null
  logger: Logger
}

export interface Dashboard {
  readonly url: string
  close(): Promise<void>
}

const redisAnswerMs = 2000

/**
 * Serves the run pages at `/`, Bull Board at `/queues`, RunStatus as JSON at `/api/runs/:id` and, for machines, `/metrics`,
 * `/healthz` and `/readyz`. Redis may go and come back meanwhile.
 *
 * @throws OperatorError when others could connect without a password, or when host and port cannot be listened at
 */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { host, port, passwords } = options
  if (passwords !== null) assertDifferent(passwords)
  if (passwords === null && !isLoopback(host)) {
    throw new OperatorError(
      `The dashboard would be open to everyone who reaches ${host}`,
      'Set HEAPFERRY_DASHBOARD_PASSWORD, or leave HEAPFERRY_DASHBOARD_HOST at 127.0.0.1 and use an SSH tunnel.',
    )
  }
  const board = openBoard(options)
  const hub = new LiveHub(options.logger)
  const server = createServer(appOf(options, board, hub))
  const url = await listen(server, host, port)
  return {
    url,
    async close() {
      hub.close()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await board.close()
    },
  }
}

/** The order is what protects: headers and access come before anything that answers. */
function appOf({ redis, ledger, passwords, logger, ...rows }: DashboardOptions, board: Board, hub: LiveHub): Express {
  const app = express()
  app.use(securityHeaders)
  app.use(boardPath, boardContentPolicy)
  if (passwords === null) app.use(onlyLoopbackNames)
  app.get('/healthz', async (_, response) => {
    const ok = await answers(redis)
    response.status(ok ? 200 : 503).json({ ok })
  })
  app.get('/readyz', async (_, response) => {
    // Without names: whoever probes needs no login.
    const stuck = (await answers(redis))
      ? (await measure({ ledger, board })).flatMap(({ faults }) => faults).length
      : null
    response.status(stuck === 0 ? 200 : 503).json({ ok: stuck === 0, workers_stuck: stuck })
  })
  app.use(onlySameSiteWrites)
  // What the page to sign in needs is no secret.
  app.get('/style.css', sends('css', style))
  app.get('/icon.svg', sends('svg', browserFile('icon.svg')))
  app.get('/live.js', sends('js', browserFile('live.js')))
  app.use(passwords === null ? openToAll : passwordAccess(passwords))
  app.get('/chart.js', sends('js', browserFile('chart.js')))
  app.get('/uplot.js', sendsFile('uplot/dist/uPlot.iife.min.js'))
  app.get('/uplot.css', sendsFile('uplot/dist/uPlot.min.css'))
  app.use(wantsRedis(redis))
  const findRun: RowRoutes['findRun'] = async (id, response) => {
    const name = RunId.safeParse(id)
    const run = name.success ? await ledger.run(name.data) : null
    if (run === null) refuse(response, 404, 'No such run', `There is no run ${String(id)}. It may have been removed.`)
    return run
  }
  const statusOf = (run: Run) => readRunStatus(run.id, ledger, (phase) => board.queueOf(run.id, phase))
  addRowRoutes(app, { ...rows, ledger, findRun, statusOf, send })
  addRunRoutes(app, { redis, ledger, board, hub, findRun })
  app.get('/metrics', async (_, response) => {
    response.type(metricsType).send(await metricsText(await measure({ ledger, board }), await redisMemory(redis)))
  })
  app.use(boardPath, board.router)
  app.use((_, response) => refuse(response, 404, 'No such page', 'There is nothing at this address.'))
  app.use(reportErrors(logger))
  return app
}

interface Sources {
  redis: Redis
  ledger: RunLedger
  board: Board
}

/** Every page at its own address, and as a stream of what changes in it below /live. */
function addRunRoutes(
  app: Express,
  { redis, ledger, board, hub, findRun }: Sources & Pick<RowRoutes, 'findRun'> & { hub: LiveHub },
): void {
  const queueOf = (run: Run) => (phase: Phase) => board.queueOf(run.id, phase)
  const allRuns = async (): Promise<Content> => {
    const runs = await ledger.runs()
    return runsPage(
      await Promise.all(runs.map(async (run) => ({ run, status: await readRunStatus(run.id, ledger, queueOf(run)) }))),
    )
  }
  const viewOf = (run: Run) => readRunView(run, { redis, ledger, queueOf: queueOf(run) })
  const contentOf = async (view: RunView, { role }: Visitor): Promise<Content> => {
    const queues = phases.map((phase) => ({ phase, href: board.hrefOf(view.run.id, phase) }))
    const possible = role === 'operator' ? await actionsFor(view.run, ledger) : []
    return runPage(view, queues, actionBar(view.run, possible))
  }
  const filesOf = async (run: Run): Promise<Content> => {
    const progress = await ledger.fileProgress(run.id)
    const files = await ledger.files(run.id)
    return filesPage(
      run,
      files.map((file) => ({ file, ...(progress.get(file.id) ?? { plan: null, read: 0 }) })),
    )
  }

  app.get('/', async (_, response) => {
    send(response, await allRuns())
  })
  app.get('/live', (_, response) => {
    hub.join('/', response, async () => liveOf(await allRuns(), null))
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
      return liveOf(await contentOf(view, visitor), view.latest)
    })
  })
  app.get('/runs/:id/files', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) send(response, await filesOf(run))
  })
  app.get('/live/runs/:id/files', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) hub.join(`/runs/${run.id}/files`, response, async () => liveOf(await filesOf(run), null))
  })
  app.get('/runs/:id/pace', onlyOperators, async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) send(response, paceQuestion(run, (await ledger.progress(run.id)).pace.limit, null))
  })
  app.post('/runs/:id/pace', onlyOperators, forms, async ({ params: { id }, body }, response) => {
    const run = await findRun(id, response)
    if (run === null) return
    const form = PaceForm.safeParse(body)
    if (!form.success) {
      response.status(400)
      const { limit } = (await ledger.progress(run.id)).pace
      return send(response, paceQuestion(run, limit, 'Give a whole number from 1 on, or nothing.'))
    }
    await ledger.setPace(run.id, form.data.pace, visitorOf(response).name)
    response.redirect(303, `/runs/${run.id}`)
  })
  app.get('/runs/:id/:action', onlyOperators, async ({ params: { id, action } }, response, next) => {
    if (!isAction(action)) return next()
    const run = await findRun(id, response)
    if (run !== null) send(response, confirmation(run, action))
  })
  app.post('/runs/:id/:action', onlyOperators, async ({ params: { id, action } }, response, next) => {
    if (!isAction(action)) return next()
    const run = await findRun(id, response)
    if (run === null) return
    await act(action, { run, ledger, board, by: visitorOf(response).name })
    response.redirect(303, `/runs/${run.id}`)
  })
  app.get('/api/runs/:id', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) response.json(await readRunStatus(run.id, ledger, queueOf(run)))
  })
  app.get('/api/runs/:id/history', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) response.json(await ledger.history(run.id))
  })
}

function send(response: Response, content: Content): void {
  response.send(pageOf({ ...content, visitor: visitorOf(response) }))
}

function liveOf({ title, live, main }: Content, point: LivePage['point']): LivePage {
  return { title: titleOf(title), live, main: main.markup, point }
}

async function measure({ ledger, board }: Pick<Sources, 'ledger' | 'board'>): Promise<Measured[]> {
  return Promise.all(
    (await ledger.runs()).map(async (run) => {
      const { status, progress, queue } = await readRun(run.id, ledger, (phase) => board.queueOf(run.id, phase))
      const pulses = await ledger.pulses(run.id)
      const faults = pulses.flatMap((pulse) => {
        const fault = workerFault(pulse, progress, queue, Date.now())
        return fault === null ? [] : [`${pulse.worker} ${fault}`]
      })
      return { run, status, queue, answers: await ledger.answers(run.id), pulses, faults }
    }),
  )
}

function sends(type: string, text: string): RequestHandler {
  return (_, response) => {
    response.type(type).send(text)
  }
}

const { resolve } = createRequire(import.meta.url)

/** A file of a package: it is served as it was published, and no request leaves the machine. */
function sendsFile(name: string): RequestHandler {
  const file = resolve(name)
  return (_, response) => response.sendFile(file, { maxAge: '1h', dotfiles: 'allow' })
}

function wantsRedis(redis: Redis): RequestHandler {
  return async (_, response, next) => {
    if (await answers(redis)) return next()
    const text = 'Nothing is lost: workers wait for Redis and go on when it is back. Then reload this page.'
    refuse(response, 503, 'Redis does not answer', text)
  }
}

/** ioredis holds commands back until Redis is there again, for as long as it takes; a page should rather say so. */
async function answers(redis: Redis): Promise<boolean> {
  if (redis.status !== 'ready') return false
  const ping = redis.ping().then(
    () => true,
    () => false,
  )
  return Promise.race([ping, delay(redisAnswerMs, false, { ref: false })])
}

function reportErrors(logger: Logger): ErrorRequestHandler {
  return (error, request, response, next) => {
    if (error instanceof OperatorError) return refuse(response, 409, error.message, error.hint)
    if (error instanceof URIError) return refuse(response, 404, 'No such page', 'There is nothing at this address.')
    logger.error({ err: error, path: request.path }, 'dashboard')
    if (response.headersSent) return next(error)
    const text = 'The dashboard has logged why. The run is not touched by that; `heapferry status` may tell more.'
    refuse(response, 500, 'This page could not be made', text)
  }
}

/** A page for people, JSON for programs. */
function refuse(response: Response, status: number, title: string, text: string): void {
  response.status(status)
  const { originalUrl } = response.req
  if (originalUrl.startsWith('/api/') || originalUrl.startsWith(`${boardPath}/api/`)) {
    response.json({ error: title, message: text })
  } else response.send(noticePage(title, text, response.locals.visitor ?? null))
}
