import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { onceAMinute } from '@heapferry/config'
import type { Destination, Pace, Phase, Run, RunId } from '@heapferry/domain'
import { fingerprintOfSalt, isEveryChunkDone, phaseOpen, rejectedTooMany } from '@heapferry/migration'
import { type Desk, type DeskOptions, openDesk } from './desk.ts'
import { pausingOnOperatorErrors } from './pausing-on-operator-errors.ts'

export interface WorkerOptions extends Omit<DeskOptions, 'startedAtMs'> {
  destination: Destination
  /** The only run to work on; else all that go to the same project. */
  only: RunId | undefined
}

export interface WorkerHandle {
  /** Hands chunks back after their current batch and takes no more. */
  close(): Promise<void>
}

const lookEveryMs = 500
// Events become buffers of one to two kB; from Node's pool of 8 kB every fifth would cost an allocation outside the heap.
const bufferPoolBytes = 512 * 1024

/**
 * Works on runs until it is closed: looks twice a second which runs want work and which of their phases is open, both
 * derived from the ledger, so that a crash anywhere leaves nothing to repair. Each has a desk, whose states are told there.
 */
export function startWorker(options: WorkerOptions): WorkerHandle {
  Buffer.poolSize = bufferPoolBytes
  const worker = { ...options, startedAtMs: Date.now() }
  const { ledger, logger } = options
  const desks = new Map<RunId, Desk>()
  const isOurs = ownRuns(options)
  const closing = new AbortController()
  const failed = onceAMinute((error) => logger.error({ err: error }, 'looking for work failed; trying again'))

  const looking = (async () => {
    while (!closing.signal.aborted) {
      try {
        const runs = (await runsOf(options)).filter(isOurs)
        for (const run of runs) await serve(run)
        for (const id of desks.keys()) if (!runs.some((run) => run.id === id)) await leave(id)
      } catch (error) {
        failed(error instanceof Error ? error : new Error(String(error)))
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

  async function serve(run: Run): Promise<void> {
    const progress = await ledger.progress(run.id)
    if (isEveryChunkDone(progress) || progress.intent.kind === 'cancel') return leave(run.id)
    const tooMany = rejectedTooMany(run, progress)
    if (tooMany) {
      logger.error({ run: run.id, reason: tooMany.reason }, 'the run is paused')
      await ledger.pauseIfRunning(run.id, tooMany)
      // What is wanted now is read again at the next look.
      return
    }
    const phase = phaseOpen(progress)
    const current = desks.get(run.id)
    const isOfRun = current?.phase === phase && isDeepStrictEqual(current.run, run)
    if (current && !isOfRun) await leave(run.id)
    const desk = desks.get(run.id) ?? (await open(run, phase, progress.pace.limit))
    await desk?.follow(progress.intent)
  }

  async function open(run: Run, phase: Phase, pace: Pace): Promise<Desk | undefined> {
    const desk = await pausingOnOperatorErrors(run, worker, () => openDesk(run, { phase, pace }, worker))
    if (desk) desks.set(run.id, desk)
    return desk
  }

  async function leave(run: RunId): Promise<void> {
    const desk = desks.get(run)
    desks.delete(run)
    await desk?.leave()
  }
}

async function runsOf({ only, ledger }: WorkerOptions): Promise<Run[]> {
  return only === undefined ? ledger.runs() : [await ledger.run(only)].filter((run) => run !== null)
}

/**
 * A worker with another key would put a customer's data into another project; one with another salt would give one
 * text two hashes. Each run that is left alone is told of once.
 */
function ownRuns({ destination, hashSalt, logger }: WorkerOptions): (run: Run) => boolean {
  const refused = new Set<RunId>()
  return (run) => {
    const goesThere = isDeepStrictEqual(run.destination, destination)
    const hashesSo = run.saltFingerprint === null || run.saltFingerprint === fingerprintOfSalt(hashSalt)
    const isOurs = goesThere && hashesSo
    if (!isOurs && !refused.has(run.id)) {
      refused.add(run.id)
      const why = goesThere
        ? 'this run hashes with another HEAPFERRY_HASH_SALT than this worker has'
        : 'this run goes to another host, project or folder than this worker'
      logger.warn({ run: run.id }, `${why}: left alone`)
    }
    return isOurs
  }
}
