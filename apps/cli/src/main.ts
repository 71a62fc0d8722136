import { setFlagsFromString } from 'node:v8'
import { execute } from './execute.ts'
import { exitCodes } from './exit-codes.ts'

// Where some rows were held, as the first ones of a file are, V8 takes all for long-lived and makes them where only a full
// collection frees them: looking for what was first of people took 40 % more CPU (docs/benchmarks.md).
setFlagsFromString('--no-allocation-site-pretenuring')

// `heapferry status | head` ends the reader first: that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.done)
  throw error
})

// The only place that ends the process: whatever a command leaves open is closed by then or given up.
process.exit(await execute(process.argv.slice(2)))
