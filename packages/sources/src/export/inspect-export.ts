import { type Mapping, OperatorError } from '@heapferry/domain'
import pMap from 'p-map'
import type { Looking } from '../formats/file-format.ts'
import type { Discovery, FoundFile } from './discover.ts'
import { type Inspection, inspectFile } from './inspect-file.ts'
import { withShownDialects } from './with-shown-dialects.ts'

/** What one file of an export holds, or why it cannot be told. */
export type Inspected =
  | ({ kind: 'inspected'; found: FoundFile } & Inspection)
  | { kind: 'faulty'; found: FoundFile; fault: OperatorError }

// Over a network a file takes a few round trips, and an export may have ten thousand files a table.
const filesAtOnce = 16

/** Looks at every file, in the order of the discovery; a faulty one does not keep the others from being looked at. */
export async function inspectExport({ place, files }: Discovery, mapping: Mapping): Promise<readonly Inspected[]> {
  const look = async (found: FoundFile, looking?: Looking): Promise<Inspected> => {
    try {
      return { kind: 'inspected', found, ...(await inspectFile(place, found, mapping, looking)) }
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      return { kind: 'faulty', found, fault: error }
    }
  }
  const looked = await pMap(files, (found) => look(found), { concurrency: filesAtOnce })
  return withShownDialects(looked, mapping, (all, lookingAt) =>
    pMap(
      all,
      (one) => {
        const looking = lookingAt(one)
        return looking === null ? one : look(one.found, looking)
      },
      { concurrency: filesAtOnce },
    ),
  )
}
