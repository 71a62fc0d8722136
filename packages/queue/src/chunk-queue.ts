import { setTimeout as sleep } from 'node:timers/promises'
import { Chunk, type ChunkId, type ChunkOutcome, type Phase, type RunId } from '@heapferry/domain'
import { type Job, type JobProgress, Queue, UnrecoverableError, WaitingError, Worker } from 'bullmq'
import pMap from 'p-map'
import type { QueueTelemetry } from './queue-telemetry.ts'
import type { Redis } from './redis-client.ts'
import { shownFailure } from './shown-failure.ts'
import { keysOf, queueName } from './keys.ts'
import { withRefusals } from './refused-commands.ts'

export interface ChunkJob {
  chunk: Chunk
  token: string
  /** Shown as a ring in Bull Board. `progress` is in percent. */
  report(progress: { progress: number; rows: number; of: number }): Promise<void>
}

/** One phase of one run as BullMQ keeps it. Completed jobs are forgotten soon: the ledger knows what is done. */
export class ChunkQueue {
  readonly queue: Queue
  readonly #redis: Redis
  readonly #run: RunId
  readonly #phase: Phase

  constructor(redis: Redis, run: RunId, phase: Phase, onError: (error: Error) => void) {
    this.#redis = redis
    this.#run = run
    this.#phase = phase
    this.queue = new Queue(queueName(run, phase), { connection: redis, prefix: keysOf(redis).queuePrefix(run) })
    this.queue.on('error', onError)
  }

  /** Enqueues chunks; one that is in the queue already stays as it is. */
  async add(chunks: readonly { chunk: Chunk; title: string }[]): Promise<void> {
    const jobs = chunks.map(({ chunk, title }) => ({
      name: title,
      data: chunk,
      opts: {
        jobId: chunk.id,
        priority: priorityOf(chunk),
        // Bugs and broken disks only: outages of PostHog or Redis spend no attempt.
        attempts: 5,
        removeOnComplete: { count: 200 },
        removeOnFail: false,
        sizeLimit: 2048,
      },
    }))
    await withRefusals(this.#redis, () => this.queue.addBulk(jobs))
  }

  /** Which of the chunks have a job, in any state. */
  async known(chunks: readonly ChunkId[]): Promise<Set<ChunkId>> {
    const { job } = keysOf(this.#redis).queueKeys(this.#run, this.#phase)
    const found = await Promise.all(chunks.map((id) => this.#redis.exists(job(id))))
    return new Set(chunks.filter((_, index) => found[index] === 1))
  }

  /** Undoes BullMQ's own pause, which heapferry never makes. */
  async resume(): Promise<void> {
    await this.queue.resume()
  }

  /** Forgets failed chunks, so that planning again adds them with all their attempts. */
  async removeFailed(): Promise<void> {
    await pMap(await this.queue.getFailed(), (job) => job.remove(), { concurrency: 100 })
  }

  /** Enqueues failed chunks again, each for one more attempt. */
  async retryFailed(): Promise<void> {
    await this.queue.retryJobs({ state: 'failed' })
  }

  async remove(): Promise<void> {
    await this.queue.obliterate({ force: true })
  }

  async close(): Promise<void> {
    await this.queue.close()
  }
}

/** BullMQ takes low numbers first: the oldest days go out first, as PostHog's storage likes it best. */
function priorityOf(chunk: Chunk): number {
  const day2009 = 14_245
  return Math.min(Math.max((chunk.day ?? day2009) - day2009, 1), 2_000_000)
}

async function handBack(job: Job, token: string): Promise<never> {
  await job.moveToWait(token)
  throw new WaitingError()
}

export interface ConsumerOptions {
  redis: Redis
  run: RunId
  phase: Phase
  /** Chunks at once: while one waits for PostHog's answer, another is converted. */
  concurrency: number
  /** Told of its jobs. */
  telemetry?: QueueTelemetry | undefined
  process(job: ChunkJob, signal: AbortSignal): Promise<ChunkOutcome>
  onError(error: Error): void
}

// A killed worker's chunk is taken over after at most 15 s. Slices take far less than the lock's time.
const lockMs = 10_000
const firstPauseMs = 1000

/**
 * Before a chunk is tried again, twice as long each time, and in hand meanwhile: BullMQ would keep it until a time of day,
 * which on another machine, or after a clock was set, is hours away.
 */
async function pauseAfterError({ attemptsMade, opts }: Job, signal: AbortSignal): Promise<void> {
  if (attemptsMade + 1 >= (opts.attempts ?? 1)) return
  await sleep(firstPauseMs * 2 ** attemptsMade, undefined, { signal }).catch(() => {})
}

/** Takes the chunks of one phase of a run, until it is closed. Starts paused. */
export class ChunkConsumer {
  readonly #worker: Worker

  constructor({ redis, run, phase, concurrency, telemetry, process, onError }: ConsumerOptions) {
    // BullMQ hands the signal over only to functions that declare three parameters.
    const handle = async (job: Job, token: string | undefined, signal: AbortSignal | undefined): Promise<void> => {
      if (token === undefined || signal === undefined) throw new Error('BullMQ gave no lock token or signal')
      // BullMQ takes one more where it was waiting for a job when it was paused.
      if (this.#worker.isPaused()) return handBack(job, token)
      const payload = Chunk.safeParse(job.data)
      if (!payload.success || payload.data.run !== run || payload.data.id !== job.id) {
        throw new UnrecoverableError('the job is not a chunk of this run: its data was written by something else')
      }
      const report: ChunkJob['report'] = (progress: JobProgress & object) => job.updateProgress(progress)
      const stopRenewing = this.#renewLock(job, token, onError)
      const outcome = await process({ chunk: payload.data, token, report }, signal)
        .catch(async (error: unknown) => {
          await pauseAfterError(job, signal)
          throw shownFailure(error)
        })
        .finally(stopRenewing)
      switch (outcome.kind) {
        case 'finished':
          return
        case 'interrupted':
          // Or this worker would take the chunk again at once; whoever supervises it resumes it when it may go on.
          await this.pause()
          return handBack(job, token)
        case 'lock_lost':
          throw new Error('the lock of this chunk was lost: another worker goes on with it')
        case 'not_planned':
          throw new UnrecoverableError(
            'the chunk is not one that was planned, or not as it was: its job was altered or added by hand',
          )
      }
    }
    this.#worker = new Worker(queueName(run, phase), handle, {
      connection: redis,
      prefix: keysOf(redis).queuePrefix(run),
      autorun: false,
      concurrency,
      ...(telemetry && { telemetry }),
      lockDuration: lockMs,
      skipLockRenewal: true,
      stalledInterval: 5000,
      // The default of 1 fails a chunk at its second crash. Checkpoints make every start go on further.
      maxStalledCount: 1000,
      // BullMQ does not wake idle workers for a job that is handed back with a priority: they look once a second.
      drainDelay: 1,
    })
    this.#worker.on('error', onError)
  }

  /** BullMQ's own renewal goes by the time of day: it would rest for as long as that is set back. */
  #renewLock(job: Job, token: string, onError: (error: Error) => void): () => void {
    let isAsking = false
    const timer = setInterval(() => {
      if (isAsking) return
      isAsking = true
      job
        .extendLock(token, lockMs)
        .then((held) => held === 1 || this.#worker.cancelJob(job.id ?? '', 'lock lost'), onError)
        .finally(() => {
          isAsking = false
        })
    }, lockMs / 4)
    return () => clearInterval(timer)
  }

  /** Takes no more chunks. Those at hand go on. */
  async pause(): Promise<void> {
    await this.#worker.pause(true)
  }

  /** Takes chunks from now on; does nothing where it does already. */
  async resume(): Promise<void> {
    await this.#worker.resume()
  }

  /** Hands chunks at hand back after their current batch. */
  interrupt(reason: string): void {
    this.#worker.cancelAllJobs(reason)
  }

  async close(): Promise<void> {
    this.interrupt('shutdown')
    await this.#worker.close()
  }
}
