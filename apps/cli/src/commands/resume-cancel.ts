import { createLogger, type Settings } from '@heapferry/config'
import { phases, type RunId } from '@heapferry/domain'
import { wantedToGoOn } from '@heapferry/migration'
import type { ChunkQueue } from '@heapferry/queue'
import type { Command } from 'commander'
import type { OpenLedger } from '../open-ledger.ts'
import { openQueues } from '../open-queues.ts'
import { person } from '../person.ts'
import { answer } from '../print.ts'
import { changing, runName } from './change-run.ts'

export function resumeCommand(command: Command): void {
  command.argument(...runName).action((name: RunId | undefined) =>
    changing(name, async (run, progress, opened, settings) => {
      const { id } = run
      // Somebody may have paused them by BullMQ's own means.
      await onQueues(id, opened, settings, (queue) => queue.resume())
      await opened.ledger.setIntent(id, wantedToGoOn(run, progress, person()))
      answer(`${id} goes on as soon as a worker runs: start it with the same run command, or with heapferry worker.`)
    }),
  )
}

export function cancelCommand(command: Command): void {
  command.argument(...runName).action((name: RunId | undefined) =>
    changing(name, async ({ id }, _, opened, settings) => {
      await opened.ledger.setIntent(id, { kind: 'cancel', by: person() })
      await onQueues(id, opened, settings, (queue) => queue.remove())
      answer(
        `${id} is cancelled. To migrate the export after all, start another run with --run NAME: no event is doubled.`,
      )
    }),
  )
}

async function onQueues(
  run: RunId,
  { redis }: OpenLedger,
  settings: Settings,
  change: (queue: ChunkQueue) => Promise<void>,
): Promise<void> {
  const queues = openQueues(redis, run, createLogger({ level: settings.LOG_LEVEL, role: 'cli' }))
  try {
    for (const phase of phases) await change(queues.queueOf(phase))
  } finally {
    await queues.close()
  }
}
