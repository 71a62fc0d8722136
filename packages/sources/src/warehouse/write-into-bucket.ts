import { type Mapping, OperatorError } from '@heapferry/domain'
import { inspectExport } from '../export/inspect-export.ts'
import { sourceAt } from '../open-source.ts'
import type { ExportPlace } from '../places/open-place.ts'
import { folderOf, type StagedTable } from './stage.ts'
import type { Relation, Warehouse, WrittenTable } from './warehouse.ts'

interface BucketWork {
  warehouse: Warehouse
  /** Of the bucket, below the run's own prefix. */
  place: ExportPlace
  mapping: Mapping
  /** Stores that an attempt of the table begins, before it does. */
  began(attempt: number): Promise<void>
}

/**
 * Has a warehouse write a whole table into a folder of the bucket, numbered for each attempt: nothing that lies there is ever
 * written over or deleted. What an attempt has left whole, of which nobody was told, is taken.
 * @returns its files, of which each has as many rows and bytes as the warehouse says, and all together as many as it counts
 * @throws OperatorError when they do not: the next call has them written anew
 */
export async function writtenIntoBucket(
  table: StagedTable,
  { warehouse, place, mapping, began }: BucketWork,
): Promise<WrittenTable['files']> {
  const { bucket } = warehouse
  if (!bucket) throw noBucket(warehouse)
  const relation: Relation = { name: table.relation, columns: table.columns }
  const folder = (attempt: number): string => `${folderOf(table.table)}/${attempt}`
  let attempt = table.attempt ?? 0
  const nextFolder = async (): Promise<string> => {
    const taken = await place.list()
    do attempt++
    while (taken.some((path) => path.startsWith(`${folder(attempt)}/`)))
    await began(attempt)
    return folder(attempt)
  }
  const before = attempt === 0 ? null : await bucket.found?.(relation, place, folder(attempt))
  const written = before ?? (await bucket.write(relation, place, nextFolder))
  const fault = await faultIn(written, { place, table, mapping })
  if (fault === null) return written.files
  await began(attempt + 1)
  throw new OperatorError(
    `${place.root}/${folder(attempt)} does not hold ${table.relation} as the warehouse says: ${fault}`,
    'Nothing of it was taken. Start the same command again: it has the table written anew, into another folder. If it is the same then, tell the maintainers of heapferry.',
  )
}

/** @throws OperatorError when the bucket is none that the warehouse writes into */
export function assertWritesInto(warehouse: Warehouse, bucket: string): void {
  if (!warehouse.bucket) throw noBucket(warehouse)
  if (warehouse.bucket.address.test(bucket)) return
  throw new OperatorError(
    `${bucket} is no bucket that ${warehouse.address} can write into`,
    `Give ${warehouse.bucket.form} with --stage.`,
  )
}

function noBucket({ address }: Warehouse): OperatorError {
  return new OperatorError(
    `heapferry cannot have ${address} write into a bucket itself`,
    'Start the command without --stage: the tables are read by heapferry, into its work store.',
  )
}

async function faultIn(
  { rows, files }: WrittenTable,
  { place, table, mapping }: { place: ExportPlace; table: StagedTable; mapping: Mapping },
): Promise<string | null> {
  const inFiles = files.reduce((sum, file) => sum + file.rows, 0)
  if (rows !== null && rows !== inFiles) return `it counts ${rows} rows, and has written ${inFiles}`
  const found = files.map(({ path }) => ({ path, table: table.table }))
  const source = sourceAt(place)
  for (const one of await inspectExport({ place, files: found, notices: [] }, mapping)) {
    if (one.kind === 'faulty') throw one.fault
    for (const file of one.files) {
      const said = files.find(({ path }) => path === file.path)
      if (file.version.sizeBytes !== said?.bytes)
        return `${file.path} has ${file.version.sizeBytes} bytes, and is to have ${said?.bytes}`
      const there = await source.countRows(file, file.version.sizeBytes)
      if (there !== said.rows) return `${file.path} has ${there} rows, and is to have ${said.rows}`
    }
  }
  return null
}
