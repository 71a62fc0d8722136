import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from '@heapferry/config'
import {
  type ChunkId,
  type ChunkLedger,
  type Destination,
  type Answers,
  type FileLedger,
  OperatorError,
  type Pace,
  type Phase,
  type Pulse,
  type Run,
  type RunId,
  type RunLedger,
  type TimelineLedger,
  type Waiting,
  type WorkerLedger,
} from '@heapferry/domain'
import { fingerprintOfSalt, isRunComplete, phaseOpen, rejectedTooMany } from '@heapferry/migration'
import { ChunkConsumer, redisPacer, type Redis, type RunPacer } from '@heapferry/queue'
import { openPlace, openWorkStore } from '@heapferry/sources'
import { openSink, type SinkAccess } from './open-sink.ts'
import { limitsFor, runWork } from './run-work.ts'

export interface WorkerOptions extends SinkAccess {
  /** Unique among all workers, for people: host and process. */
  name: string
  redis: Redis
  ledger: RunLedger & FileLedger & ChunkLedger & WorkerLedger & TimelineLedger
  destination: Destination
  /** What hashes are keyed with; null where none is set. */
  hashSalt: string | null
  /** Where producers leave what is too large or too personal for Redis: a folder, or `s3://bucket/prefix`. */
  store: string
  /** The only run to work on; else all that go to the same project. */
  only: RunId | undefined
  logger: Logger
}

export interface WorkerHandle {
  /** Hands chunks back after their current batch and takes no more. */
  close(): Promise<void>
}

/** Chunks at once in one process: while some wait for PostHog's answers, another is converted. */
const concurrency = 4
const lookEveryMs = 500
// Events become buffers of one to two kB; from Node's pool of 8 kB every fifth would cost an allocation outside the heap.
const bufferPoolBytes = 512 * 1024
const repeatWaitingMs = 5000
const pulseEveryMs = 1000
// Shorter waits are how PostHog paces its senders, and nothing that a report should tell.
const recordedWaitMs = 10_000

/** One run that this worker has a hand in, and the phase that it takes chunks of. */
interface Desk {
  phase: Phase
  consumer: ChunkConsumer
  pacer: RunPacer
  /** Lets go of connections and places. */
  close(): Promise<void>
  waiting: Waiting | null
  waitingSaidAtMs: number
  inHand: Map<ChunkId, Pulse['chunks'][number]>
  /** Rows that were brought to their ends since the last pulse. */
  rows: number
  pulseAtMs: number
  movedAtMs: number
  /** PostHog's answers since the last call; null where there were none. */
  answers(): Answers | null
}

/**
 * Works on runs until it is closed: looks twice a second which runs want work and which of their phases is open, both
 * derived from the ledger, so that a crash anywhere leaves nothing to repair.
 */
export function startWorker(options: WorkerOptions): WorkerHandle {
  const { ledger, logger } = options
  Buffer.poolSize = bufferPoolBytes
  const startedAtMs = Date.now()
  const desks = new Map<RunId, Desk>()
  const refused = new Set<RunId>()
  const closing = new AbortController()

  const looking = (async () => {
    while (!closing.signal.aborted) {
      try {
        for (const run of await runsToServe()) await serve(run)
      } catch (error) {
        logger.error({ err: error }, 'looking for work failed; trying again')
      }
      await sleep(lookEveryMs, undefined, { signal: closing.signal }).catch(() => {})
    }
  })()

  return {
    async close() {
      closing.abort()
      await looking
      await Promise.all([...desks.keys()].map(leave))
    },
  }

  async function runsToServe(): Promise<Run[]> {
    const { only } = options
    const runs = only === undefined ? await ledger.runs() : [await ledger.run(only)].filter((run) => run !== null)
    return runs.filter(isOurs)
  }

  /**
   * A worker with another key would put a customer's data into another project; one with another salt would give one
   * text two hashes.
   */
  function isOurs({ id, destination, saltFingerprint }: Run): boolean {
    const goesThere = isDeepStrictEqual(destination, options.destination)
    const hashesSo = saltFingerprint === null || saltFingerprint === fingerprintOfSalt(options.hashSalt)
    const ours = goesThere && hashesSo
    if (!ours && !refused.has(id)) {
      refused.add(id)
      const why = goesThere
        ? 'this run hashes with another HEAPFERRY_HASH_SALT than this worker has'
        : 'this run goes to another host, project or folder than this worker'
      logger.warn({ run: id }, `${why}: left alone`)
    }
    return ours
  }

  async function serve(run: Run): Promise<void> {
    const progress = await ledger.progress(run.id)
    if (isRunComplete(progress) || progress.intent.kind === 'cancel') return leave(run.id)
    const tooMany = rejectedTooMany(run, progress)
    if (tooMany) {
      logger.error({ run: run.id, reason: tooMany.reason }, 'the run is paused')
      await ledger.pauseIfRunning(run.id, tooMany)
      // What is wanted now is read again at the next look.
      return
    }

    const phase = phaseOpen(progress)
    const current = desks.get(run.id)
    if (current && current.phase !== phase) await leave(run.id)
    const desk = desks.get(run.id) ?? (await pausingOnOperatorErrors(run, () => take(run, phase, progress.pace.limit)))
    if (!desk) return

    if (progress.intent.kind === 'run') await desk.consumer.resume()
    else await stop(desk)
    if (progress.intent.kind !== 'run' || desk.waiting || desk.pacer.holdsBack()) desk.movedAtMs = Date.now()
    if (Date.now() - desk.pulseAtMs >= pulseEveryMs) await sayAlive(run.id, desk)
    if (desk.waiting && Date.now() - desk.waitingSaidAtMs > repeatWaitingMs)
      await sayWaiting(run.id, desk, desk.waiting)
  }

  async function stop(desk: Desk): Promise<void> {
    await desk.consumer.pause()
    desk.consumer.interrupt('paused')
  }

  async function take(run: Run, phase: Phase, pace: Pace): Promise<Desk> {
    const place = await openPlace(run.root, options.s3)
    const store = await openWorkStore(options.store, options.s3)
    const pacer = redisPacer(options.redis, run.id, pace)
    const { sink, answers, closeSink } = await openSink(run.destination, options, pacer, {
      onWaiting: (waiting) => {
        sayWaiting(run.id, desk, waiting).catch((error: unknown) =>
          logger.error({ err: error }, 'waiting could not be told'),
        )
      },
      onTransport: (transport, reason) => {
        logger.info({ run: run.id, transport, reason }, 'how events are sent')
        ledger
          .setTransport(run.id, transport, reason)
          .catch((error: unknown) => logger.error({ err: error }, 'how events are sent could not be told'))
      },
      onOtherWarning: (words) => logger.warn({ run: run.id, words }, 'PostHog remarked on an event that it took'),
    })
    const process = runWork(run, phase, {
      ledger,
      sink,
      place,
      store,
      limits: limitsFor(run.destination, pacer),
      hashSalt: options.hashSalt,
      onProgress: ({ chunk: { id, firstRow, rows }, file, read }) => {
        desk.rows += read - (desk.inHand.get(id)?.read ?? read)
        desk.movedAtMs = Date.now()
        desk.inHand.set(id, { id, table: file.table.name, firstRow, rows, read })
      },
    })
    const consumer = new ChunkConsumer({
      redis: options.redis,
      run: run.id,
      phase,
      concurrency,
      process: async (job, signal) => {
        try {
          return (await pausingOnOperatorErrors(run, () => process(job, signal))) ?? { kind: 'interrupted' }
        } finally {
          desk.inHand.delete(job.chunk.id)
        }
      },
      onError: (error) => logger.warn({ err: error, run: run.id }, 'queue'),
    })
    const close = async (): Promise<void> => {
      await closeSink()
      place.close()
      store.close()
    }
    const desk: Desk = {
      phase,
      consumer,
      pacer,
      close,
      waiting: null,
      waitingSaidAtMs: 0,
      inHand: new Map(),
      rows: 0,
      pulseAtMs: Date.now(),
      movedAtMs: Date.now(),
      answers,
    }
    desks.set(run.id, desk)
    logger.info({ run: run.id, phase }, 'taking chunks')
    return desk
  }

  async function leave(run: RunId): Promise<void> {
    const desk = desks.get(run)
    if (!desk) return
    desks.delete(run)
    await desk.consumer.close()
    await desk.close()
    if (desk.waiting) await ledger.setWaiting(run, options.name, null)
    const answers = desk.answers()
    if (answers) await ledger.addAnswers(run, answers)
    await ledger.removePulse(run, options.name)
    logger.info({ run, phase: desk.phase }, 'left')
  }

  async function sayAlive(run: RunId, desk: Desk): Promise<void> {
    const atMs = Date.now()
    const rate = Math.round((1000 * desk.rows) / (atMs - desk.pulseAtMs))
    desk.rows = 0
    desk.pulseAtMs = atMs
    const answers = desk.answers()
    if (answers) await ledger.addAnswers(run, answers)
    await ledger.setPulse(run, {
      worker: options.name,
      atMs,
      startedAtMs,
      memoryBytes: process.memoryUsage.rss(),
      rate,
      chunks: [...desk.inHand.values()],
      movedAtMs: desk.movedAtMs,
    })
  }

  async function sayWaiting(run: RunId, desk: Desk, waiting: Waiting | null): Promise<void> {
    const ended = waiting === null ? desk.waiting : null
    desk.waiting = waiting
    desk.waitingSaidAtMs = Date.now()
    await ledger.setWaiting(run, options.name, waiting)
    if (ended && desk.waitingSaidAtMs - ended.sinceMs >= recordedWaitMs) {
      const { sinceMs: atMs, detail } = ended
      await ledger.record(run, { kind: 'waited', atMs, untilMs: desk.waitingSaidAtMs, worker: options.name, detail })
    }
  }

  /**
   * Where only a person can help, no other chunk would fare better: the run is paused with the reason.
   * @returns undefined then
   */
  async function pausingOnOperatorErrors<T>(run: Run, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof OperatorError)) {
        logger.error({ err: error, run: run.id }, 'a chunk failed')
        throw error
      }
      logger.error({ run: run.id, reason: error.message, hint: error.hint }, 'the run is paused')
      await ledger.pauseIfRunning(run.id, { kind: 'pause', by: 'heapferry', reason: error.message, hint: error.hint })
      return undefined
    }
  }
}
