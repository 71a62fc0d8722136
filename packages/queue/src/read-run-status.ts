import type { Phase, RunId, RunLedger, RunProgress } from '@heapferry/domain'
import { phaseOpen, type QueueState, type RunStatus, runState, runStatus } from '@heapferry/migration'
import type { ChunkQueue } from './chunk-queue.ts'

/**
 * What a run is doing and how far it is, from the ledger and the queue of the phase that is open. A run that the
 * ledger does not know reads as one that has nothing planned yet.
 */
export async function readRunStatus(
  run: RunId,
  ledger: RunLedger,
  queueOf: (phase: Phase) => ChunkQueue,
): Promise<RunStatus> {
  return (await readRun(run, ledger, queueOf)).status
}

/** The status of a run and what it was made from. */
export async function readRun(
  run: RunId,
  ledger: RunLedger,
  queueOf: (phase: Phase) => ChunkQueue,
): Promise<{ status: RunStatus; progress: RunProgress; queue: QueueState }> {
  const progress = await ledger.progress(run)
  const queue = await queueOf(phaseOpen(progress)).state()
  return { status: runStatus(run, progress, { state: runState(progress, queue), queue }, Date.now()), progress, queue }
}
