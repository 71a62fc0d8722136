import type { Logger } from '@heapferry/config'
import {
  ChunkId,
  type Phase,
  phases,
  type QueueStates,
  type RunId,
  type RunLedger,
  type TimelineLedger,
} from '@heapferry/domain'
import { ChunkQueue, type Redis } from '@heapferry/queue'
import express, { type Request, type RequestHandler, type Response, type Router } from 'express'
import { visitorOf } from './access.ts'
import type { RunQueue } from './bull-board.ts'

/** Bull Board over the queues of every run that the ledger knows. */
export interface Board {
  readonly router: Router
  queueOf(run: RunId, phase: Phase): ChunkQueue
  /** The path of a queue's page. */
  hrefOf(run: RunId, phase: Phase): string
  close(): Promise<void>
}

export const boardPath = '/queues'
const lookEveryMs = 2000

export interface BoardOptions {
  redis: Redis
  ledger: RunLedger & TimelineLedger & QueueStates
  logger: Logger
}

/**
 * Shows, and lets operators who have signed in try failed chunks again, which the timeline tells. Every other write is
 * answered with 405, whoever asks: Bull Board would go around the ledger.
 */
export function openBoard({ redis, ledger, logger }: BoardOptions): Board {
  const queues = new Map<string, RunQueue>()
  // Most dashboards are never asked for it.
  let loaded: Promise<Boards> | null = null

  function queueOf(run: RunId, phase: Phase): ChunkQueue {
    const key = `${run}/${phase}`
    const known = queues.get(key)
    if (known) return known.queue
    // The queues share the connection, whose owner logs its errors; here each would be logged once more a queue.
    const queue = new ChunkQueue(redis, run, phase, (error) => logger.debug({ err: error, run, phase }, 'queue'))
    queues.set(key, { run, phase, queue })
    return queue
  }

  async function followLedger({ shown, retrying }: Boards): Promise<void> {
    const runs = (await ledger.runs()).map(({ id }) => id)
    const all = runs.flatMap((run) => phases.map((phase) => ({ run, phase, queue: queueOf(run, phase) })))
    for (const board of [shown, retrying]) board.show(all)
    const known = new Set(runs)
    for (const [key, { run, queue }] of queues) {
      if (known.has(run)) continue
      queues.delete(key)
      await queue.close()
    }
  }

  let following: Promise<void> = Promise.resolve()
  let followedAtMs = -Infinity
  /** Runs appear and vanish while the board is open. */
  function follow(boards: Boards): Promise<void> {
    if (performance.now() - followedAtMs < lookEveryMs) return following
    followedAtMs = performance.now()
    following = followLedger(boards).catch((error: unknown) => {
      followedAtMs = -Infinity
      throw error
    })
    return following
  }

  /** Answers the request itself where there is nothing to try again. */
  async function noteRetry({ name, chunk }: Retry, response: Response): Promise<boolean> {
    const found = [...queues.values()].find(({ queue }) => queue.queue.name === name)
    const hasFailed =
      found !== undefined &&
      (chunk === undefined
        ? (await ledger.queueState(found.run, found.phase)).failed > 0
        : (await found.queue.queue.getJobState(chunk)) === 'failed')
    if (!hasFailed) {
      response.status(409).json({ error: 'Nothing has failed there, so there is nothing to try again.' })
      return false
    }
    const { run, phase } = found
    const by = visitorOf(response).name
    const atMs = await ledger.nowMs(run)
    await ledger.record(run, { kind: 'chunks_retried', atMs, by, phase, ...(chunk && { chunk }) })
    return true
  }

  const router = express.Router()
  router.use(ownPage)
  router.use(async (request, response, next) => {
    const { role, signedIn } = visitorOf(response)
    const mayRetry = signedIn && role === 'operator'
    const boards = await (loaded ??= loadBoards())
    await follow(boards)
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      const retry = mayRetry ? retryOf(request) : null
      if (retry === null) {
        const error =
          'This board only shows and retries, and only operators who have signed in may retry. Pause, resume and cancel on the page of the run.'
        response.status(405).json({ error })
        return
      }
      if (!(await noteRetry(retry, response))) return
    }
    const board = mayRetry ? boards.retrying : boards.shown
    board.router(request, response, next)
  })

  return {
    router,
    queueOf,
    hrefOf: (run, phase) => `${boardPath}/queue/${encodeURIComponent(queueOf(run, phase).queue.name)}`,
    async close() {
      await Promise.all([...queues.values()].map(({ queue }) => queue.close()))
    },
  }
}

type Boards = Awaited<ReturnType<typeof loadBoards>>

/** Whether a board only shows is fixed when a queue is put on it: so there are two. */
async function loadBoards() {
  const { createBoard } = await import('./bull-board.ts')
  return {
    shown: createBoard({ path: boardPath, readOnly: true }),
    retrying: createBoard({ path: boardPath, readOnly: false }),
  }
}

interface Retry {
  /** Of the queue. */
  name: string
  /** Without it, all that have failed. */
  chunk?: ChunkId
}

/** What a request wants tried again; null where it wants something else. */
function retryOf({ method, path }: Request): Retry | null {
  const [, name, first, second] = /^\/api\/queues\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(path) ?? []
  if (method !== 'PUT' || name === undefined) return null
  if (first === 'retry' && second === 'failed') return { name }
  const chunk = ChunkId.safeParse(first)
  return chunk.success && second === 'retry' ? { name, chunk: chunk.data } : null
}

const foreignFonts = /<link href="https:\/\/fonts\.googleapis\.com\/[^"]*"[^>]*>/g

/** Bull Board's page asks Google for fonts, which our theme does not use, and shows buttons for what is refused. */
const ownPage: RequestHandler = (request, response, next) => {
  if (!request.path.startsWith('/api/')) {
    const send = response.send.bind(response)
    const own = '<link rel="stylesheet" href="/board.css"></head>'
    response.send = (body) =>
      send(typeof body === 'string' ? body.replaceAll(foreignFonts, '').replace('</head>', own) : body)
  }
  next()
}
