import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { z } from 'zod'

const usage = `npm run chaos -- [--seed N] [--minutes N] [--rows N] [--only TEXT]

Hurts a run in every way that is known, as drawn by the seed, and ends with 1 where anything was lost, doubled or miscounted.
--seed      which faults, in which order (one of the moment)
--minutes   how long (10)
--rows      of the export, about (200000)
--only      faults whose names hold a text, such as 'worker: SIGKILL' (all)`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    minutes: { type: 'string', default: '10' },
    rows: { type: 'string', default: '200000' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
})
const Positive = z.coerce.number().positive()
const given = z.object({ seed: z.coerce.number().int(), minutes: Positive, rows: Positive }).safeParse(values)
if (values.help || !given.success) {
  console.log(given.success ? usage : `${z.prettifyError(given.error)}\n\n${usage}`)
  process.exit(given.success ? 0 : 2)
}
const { seed, minutes, rows } = given.data
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'test/chaos', '--project=slow', '--disableConsoleIntercept=true'],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      CHAOS_SEED: String(seed),
      CHAOS_MINUTES: String(minutes),
      CHAOS_ROWS: String(rows),
      CHAOS_ONLY: values.only,
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --max-old-space-size=8192`,
    },
  },
)
process.exit(status ?? 1)
