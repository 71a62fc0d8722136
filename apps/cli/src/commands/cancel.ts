import { createLogger } from '@heapferry/config'
import { phases, type RunId } from '@heapferry/domain'
import type { Command } from 'commander'

import { openQueues } from '../open-queues.ts'
import { settingsFrom } from '../options.ts'
import { person } from '../person.ts'
import { answer } from '../print.ts'
import { changing, runName } from './change-run.ts'

export function cancelCommand(command: Command): void {
  command.argument(...runName).action((name: RunId | undefined) =>
    changing(name, async ({ id }, _, { ledger, redis }) => {
      await ledger.setIntent(id, { kind: 'cancel', by: person() })
      const queues = openQueues(redis, id, createLogger({ level: settingsFrom({}).LOG_LEVEL, role: 'cli' }))
      for (const phase of phases) await queues.queueOf(phase).remove()
      await queues.close()
      answer(
        `${id} is cancelled. To migrate the export after all, start another run with --run NAME: no event is doubled.`,
      )
    }),
  )
}
