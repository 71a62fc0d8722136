import type { QueueState, QueueStates, RunId, RunLedger, RunProgress, WorkerLedger } from '@heapferry/domain'
import { phaseOpen, type RunStatus, runState, runStatus } from './run-state.ts'
import { lostChunks, troubleOf } from './run-trouble.ts'
import { type ServingWorker, workerFault } from './worker-fault.ts'

/**
 * What a run is doing and how far it is, from the ledger and the queue of the phase that is open. A run that the
 * ledger does not know reads as one that has nothing planned yet.
 */
export async function readRunStatus(...asked: Parameters<typeof readRun>): Promise<RunStatus> {
  return (await readRun(...asked)).status
}

/** The status of a run and what it was made from. */
export async function readRun(
  run: RunId,
  ledger: Pick<RunLedger, 'progress'> & Pick<WorkerLedger, 'pulses'> & QueueStates,
): Promise<{ status: RunStatus; progress: RunProgress; queue: QueueState; workers: ServingWorker[] }> {
  const before = await ledger.progress(run)
  const [queue, pulses] = await Promise.all([ledger.queueState(run, phaseOpen(before)), ledger.pulses(run)])
  // A chunk that was done between the two looks is in neither: what is done now counts.
  const progress = lostChunks(before, queue) > 0 ? await ledger.progress(run) : before
  const { nowMs } = progress
  const state = runState(progress, queue)
  const workers = pulses.map((pulse) => ({ pulse, fault: workerFault(pulse, progress, queue, nowMs) }))
  const trouble = troubleOf(run, { progress, queue, workers }, nowMs)
  return { status: runStatus(run, progress, { state, queue, trouble }, nowMs), progress, queue, workers }
}
