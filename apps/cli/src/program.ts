import { visibleLines } from '@heapferry/domain'
import { Command, Help } from 'commander'
import { version } from './version.ts'

interface CommandEntry {
  /** The name and the arguments, as help shows them. */
  term: string
  description: string
  /** Gives the command its arguments, options and action. */
  load(): Promise<(command: Command) => void>
}

const entries: readonly CommandEntry[] = [
  {
    term: 'demo',
    description: 'rehearse: a generated export goes into a stand-in for PostHog on this machine',
    load: async () => (await import('./commands/demo.ts')).demoCommand,
  },
  {
    term: 'plan SOURCE',
    description: 'tell what an export holds, what becomes of it and how long that takes; sends nothing',
    load: async () => (await import('./commands/plan.ts')).planCommand,
  },
  {
    term: 'mapping init SOURCE',
    description: 'write or check a mapping file: what becomes of tables and columns',
    load: async () => (await import('./commands/mapping.ts')).mappingCommand,
  },
  {
    term: 'run SOURCE',
    description: 'migrate an export: plan, workers, dashboard and progress in one command',
    load: async () => (await import('./commands/run.ts')).runCommand,
  },
  {
    term: 'enqueue SOURCE',
    description: 'plan a run and enqueue its chunks for workers that run elsewhere',
    load: async () => (await import('./commands/enqueue.ts')).enqueueCommand,
  },
  {
    term: 'worker',
    description: 'take chunks of planned runs, convert their rows and send them; start as many as you like',
    load: async () => (await import('./commands/worker.ts')).workerCommand,
  },
  {
    term: 'dashboard',
    description: 'serve the run page and Bull Board',
    load: async () => (await import('./commands/dashboard.ts')).dashboardCommand,
  },
  {
    term: 'status [RUN]',
    description: 'how far a run is',
    load: async () => (await import('./commands/status.ts')).statusCommand,
  },
  {
    term: 'runs',
    description: 'all runs, the newest first',
    load: async () => (await import('./commands/runs.ts')).runsCommand,
  },
  {
    term: 'pause [RUN]',
    description: 'let workers stop after their current batches',
    load: async () => (await import('./commands/change-run.ts')).pauseCommand,
  },
  {
    term: 'resume [RUN]',
    description: 'let workers go on',
    load: async () => (await import('./commands/resume-cancel.ts')).resumeCommand,
  },
  {
    term: 'cancel [RUN]',
    description: 'stop a run for good; what was sent stays in PostHog',
    load: async () => (await import('./commands/resume-cancel.ts')).cancelCommand,
  },
  {
    term: 'pace [RUN] N',
    description: 'change how many events a second all workers of a run send together',
    load: async () => (await import('./commands/pace.ts')).paceCommand,
  },
  {
    term: 'rejected [RUN]',
    description: 'rows that were not sent: where they are and why',
    load: async () => (await import('./commands/rejected.ts')).rejectedCommand,
  },
  {
    term: 'retry RUN',
    description: 'send rejected rows again after a fix, or rows that were held back',
    load: async () => (await import('./commands/retry.ts')).retryCommand,
  },
  {
    term: 'verify [RUN]',
    description: 'prove that PostHog holds what a run has sent, by event and day',
    load: async () => (await import('./commands/verify.ts')).verifyCommand,
  },
  {
    term: 'report [RUN]',
    description: 'what a run did: inputs, settings, tallies, rejected rows, history, how to undo',
    load: async () => (await import('./commands/report.ts')).reportCommand,
  },
  {
    term: 'clean RUN',
    description: 'delete what heapferry keeps of a run that is over: stage, identities, indexes, grant',
    load: async () => (await import('./commands/clean.ts')).cleanCommand,
  },
  {
    term: 'support [RUN]',
    description: 'one file for asking for help: how a run stands, without names, rows or secrets',
    load: async () => (await import('./commands/support.ts')).supportCommand,
  },
  {
    term: 'fake-posthog',
    description: 'serve a stand-in for PostHog, to rehearse with several machines',
    load: async () => (await import('./commands/fake-posthog.ts')).fakePostHogCommand,
  },
]

/** What `--help` lists: term and description of every command, in the order of a migration. */
export const commandList = entries.map(({ term, description }) => ({ name: nameOf(term), term, description }))

/**
 * The command line, of which the commands that the arguments name are loaded: `--help` loads none, and none carries what
 * only another needs.
 */
export async function programFor(args: readonly string[]): Promise<Command> {
  const help = new Help()
  const terms = new Map(commandList.map(({ name, term }) => [name, term]))
  const program = new Command('heapferry')
    .description('Moves a Heap export into PostHog: every row accounted for, none twice, through crashes.')
    .version(`heapferry ${version} (Node ${process.versions.node})`)
    .showHelpAfterError('(heapferry --help shows every command)')
    .configureHelp({ subcommandTerm: (command) => terms.get(command.name()) ?? help.subcommandTerm(command) })
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(visibleLines(text)) })
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
  for (const { term, description, load } of entries) {
    const name = nameOf(term)
    const command = program.command(name).description(description)
    if (args.includes(name)) (await load())(command)
  }
  return program
}

function nameOf(term: string): string {
  return term.split(' ', 1)[0] ?? term
}
