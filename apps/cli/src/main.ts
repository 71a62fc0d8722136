import { execute } from './execute.ts'
import { exitCodes } from './exit-codes.ts'

// `heapferry status | head` ends the reader first: that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.done)
  throw error
})

// The only place that ends the process: whatever a command leaves open is closed by then or given up.
process.exit(await execute(process.argv.slice(2)))
