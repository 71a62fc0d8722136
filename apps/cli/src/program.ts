import { Command } from 'commander'
import { cancelCommand, pauseCommand, resumeCommand } from './commands/change-run.ts'
import { dashboardCommand } from './commands/dashboard.ts'
import { demoCommand } from './commands/demo.ts'
import { enqueueCommand } from './commands/enqueue.ts'
import { mappingCommand } from './commands/mapping.ts'
import { paceCommand } from './commands/pace.ts'
import { planCommand } from './commands/plan.ts'
import { rejectedCommand } from './commands/rejected.ts'
import { reportCommand } from './commands/report.ts'
import { retryCommand } from './commands/retry.ts'
import { runCommand } from './commands/run.ts'
import { runsCommand } from './commands/runs.ts'
import { statusCommand } from './commands/status.ts'
import { verifyCommand } from './commands/verify.ts'
import { workerCommand } from './commands/worker.ts'
import { version } from './version.ts'

/**
 * Every command with its options. What a command needs beyond that is loaded when it is called: a worker carries no
 * dashboard, and `--help` none of it.
 */
export const program = new Command('heapferry')
  .description('Moves a Heap export into PostHog: every row accounted for, none twice, through crashes.')
  .version(version)
  .showHelpAfterError('(heapferry --help shows every command)')
  .exitOverride()
  .addHelpText(
    'after',
    `
Start here:
  heapferry demo             rehearse with generated data, without a PostHog
  heapferry plan ./export    what is in it, and what becomes of it; sends nothing
  heapferry run ./export --host us --api-key-file key.txt
  heapferry status           how far it is, from any terminal

The same run command again goes on where it stopped, and sends nothing twice.
Exit codes: 0 done · 1 failed or not finished · 2 wrong usage ·
            3 done, with rejected rows · 4, 5, 6 of verify: see its help ·
            130 stopped by Ctrl-C`,
  )

for (const command of [
  demoCommand(),
  planCommand(),
  mappingCommand(),
  runCommand(),
  enqueueCommand(),
  workerCommand(),
  dashboardCommand(),
  statusCommand(),
  runsCommand(),
  pauseCommand(),
  resumeCommand(),
  cancelCommand(),
  paceCommand(),
  rejectedCommand(),
  retryCommand(),
  verifyCommand(),
  reportCommand(),
]) {
  for (const one of [command, ...command.commands]) one.copyInheritedSettings(program)
  program.addCommand(command)
}
