import path from 'node:path'
import { grouped } from '@heapferry/migration'
import { Command } from 'commander'
import { createLogger, requireDestination, s3OptionsOf, workStoreOf } from '@heapferry/config'
import { visible } from '@heapferry/domain'
import { produce } from '@heapferry/producer'
import { openWorkStore } from '@heapferry/sources'
import { exitCodes } from '../exit-codes.ts'
import { openLedger } from '../open-ledger.ts'
import { openRequestedRun } from '../open-requested-run.ts'
import { openQueues } from '../open-queues.ts'
import { openScratch } from '../open-scratch.ts'
import { options, settingsFrom, sourceForms } from '../options.ts'
import { answer, say } from '../print.ts'
import { requestOf, type RunFlags } from '../run-request.ts'
import { serveHealth } from '../serve-health.ts'
import { stopSignal } from '../stop-signal.ts'

export function enqueueCommand(command: Command): void {
  command
    .argument('<SOURCE>', sourceForms)
    .addOption(options.host())
    .addOption(options.apiKeyFile())
    .addOption(options.to())
    .addOption(options.run())
    .addOption(options.stage())
    .addOption(options.mapping())
    .addOption(options.includeRecent())
    .addOption(options.maxRejected())
    .addOption(options.pace())
    .addHelpText(
      'after',
      `
Prints the name of the run when every chunk is enqueued; killed midway, the same
command goes on. Workers may run meanwhile. It needs the project key too, to
know the project, and stores who is who in HEAPFERRY_WORK_STORE, where workers
read it: on several machines a shared folder or s3://bucket/prefix.

Exit codes: 0 all is enqueued · 1 failed · 130 stopped by Ctrl-C`,
    )
    .action(enqueue)
}

async function enqueue(source: string, flags: RunFlags): Promise<void> {
  const settings = settingsFrom(flags)
  const { destination } = requireDestination(settings)
  const request = requestOf(source, flags, { settings, destination })
  const logger = createLogger({ level: settings.LOG_LEVEL, role: 'producer' })
  const stop = stopSignal('Stopping. The same command goes on.')
  const health = await serveHealth(settings.HEAPFERRY_HEALTH_PORT)
  const { ledger, redis, close } = await openLedger(settings, logger, 'works')
  health.askFrom(redis)
  try {
    const production = await openRequestedRun(request, ledger, settings, stop)
    if (production === null) {
      process.exitCode = exitCodes.stopped
      return
    }
    const { run } = production
    for (const notice of production.notices) say(visible(notice))
    const queues = openQueues(redis, run.id, logger)
    const scratch = openScratch(path.join(settings.HEAPFERRY_HOME, 'runs', run.id))
    try {
      await produce(production, {
        ledger,
        queueOf: queues.queueOf,
        store: await openWorkStore(workStoreOf(settings), s3OptionsOf(settings)),
        scratch,
        signal: stop,
        onNotice: (notice) => say(visible(notice)),
        onFile: (file, chunks) => say(`${visible(file.path)}: ${grouped(chunks)} chunks`),
      })
    } finally {
      await queues.close()
      await scratch.close()
    }
    if (stop.aborted) process.exitCode = exitCodes.stopped
    else answer(run.id)
  } finally {
    health.close()
    await close()
  }
}
