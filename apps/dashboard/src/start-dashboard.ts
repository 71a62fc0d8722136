import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@heapferry/config'
import { OperatorError, phases, type Run, RunId, type RunLedger } from '@heapferry/domain'
import { readRunStatus, type Redis } from '@heapferry/queue'
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Response } from 'express'
import { isLoopback, type Login, onlyLoopbackNames, onlySameSiteWrites, requireLogin } from './access.ts'
import { type Board, boardPath, openBoard } from './board.ts'
import { listen } from './listen.ts'
import { liveScript } from './live-script.ts'
import { noticePage, runPage, runsPage, type ShownRun } from './pages.ts'
import { boardContentPolicy, securityHeaders } from './security-headers.ts'
import { icon, style } from './style.ts'

export interface DashboardOptions {
  redis: Redis
  ledger: RunLedger
  host: string
  /** 0 takes any free port. */
  port: number
  /** Wanted of everyone, by HTTP Basic; null only where nobody but this machine can connect. */
  login: Login | null
  /** Lets Bull Board retry, remove and pause. */
  allowActions: boolean
  logger: Logger
}

export interface Dashboard {
  readonly url: string
  close(): Promise<void>
}

const redisAnswerMs = 2000

/**
 * Serves the run pages at `/`, Bull Board at `/queues` and RunStatus as JSON at `/api/runs/:id`. Redis may go and come
 * back meanwhile.
 *
 * @throws OperatorError when others could connect without a login, or when host and port cannot be listened at
 */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { host, port, login } = options
  if (login === null && !isLoopback(host)) {
    throw new OperatorError(
      `The dashboard would be open to everyone who reaches ${host}`,
      'Set HEAPFERRY_DASHBOARD_PASSWORD, or leave HEAPFERRY_DASHBOARD_HOST at 127.0.0.1 and use an SSH tunnel.',
    )
  }
  const board = openBoard(options)
  const server = createServer(appOf(options, board))
  const url = await listen(server, host, port)
  return {
    url,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await board.close()
    },
  }
}

/** The order is what protects: headers and access come before anything that answers. */
function appOf({ redis, ledger, login, logger }: DashboardOptions, board: Board): Express {
  const app = express()
  app.use(securityHeaders)
  app.use(boardPath, boardContentPolicy)
  if (login === null) app.use(onlyLoopbackNames)
  app.get('/healthz', async (_, response) => {
    const ok = await answers(redis)
    response.status(ok ? 200 : 503).json({ ok })
  })
  if (login !== null) app.use(requireLogin(login))
  app.use(onlySameSiteWrites)

  app.get('/style.css', sends('css', style))
  app.get('/live.js', sends('js', liveScript))
  app.get('/icon.svg', sends('svg', icon))
  app.use(wantsRedis(redis))
  addRunRoutes(app, ledger, board)
  app.use(boardPath, board.router)
  app.use((_, response) => refuse(response, 404, 'No such page', 'There is nothing at this address.'))
  app.use(reportErrors(logger))
  return app
}

function addRunRoutes(app: Express, ledger: RunLedger, board: Board): void {
  const show = async (run: Run): Promise<ShownRun> => ({
    run,
    status: await readRunStatus(run.id, ledger, (phase) => board.queueOf(run.id, phase)),
    queues: phases.map((phase) => ({ phase, href: board.hrefOf(run.id, phase) })),
  })
  const findRun = async (id: string, response: Response): Promise<Run | null> => {
    const name = RunId.safeParse(id)
    const run = name.success ? await ledger.run(name.data) : null
    if (run === null) refuse(response, 404, 'No such run', `There is no run ${id}. It may have been removed.`)
    return run
  }
  app.get('/', async (_, response) => {
    response.send(runsPage(await Promise.all((await ledger.runs()).map(show))))
  })
  app.get('/runs/:id', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) response.send(runPage(await show(run)))
  })
  app.get('/api/runs/:id', async ({ params: { id } }, response) => {
    const run = await findRun(id, response)
    if (run !== null) response.json((await show(run)).status)
  })
}

function sends(type: string, text: string): RequestHandler {
  return (_, response) => {
    response.type(type).send(text)
  }
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
  } else response.send(noticePage(title, text))
}
