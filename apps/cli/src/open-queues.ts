import { type Logger, onceAMinute } from '@heapferry/config'
import { type Phase, phases, type RunId } from '@heapferry/domain'
import { ChunkQueue, type Redis } from '@heapferry/queue'

/** The queues of a run, for those who put chunks in or take all out: who looks only loads no BullMQ. */
export function openQueues(
  redis: Redis,
  run: RunId,
  logger: Logger,
): { queueOf(phase: Phase): ChunkQueue; close(): Promise<void> } {
  const onError = onceAMinute((error) => logger.warn({ err: error, run }, 'queue'))
  const queueOf = (phase: Phase): ChunkQueue => new ChunkQueue(redis, run, phase, onError)
  const queues = { identities: queueOf('identities'), events: queueOf('events') }
  return {
    queueOf: (phase) => queues[phase],
    close: async () => void (await Promise.all(phases.map((phase) => queues[phase].close()))),
  }
}
