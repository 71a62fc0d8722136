import {
  isComplete,
  type QueueState,
  type RedisRefusal,
  redisRefusals,
  redisRefusalTexts,
  type RunProgress,
} from '@heapferry/domain'
import { isEveryChunkDone, phaseOpen } from './run-state.ts'
import type { ServingWorker } from './worker-fault.ts'
import { grouped } from './wording.ts'

const redisKind = <R extends RedisRefusal>(refusal: R): `redis_${R}` => `redis_${refusal}`

export const troubleKinds = [
  'no_worker',
  'workers_stuck',
  'queue_paused',
  'chunks_lost',
  'plan_incomplete',
  ...redisRefusals.map(redisKind),
] as const
type TroubleKind = (typeof troubleKinds)[number]

/** Why a run that is to go on does not, or will not to its end, unless a person does something. */
export interface Trouble {
  kind: TroubleKind
  /** What is wrong and what to do, in sentences. */
  message: string
  /** Nobody works on the run because of it. */
  halts: boolean
}

// A worker says that it lives every second, a producer every two.
const silentAfterMs = 10_000

/**
 * What keeps a run from going on. It is told within 15 s: ten of silence, and what is said goes at once.
 * @param workers all that serve the run
 */
export function troubleOf(
  run: string,
  { progress, queue, workers }: { progress: RunProgress; queue: QueueState; workers: readonly ServingWorker[] },
  nowMs: number,
): Trouble[] {
  if (progress.intent.kind !== 'run' || isEveryChunkDone(progress)) return []
  const refused = refusalTrouble(queue, workers, nowMs)
  // What else is wrong would be its consequence: nobody can say that he works.
  if (refused !== null) return [refused]
  const isIdle = queue.waiting + queue.active === 0
  const lost = lostChunks(progress, queue)
  const stuck = queue.paused ? null : workersTrouble(run, { progress, queue, workers }, nowMs)
  return [
    ...(stuck === null ? [] : [stuck]),
    ...(queue.paused && queue.active === 0
      ? [
          {
            kind: 'queue_paused' as const,
            message: `The queue was paused from outside heapferry, so no worker takes a chunk: heapferry resume ${run} goes on.`,
            halts: true,
          },
        ]
      : []),
    ...(lost > 0
      ? [
          {
            kind: 'chunks_lost' as const,
            message: `${lost === 1 ? '1 chunk is' : `${grouped(lost)} chunks are`} neither done nor in the queue. Start the same run command again: it plans what is missing.`,
            halts: isIdle,
          },
        ]
      : []),
    ...(isPlanLeft(progress, nowMs)
      ? [
          {
            kind: 'plan_incomplete' as const,
            message:
              'The plan is incomplete, and nobody plans: the command was stopped, or Redis was restored. Start the same run command again: it plans what is missing.',
            halts: isIdle,
          },
        ]
      : []),
  ]
}

function refusalTrouble({ refusal }: QueueState, workers: readonly ServingWorker[], nowMs: number): Trouble | null {
  if (refusal === undefined) return null
  // Whoever looks may have another user in Redis than those who work, and say so.
  if (refusal === 'forbidden' && workers.some(({ pulse }) => nowMs - pulse.atMs < silentAfterMs)) return null
  const { problem, hint } = redisRefusalTexts[refusal]
  return { kind: redisKind(refusal), message: `${problem}. ${hint} The run goes on by itself then.`, halts: true }
}

function workersTrouble(
  run: string,
  { progress, queue, workers }: { progress: RunProgress; queue: QueueState; workers: readonly ServingWorker[] },
  nowMs: number,
): Trouble | null {
  if (queue.waiting + queue.active === 0) return null
  if (workers.length === 0) {
    const movedAtMs = Math.max(progress.wantedAtMs, progress.samples.at(-1)?.atMs ?? 0)
    if (queue.active > 0 || nowMs - movedAtMs < silentAfterMs) return null
    return {
      kind: 'no_worker',
      message: `No worker works on this run: the same run command starts some, and heapferry worker --run ${run} starts one.`,
      halts: true,
    }
  }
  const [first] = workers
  if (!first || workers.some(({ fault }) => fault === null)) return null
  const who = workers.length === 1 ? 'The only worker' : `None of the ${workers.length} workers works: one`
  return {
    kind: 'workers_stuck',
    message: `${who}, ${first.pulse.worker}, ${first.fault}. End ${workers.length === 1 ? 'it and start another' : 'them and start others'} with heapferry worker --run ${run}: nothing is lost.`,
    halts: true,
  }
}

/** Chunks of the open phase that are neither done nor in the queue. While more are being cut, nobody can tell. */
export function lostChunks(progress: RunProgress, { waiting, active, failed }: QueueState): number {
  const open = progress.phases.find(({ phase }) => phase === phaseOpen(progress))
  if (!open?.sealed || isComplete(open)) return 0
  return Math.max(0, open.planned - open.done - waiting - active - failed)
}

function isPlanLeft({ phases, producedAtMs }: RunProgress, nowMs: number): boolean {
  if (producedAtMs === null || nowMs - producedAtMs < silentAfterMs) return false
  return phases.some(({ sealed }) => !sealed)
}
