import { type Mapping, OperatorError } from '@heapferry/domain'
import pMap, { pMapIterable } from 'p-map'
import type { Looking } from '../formats/file-format.ts'
import type { Discovery, FoundFile } from './discover.ts'
import { beginFile, inspectBegun, type Inspection } from './inspect-file.ts'
import { sayingSo } from './table-name.ts'
import { fits } from './table-said-of.ts'
import { withShownDialects } from './with-shown-dialects.ts'

/** What one file of an export holds, or why it cannot be told. */
export type Inspected =
  | ({ kind: 'inspected'; found: FoundFile } & Inspection)
  | { kind: 'faulty'; found: FoundFile; fault: OperatorError }

// Over a network a file takes a round trip, and an export may have ten thousand files a table. What is begun takes 64 KB.
const beginningsAtOnce = 128
// To look into one can take some megabytes more, and further round trips.
const filesAtOnce = 16

/** Looks at every file, in the order of the discovery; a faulty one does not keep the others from being looked at. */
export async function inspectExport({ place, files }: Discovery, mapping: Mapping): Promise<readonly Inspected[]> {
  const lookAt = (all: readonly { found: FoundFile; looking?: Looking }[]): Promise<Inspected[]> => {
    const begun = pMapIterable(
      all,
      async ({ found, looking }) => ({ found, looking, blob: await unlessFaulty(beginFile(place, found)) }),
      { concurrency: beginningsAtOnce },
    )
    return pMap(
      begun,
      async ({ found, looking, blob }): Promise<Inspected> => {
        if (blob instanceof OperatorError) return { kind: 'faulty', found, fault: blob }
        const inspection = await unlessFaulty(inspectBegun(blob, found, mapping, looking))
        if (inspection instanceof OperatorError) return { kind: 'faulty', found, fault: inspection }
        return { kind: 'inspected', found, ...inspection }
      },
      { concurrency: filesAtOnce },
    )
  }
  const looked = await lookAt(files.map((found) => ({ found })))
  const inspected = await withShownDialects(looked, mapping, async (all, lookingAt) => {
    const again = all.flatMap((one, index) => {
      const looking = lookingAt(one)
      return looking === null ? [] : [{ index, found: one.found, looking }]
    })
    const seen = await lookAt(again)
    const changed = new Map(again.map(({ index }, nth) => [index, seen[nth]]))
    return all.map((one, index) => changed.get(index) ?? one)
  })
  return withOneUsersTable(inspected)
}

/** What is wrong with a file is told with all others. */
function unlessFaulty<T>(work: Promise<T>): Promise<T | OperatorError> {
  return work.catch((error: unknown) => {
    if (error instanceof OperatorError) return error
    throw error
  })
}

/** A table that only its columns tell to be of people may be a segment, where the table of people itself is there too. */
function withOneUsersTable(inspected: readonly Inspected[]): Inspected[] {
  const ofPeople = inspected
    .flatMap((one) => (one.kind === 'inspected' ? one.files : []))
    .filter(({ table }) => table.kind === 'users')
  const named = ofPeople.find(({ toldBy }) => toldBy !== 'columns')
  return inspected.map((one) => {
    const file = one.kind === 'inspected' ? one.files.find(({ table }) => table.kind === 'users') : undefined
    if (!named || file?.toldBy !== 'columns') return one
    const fault = new OperatorError(
      `${file.path} has the columns of users, and so has ${named.path}, which is called so: it may be a part of the same table, or one of its own`,
      `Where it belongs to users, ${sayingSo(file.path, 'users')}. Where nothing of it is to be sent, ${sayingSo(file.path, 'NAME')} and tables: { NAME: { kind: skip } }.`,
    )
    return { kind: 'faulty', found: one.found, fault }
  })
}

/** What a user should know of the files, and of what the mapping says of files and columns that are not there. */
export function noticesOf(inspected: readonly Inspected[], mapping: Mapping): string[] {
  const seen = inspected.filter((one) => one.kind === 'inspected')
  const unused = Object.keys(mapping.files).filter(
    (pattern) => !inspected.some(({ found }) => fits(pattern, found.path)),
  )
  const missing = [
    ...columnsMissing('columns', mapping.columns, seen),
    ...Object.entries(mapping.tables).flatMap(([table, { columns }]) => {
      const own = seen.filter(({ files }) => files.some((file) => file.table.name === table))
      if (columns === undefined || Array.isArray(columns) || own.length === 0) return []
      return columnsMissing(`tables.${table}.columns`, columns, own)
    }),
  ]
  return [
    // Files of one table say the same.
    ...new Set(seen.flatMap(({ notices }) => notices)),
    ...unused.map((pattern) => `The mapping has files.${JSON.stringify(pattern)}, but no file fits it`),
    ...missing,
  ]
}

function columnsMissing(key: string, columns: Readonly<Record<string, string>>, seen: readonly Inspection[]): string[] {
  const renamed = new Set(seen.flatMap((one) => one.renamed))
  return Object.entries(columns)
    .filter(([column, name]) => column.toLowerCase() !== name && !renamed.has(column.toLowerCase()))
    .map(([column]) => `The mapping has ${key}.${JSON.stringify(column)}, but no file was seen to have such a column`)
}
