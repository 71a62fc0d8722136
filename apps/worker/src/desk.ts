import { type Logger, onceAMinute } from '@heapferry/config'
import type {
  ChunkLedger,
  FileLedger,
  Intent,
  Pace,
  Phase,
  QueueStates,
  Run,
  RunLedger,
  TimelineLedger,
  WorkerLedger,
} from '@heapferry/domain'
import { ChunkConsumer, redisPacer, type Redis } from '@heapferry/queue'
import { openRunSource, openWorkStore } from '@heapferry/sources'
import { openSink, type SinkAccess, type SinkListener } from './open-sink.ts'
import { pausingOnOperatorErrors } from './pausing-on-operator-errors.ts'
import { Presence } from './presence.ts'
import { limitsFor, runWork } from './run-work.ts'
import { type Tracing, untraced } from './tracing.ts'
import { watchedPlace } from './watched-place.ts'

export interface DeskOptions extends SinkAccess {
  /** Unique among all workers, for people: host and process. */
  name: string
  startedAtMs: number
  redis: Redis
  ledger: RunLedger & FileLedger & ChunkLedger & WorkerLedger & TimelineLedger & QueueStates
  /** What hashes are keyed with; null where none is set. */
  hashSalt: string | null
  /** Where producers leave what is too large or too personal for Redis: a folder, or `s3://bucket/prefix`. */
  store: string
  /** Without it nobody is told. */
  tracing?: Tracing
  logger: Logger
}

/** Chunks at once in one process: while some wait for PostHog's answers, another is converted. */
const concurrency = 4

/**
 * One run that a worker has a hand in, and the phase that it takes chunks of.
 *
 *     opened ──► taking ◄──► resting ──► left
 *
 * - **opened**: connections and places are open; no chunk is taken before the first `follow`, which leads to one of the
 *   next two.
 * - **taking**: chunks of the phase, four at once. `follow` brings it here while the run is to go on.
 * - **resting**: it takes none. `follow` brings it here when the run is to pause, and interrupts the chunks in hand, which
 *   go back to the queue after their batches. A chunk that is handed back for another reason (an error that only a person
 *   can mend has paused the run) brings it here by itself, before anybody has looked.
 * - **left**: for good, from any of these, when the run is over or forgotten, is another one under the same name, or has
 *   another phase open (each of these has a desk of its own), or the worker ends.
 *
 * No state is stored. Every look of the worker derives it anew from the ledger, so a change that was missed is made up
 * for at the next. Beside all that it may be waiting for PostHog: its senders then ask again by themselves.
 */
export interface Desk {
  /** As it was when the desk was opened. */
  run: Run
  phase: Phase
  /** Does what is wanted of the run, and says how it is. */
  follow(intent: Intent): Promise<void>
  /** Hands chunks back after their current batches. */
  leave(): Promise<void>
}

export async function openDesk(
  run: Run,
  { phase, pace }: { phase: Phase; pace: Pace },
  options: DeskOptions,
): Promise<Desk> {
  const { ledger, redis, logger, name, startedAtMs, hashSalt, s3, tracing = untraced } = options
  const store = await openWorkStore(options.store, s3)
  const pacer = redisPacer(redis, run.id, pace)
  const presence = new Presence({ ledger, run: run.id, name, startedAtMs })
  const source = await openRunSource(run, {
    store: options.store,
    s3,
    watch: (place) => watchedPlace(place, presence),
  })
  const { sink, answers, closeSink } = await openSink(run.destination, options, pacer, listener(run, presence, options))
  const work = runWork(run, {
    ledger,
    sink: {
      send: (...batch) =>
        tracing.span('slice', { events: batch[0].length, table: batch[2].table.name }, () =>
          presence.during('sending', () => sink.send(...batch)),
        ),
    },
    source,
    store,
    loading: (load) => presence.during('reading', load),
    limits: limitsFor(run.destination, pacer),
    hashSalt,
    onProgress: ({ chunk: { id, firstRow, rows }, file: { table }, read }) => {
      const more = presence.progressed({ id, table: table.name, firstRow, rows, read })
      tracing.rows(more, { run: run.id, table: table.name })
    },
  })
  const consumer = new ChunkConsumer({
    redis,
    run: run.id,
    phase,
    concurrency,
    telemetry: tracing.queue,
    process: async (job, signal) => {
      const { chunk } = job
      const where = () => ({ chunk: chunk.id, table: presence.tableOf(chunk.id) })
      try {
        return await tracing.span('chunk', { run: run.id, phase, chunk: chunk.id, rows: chunk.rows }, async (tell) => {
          const outcome = await pausingOnOperatorErrors(run, options, () => work.process(job, signal), where)
          tell({ outcome: outcome?.kind ?? 'interrupted', table: where().table ?? '' })
          return outcome ?? { kind: 'interrupted' }
        })
      } finally {
        presence.ended(chunk.id)
      }
    },
    onError: onceAMinute((error) => logger.warn({ err: error, run: run.id }, 'queue')),
  })
  logger.info({ run: run.id, phase }, 'taking chunks')

  return {
    run,
    phase,
    async follow(intent) {
      const isToRun = intent.kind === 'run'
      if (isToRun) await consumer.resume()
      else {
        await consumer.pause()
        consumer.interrupt('paused')
      }
      const hasReason = !isToRun || presence.isWaiting || pacer.holdsBack()
      if (hasReason || (presence.isIdle && !(await ledger.hasTakeable(run.id, phase)))) presence.restsForAReason()
      await presence.say(answers)
    },
    async leave() {
      await consumer.close()
      // Only now nobody uses them any more.
      await closeSink()
      await work.close()
      source.close()
      store.close()
      await presence.end(answers)
      logger.info({ run: run.id, phase }, 'left')
    },
  }
}

function listener(run: Run, presence: Presence, { ledger, logger }: DeskOptions): SinkListener {
  return {
    onWaiting: (waiting) => {
      presence
        .waits(waiting)
        .catch((error: unknown) => logger.error({ err: error, run: run.id }, 'waiting could not be told'))
    },
    onTransport: (transport, reason) => {
      logger.info({ run: run.id, transport, reason }, 'how events are sent')
      ledger
        .setTransport(run.id, transport, reason)
        .catch((error: unknown) => logger.error({ err: error, run: run.id }, 'how events are sent could not be told'))
    },
    onOtherWarning: (words) => logger.warn({ run: run.id, words }, 'PostHog remarked on an event that it took'),
  }
}
