import { OperatorError } from '@heapferry/domain'
import { CommanderError } from 'commander'
import { exitCodes } from './exit-codes.ts'
import { program } from './program.ts'

// `heapferry status | head` ends the reader first: that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.done)
  throw error
})

/** The only place that ends the process: whatever a command leaves open is closed by then or given up. */
async function main(): Promise<number> {
  const given = process.argv.slice(2)
  try {
    // `npm start` alone is how a new user meets heapferry.
    await program.parseAsync(given.length === 0 ? ['demo'] : given, { from: 'user' })
    return Number(process.exitCode ?? exitCodes.done)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
    if (error instanceof OperatorError) {
      process.stderr.write(`heapferry: ${error.message}\n  → ${error.hint}\n`)
      return exitCodes.failed
    }
    process.stderr.write(
      `heapferry: this is a bug, please report it with the lines below. Nothing that was sent is lost.\n`,
    )
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    return exitCodes.failed
  }
}

process.exit(await main())
