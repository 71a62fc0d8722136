import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import type { Logger } from '@heapferry/config'
import { type Phase, phases, type RunId, type RunLedger } from '@heapferry/domain'
import { ChunkQueue, type Redis } from '@heapferry/queue'
import express, { type Router } from 'express'

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

/** @param options.allowActions whether Bull Board may retry, remove and pause; else every write is answered with 405 */
export function openBoard(options: { redis: Redis; ledger: RunLedger; allowActions: boolean; logger: Logger }): Board {
  const { redis, ledger, allowActions, logger } = options
  const queues = new Map<string, { run: RunId; queue: ChunkQueue; adapter: BullMQAdapter }>()
  const serverAdapter = new ExpressAdapter()
  serverAdapter.setBasePath(boardPath)
  const board = createBullBoard({
    queues: [],
    serverAdapter,
    options: {
      uiConfig: {
        boardTitle: 'heapferry',
        miscLinks: [{ text: 'Runs', url: '/' }],
        hideRedisDetails: true,
        hideDocsLink: true,
        // It would warn that nobody works on the queues of finished runs and of phases that are not open.
        showWorkers: false,
      },
    },
  })

  function entryOf(run: RunId, phase: Phase) {
    const key = `${run}/${phase}`
    const known = queues.get(key)
    if (known) return known
    // The queues share the connection, whose owner logs its errors; here each would be logged once more a queue.
    const queue = new ChunkQueue(redis, run, phase, (error) => logger.debug({ err: error, run, phase }, 'queue'))
    const adapter = new BullMQAdapter(queue.queue, {
      readOnlyMode: !allowActions,
      displayName: `${run} · ${phases.indexOf(phase) + 1} ${phase}`,
      externalJobUrl: () => ({ href: `/runs/${run}`, displayText: 'Run' }),
    })
    const entry = { run, queue, adapter }
    queues.set(key, entry)
    return entry
  }

  async function followLedger(): Promise<void> {
    const runs = (await ledger.runs()).map(({ id }) => id)
    board.replaceQueues([])
    board.setQueues(runs.flatMap((run) => phases.map((phase) => entryOf(run, phase).adapter)))
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
    if (Date.now() - followedAtMs < lookEveryMs) return following
    followedAtMs = Date.now()
    following = followLedger().catch((error: unknown) => {
      followedAtMs = -Infinity
      throw error
    })
    return following
  }

  const router = express.Router()
  router.use(async (request, response, next) => {
    // Bull Board itself answers 200 to some writes that a read-only board ignores (pause all, resume all).
    if (!allowActions && request.method !== 'GET' && request.method !== 'HEAD') {
      response.status(405).json({ error: 'This board only shows. `heapferry dashboard --allow-actions` can do more.' })
      return
    }
    await follow()
    next()
  })
  router.use(serverAdapter.getRouter())

  return {
    router,
    queueOf: (run, phase) => entryOf(run, phase).queue,
    hrefOf: (run, phase) => `${boardPath}/queue/${encodeURIComponent(entryOf(run, phase).adapter.getName())}`,
    async close() {
      await Promise.all([...queues.values()].map(({ queue }) => queue.close()))
    },
  }
}
