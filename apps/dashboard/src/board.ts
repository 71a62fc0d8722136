import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
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
import { z } from 'zod'
import { visitorOf } from './access.ts'
import { type Colours, colours } from './style.ts'

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
  const queues = new Map<string, { run: RunId; phase: Phase; queue: ChunkQueue }>()
  // Whether a board only shows is fixed when a queue is put on it: so there are two.
  const shown = createBoard({ readOnly: true })
  const retrying = createBoard({ readOnly: false })

  function queueOf(run: RunId, phase: Phase): ChunkQueue {
    const key = `${run}/${phase}`
    const known = queues.get(key)
    if (known) return known.queue
    // The queues share the connection, whose owner logs its errors; here each would be logged once more a queue.
    const queue = new ChunkQueue(redis, run, phase, (error) => logger.debug({ err: error, run, phase }, 'queue'))
    queues.set(key, { run, phase, queue })
    return queue
  }

  async function followLedger(): Promise<void> {
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
  function follow(): Promise<void> {
    if (performance.now() - followedAtMs < lookEveryMs) return following
    followedAtMs = performance.now()
    following = followLedger().catch((error: unknown) => {
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
    const atMs = await ledger.nowMs()
    await ledger.record(run, { kind: 'chunks_retried', atMs, by, phase, ...(chunk && { chunk }) })
    return true
  }

  const router = express.Router()
  router.use(ownPage)
  router.use(async (request, response, next) => {
    const { role, signedIn } = visitorOf(response)
    const mayRetry = signedIn && role === 'operator'
    await follow()
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
    const board = mayRetry ? retrying : shown
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

type Hooks = NonNullable<NonNullable<Parameters<typeof createBullBoard>[0]['options']>['handlerHooks']>

const Queues = z.looseObject({
  queues: z.array(z.looseObject({ counts: z.record(z.string(), z.number()), readOnlyMode: z.boolean() })),
})

/**
 * Bull Board offers all of its buttons or none, of each queue. Where nothing has failed, none would do anything; of those of a
 * queue with failed chunks `board.css` leaves the ones that try them again.
 */
const onlyRetries: Hooks = {
  after({ route }, result) {
    const answer = Queues.safeParse(result.body)
    if (route !== '/api/queues' || !answer.success) return result
    const queues = answer.data.queues.map((queue) => ({
      ...queue,
      readOnlyMode: queue.readOnlyMode || !queue.counts['failed'],
      allowCompletedRetries: false,
    }))
    return { ...result, body: { ...answer.data, queues } }
  },
}

type UIConfig = NonNullable<NonNullable<Parameters<typeof createBullBoard>[0]['options']>['uiConfig']>
type Theme = NonNullable<NonNullable<UIConfig['theme']>['light']>

/** The colours of our own pages, by the names that Bull Board has for them. */
function themeOf({ paper, card, ink, soft, line, link, good, warn, bad }: Colours): Theme {
  return {
    background: paper,
    foreground: ink,
    card,
    popover: card,
    primary: link,
    'primary-foreground': paper,
    secondary: card,
    'secondary-foreground': ink,
    muted: card,
    'muted-foreground': soft,
    accent: line,
    'accent-foreground': ink,
    destructive: bad,
    'destructive-foreground': paper,
    border: line,
    input: line,
    sidebar: card,
    'sidebar-foreground': ink,
    'sidebar-accent': line,
    'sidebar-border': line,
    'font-sans': 'system-ui, sans-serif',
    'font-mono': 'ui-monospace, monospace',
    'status-active': link,
    'status-completed': good,
    'status-failed': bad,
    'status-waiting': warn,
    'status-delayed': warn,
    'status-paused': soft,
  }
}

function createBoard({ readOnly }: { readOnly: boolean }) {
  const serverAdapter = new ExpressAdapter()
  serverAdapter.setBasePath(boardPath)
  const board = createBullBoard({
    queues: [],
    serverAdapter,
    options: {
      handlerHooks: onlyRetries,
      uiConfig: {
        boardTitle: 'heapferry',
        boardLogo: { path: '/icon.svg', width: 28, height: 28 },
        favIcon: { default: '/icon.svg', alternative: '/icon.svg' },
        theme: { light: themeOf(colours.light), dark: themeOf(colours.dark) },
        miscLinks: [{ text: 'Runs', url: '/' }],
        hideRedisDetails: true,
        hideDocsLink: true,
        // It would warn that nobody works on the queues of finished runs and of phases that are not open.
        showWorkers: false,
      },
    },
  })
  const adapters = new WeakMap<ChunkQueue, BullMQAdapter>()
  const adapterOf = ({ run, phase, queue }: { run: RunId; phase: Phase; queue: ChunkQueue }): BullMQAdapter => {
    const known = adapters.get(queue)
    if (known) return known
    const adapter = new BullMQAdapter(queue.queue, {
      readOnlyMode: readOnly,
      displayName: `${run} · ${phases.indexOf(phase) + 1} ${phase}`,
      externalJobUrl: () => ({ href: `/runs/${run}`, displayText: 'Run' }),
    })
    adapters.set(queue, adapter)
    return adapter
  }
  const router: Router = serverAdapter.getRouter()
  return {
    router,
    show(queues: readonly { run: RunId; phase: Phase; queue: ChunkQueue }[]): void {
      board.replaceQueues([])
      board.setQueues(queues.map(adapterOf))
    },
  }
}
