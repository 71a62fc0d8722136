import type { Phase, QueueState, RunId, RunLedger, RunProgress } from '@heapferry/domain'
import { phaseOpen, type RunStatus, runState, runStatus } from './run-state.ts'

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
  ledger: Pick<RunLedger, 'progress'>,
  queueState: (phase: Phase) => Promise<QueueState>,
  now: () => number,
): Promise<{ status: RunStatus; progress: RunProgress; queue: QueueState }> {
  const progress = await ledger.progress(run)
  const queue = await queueState(phaseOpen(progress))
  return { status: runStatus(run, progress, { state: runState(progress, queue), queue }, now()), progress, queue }
}
