import type { Phase, RunId, RunLedger } from '@heapferry/domain'
import { isRunComplete, phaseOpen, type RunStatus, runState, runStatus } from '@heapferry/migration'
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
  const progress = await ledger.progress(run)
  const failed = isRunComplete(progress) ? null : await failedForGood(queueOf(phaseOpen(progress)))
  return runStatus(run, progress, runState(progress, failed), Date.now())
}

/** Null while the queue has anything else to do: failed chunks do not stop the others, so neither is the run over. */
async function failedForGood(queue: ChunkQueue): Promise<{ chunks: number; reason: string } | null> {
  const { waiting, active, failed } = await queue.counts()
  if (failed === 0 || waiting + active > 0) return null
  const [first] = await queue.failed(1)
  return first ? { chunks: failed, reason: `${first.title}: ${first.reason}` } : null
}
