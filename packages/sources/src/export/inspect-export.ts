import { type Mapping, OperatorError } from '@heapferry/domain'
import pMap from 'p-map'
import type { Discovery, FoundFile } from './discover.ts'
import { type Inspection, inspectFile } from './inspect-file.ts'

/** What one file of an export holds, or why it cannot be told. */
export type Inspected =
  | ({ kind: 'inspected'; found: FoundFile } & Inspection)
  | { kind: 'faulty'; found: FoundFile; fault: OperatorError }

// Over a network a file takes a few round trips, and an export may have ten thousand files a table.
const filesAtOnce = 16

/** Looks at every file, in the order of the discovery; a faulty one does not keep the others from being looked at. */
export function inspectExport({ place, files }: Discovery, mapping: Mapping): Promise<Inspected[]> {
  return pMap(
    files,
    async (found): Promise<Inspected> => {
      try {
        return { kind: 'inspected', found, ...(await inspectFile(place, found, mapping)) }
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error
        return { kind: 'faulty', found, fault: error }
      }
    },
    { concurrency: filesAtOnce },
  )
}
