import { z } from 'zod'
import { Run } from './run.ts'

/**
 * What may be read for a run, as its producer has found it. It is kept in the work store, which no one reaches by way of
 * Redis: whoever can write there names other places, files and mappings in vain.
 */
export const Grant = z.object({
  run: Run,
  /** Paths of the files of its export. */
  files: z.array(z.string()),
  /** Paths of files in the work store that were made for the run. */
  made: z.array(z.string()).default([]),
})
export type Grant = z.infer<typeof Grant>
