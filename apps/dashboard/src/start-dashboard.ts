import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { Logger } from '@heapferry/config'
import {
  OperatorError,
  type QueueStates,
  RedisRefused,
  redisRefusalTexts,
  type RunLedger,
  type VerificationLedger,
} from '@heapferry/domain'
import { type Redis, redisAnswer, redisMemory } from '@heapferry/queue'
import type { S3Options } from '@heapferry/sources'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { isLoopback, onlyLoopbackNames, onlySameSiteWrites, openToAll } from './access.ts'
import { addActionRoutes } from './action-routes.ts'
import { type Board, boardPath, openBoard } from './board.ts'
import { browserFile } from './browser-file.ts'
import { runFinder } from './find-run.ts'
import { listen } from './listen.ts'
import { LiveHub } from './live-hub.ts'
import { measure, metricsText, metricsType, stuckOf } from './metrics.ts'
import { assertDifferent, passwordAccess, type Passwords } from './password-access.ts'
import { addRowRoutes, type RowRoutes } from './row-routes.ts'
import { addRunRoutes } from './run-routes.ts'
import { boardContentPolicy, securityHeaders } from './security-headers.ts'
import { refuse } from './send.ts'
import { style } from './style.ts'
import { PageVerifications, type VerifierOf } from './page-verifications.ts'
import { addVerificationRoutes } from './verification-routes.ts'

export interface DashboardOptions {
  redis: Redis
  ledger: RunLedger & QueueStates & RowRoutes['ledger'] & VerificationLedger
  /** How buckets are reached that runs read from. */
  s3: S3Options
  /** Where producers leave what a run may read: a folder, or `s3://bucket/prefix`. */
  store: string
  /** As the command tells it. */
  version: string
  /** Sends rejected rows of a run again; null where there is no key to send with. */
  retry: RowRoutes['retry']
  /** Compares a run with what PostHog holds; null where there is no key to ask with. */
  verify: VerifierOf
  host: string
  /** 0 takes any free port. */
  port: number
  /** Null only where nobody but this machine can connect. */
  passwords: Passwords | null
  /** Addresses, subnets and express' names of them, whose word is taken for who asks them. */
  trustedProxies: readonly string[]
  logger: Logger
}

export interface Dashboard {
  readonly url: string
  close(): Promise<void>
}

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
      `The dashboard would be open to everyone who can reach ${host}`,
      'Set HEAPFERRY_DASHBOARD_PASSWORD, or leave HEAPFERRY_DASHBOARD_HOST at 127.0.0.1 and use an SSH tunnel.',
    )
  }
  const board = openBoard(options)
  const hub = new LiveHub(options.logger)
  const verifications = new PageVerifications(options)
  const server = createServer(appOf(options, { board, hub, verifications }))
  const url = await listen(server, host, port)
  return {
    url,
    async close() {
      hub.close()
      await verifications.close()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await board.close()
    },
  }
}

/** The order is what protects: headers and access come before anything that answers. */
function appOf(
  { redis, ledger, passwords, trustedProxies, logger, ...rows }: DashboardOptions,
  { board, hub, verifications }: { board: Board; hub: LiveHub; verifications: PageVerifications },
): Express {
  const app = express()
  app.set('trust proxy', [...trustedProxies])
  app.use(securityHeaders)
  app.use(boardPath, boardContentPolicy)
  if (passwords === null) app.use(onlyLoopbackNames)
  app.get('/healthz', async (_, response) => {
    const ok = (await redisAnswer(redis)).kind !== 'none'
    response.status(ok ? 200 : 503).json({ ok })
  })
  app.get('/readyz', async (_, response) => {
    // Without names: whoever probes needs no login.
    const answer = await redisAnswer(redis)
    const runs = answer.kind === 'data' ? await measure(ledger) : null
    const stuck = runs === null ? null : stuckOf(runs.flatMap(({ workers }) => workers))
    const ofRuns = runs?.flatMap(({ status }) => status.trouble.map(({ kind }) => kind)) ?? []
    const trouble = answer.kind === 'refused' ? [`redis_${answer.refusal}`] : [...new Set(ofRuns)]
    const ok = stuck === 0 && trouble.length === 0
    response.status(ok ? 200 : 503).json({ ok, workers_stuck: stuck, trouble })
  })
  app.use(onlySameSiteWrites)
  // What the page to sign in needs is no secret.
  app.get('/style.css', sends('css', style))
  app.get('/icon.svg', sends('svg', browserFile('icon.svg')))
  app.get('/live.js', sends('js', browserFile('live.js')))
  app.get('/idiomorph.js', sendsFile('idiomorph/dist/idiomorph.min.js'))
  app.use(passwords === null ? openToAll : passwordAccess(passwords, logger))
  for (const name of ['chart.js', 'rates.js']) app.get(`/${name}`, sends('js', browserFile(name)))
  app.get('/board.css', sends('css', browserFile('board.css')))
  app.get('/uplot.js', sendsFile('uplot/dist/uPlot.iife.min.js'))
  app.get('/uplot.css', sendsFile('uplot/dist/uPlot.min.css'))
  app.use(notStored)
  app.use(wantsRedis(redis))
  const findRun = runFinder(ledger)
  addRowRoutes(app, { ...rows, ledger, logger, hub, findRun })
  addRunRoutes(app, { redis, ledger, board, hub, verifications, findRun })
  addVerificationRoutes(app, { ledger, hub, verifications, findRun })
  addActionRoutes(app, { ledger, board, findRun })
  app.get('/metrics', async (_, response) => {
    response.type(metricsType).send(await metricsText(await measure(ledger), await redisMemory(redis)))
  })
  app.use(boardPath, board.router)
  app.use((_, response) => refuse(response, 404, 'No such page', 'There is nothing at this address.'))
  app.use(reportErrors(logger))
  return app
}

/** Pages tell of people, and browsers and proxies must not keep them for whoever comes after. Bull Board's own files may. */
const notStored: RequestHandler = (request, response, next) => {
  if (!request.path.startsWith(`${boardPath}/static/`)) response.set('Cache-Control', 'no-store')
  next()
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
    const answer = await redisAnswer(redis)
    switch (answer.kind) {
      case 'data':
        return next()
      case 'refused': {
        const { problem, hint } = redisRefusalTexts[answer.refusal]
        return refuse(response, 503, problem, `${hint} ${nothingIsLost}`)
      }
      case 'none':
        return refuse(response, 503, 'Redis does not answer', nothingIsLost)
    }
  }
}

const nothingIsLost = 'Nothing is lost: workers wait for Redis and go on by themselves. Reload this page then.'

function reportErrors(logger: Logger): ErrorRequestHandler {
  return (error, request, response, next) => {
    if (error instanceof RedisRefused) return refuse(response, 503, error.message, error.hint)
    if (error instanceof OperatorError) return refuse(response, 409, error.message, error.hint)
    if (error instanceof URIError) return refuse(response, 404, 'No such page', 'There is nothing at this address.')
    const status = faultOfClient(error)
    if (status !== null || hasGone(error)) {
      logger.debug({ status, path: request.path }, 'a request was wrong, or not waited for')
      if (status === null || response.headersSent) return response.destroy()
      return refuse(
        response,
        status,
        'This request cannot be answered',
        'Its address, form or headers are not as they should be.',
      )
    }
    logger.error({ err: error, path: request.path }, 'dashboard')
    if (response.headersSent) return next(error)
    const text = 'The log of the dashboard says why. The run is not affected; heapferry status may tell you more.'
    refuse(response, 500, 'This page could not be shown', text)
  }
}

/** Express and what reads forms for it mark what a client has done wrong. */
function faultOfClient(error: unknown): number | null {
  if (!(error instanceof Error) || !('status' in error) || !('expose' in error) || error.expose !== true) return null
  return typeof error.status === 'number' ? error.status : null
}

/** A client that hangs up in the middle of an answer. */
function hasGone(error: unknown): boolean {
  const codes: unknown[] = ['ERR_STREAM_PREMATURE_CLOSE', 'ECONNABORTED', 'ECONNRESET', 'EPIPE']
  return error instanceof Error && 'code' in error && codes.includes(error.code)
}
