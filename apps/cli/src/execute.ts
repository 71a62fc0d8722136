import { OperatorError, unwritable } from '@heapferry/domain'
import { CommanderError } from 'commander'
import { exitCodes } from './exit-codes.ts'
import { say } from './print.ts'
import { programFor } from './program.ts'

/** Does what a command line says. @returns its exit code; what is wrong has been said by then */
export async function execute(given: readonly string[]): Promise<number> {
  // `npm start` alone is how a new user meets heapferry.
  const args = given.length === 0 ? ['demo'] : given
  try {
    const program = await programFor(args)
    await program.parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? exitCodes.done)
  } catch (thrown) {
    const error = unwritable(thrown, 'A file or folder cannot be opened or written', writeHint)
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
    if (error instanceof OperatorError) {
      say(`heapferry: ${error.message}\n  → ${error.hint}`)
      return exitCodes.failed
    }
    say('heapferry: this is a bug, please report it with the lines below. Nothing that was sent is lost.')
    say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return exitCodes.failed
  }
}

const writeHint =
  'Make room there or give this user the right to write, or name another folder in HEAPFERRY_HOME (.heapferry without it), below which all is that heapferry keeps. Then start the same command again.'
