import { paceText } from '@heapferry/migration'
import { Command, InvalidArgumentError } from 'commander'
import { paceOf, parsePace, parseRunId } from '../options.ts'
import { person } from '../person.ts'
import { answer } from '../print.ts'
import { changing } from './change-run.ts'

export function paceCommand(command: Command): void {
  command
    .usage('[options] [RUN] <N|none>')
    .argument('<RUN or N>', 'the name of a run; without it, the newest')
    .argument('[N|none]', 'events a second, or none: as many as the workers can')
    .addHelpText(
      'after',
      `
Workers keep to it within a second. It stays with the run; \`heapferry status\`
shows it, and what PostHog's 429 and 5xx leave of it for the moment.

Examples:
  heapferry pace 2000
  heapferry pace heap-export-3fa2c1d0 none`,
    )
    .action((first: string, second: string | undefined) => {
      const [name, typed] =
        second === undefined
          ? [undefined, parsed(first, parsePace, command)]
          : [parsed(first, parseRunId, command), parsed(second, parsePace, command)]
      const pace = paceOf(typed)
      return changing(name, async ({ id }, _, { ledger }) => {
        await ledger.setPace(id, pace, person())
        answer(`${id}: ${paceText(pace)} from now on.`)
      })
    })
}

/** Commander says so by itself where an argument's place tells what it is. */
function parsed<T>(text: string, parse: (text: string) => T, command: Command): T {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof InvalidArgumentError) return command.error(`error: '${text}' is invalid. ${error.message}`)
    throw error
  }
}
