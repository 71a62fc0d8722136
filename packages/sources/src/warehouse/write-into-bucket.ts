import { randomUUID } from 'node:crypto'
import { type Mapping, OperatorError } from '@heapferry/domain'
import { inspectExport } from '../export/inspect-export.ts'
import { sourceAt } from '../open-source.ts'
import type { ExportPlace } from '../places/open-place.ts'
import { folderOf, type StagedPart, type StagedTable } from './stage.ts'
import type { Relation, Warehouse, WrittenTable } from './warehouse.ts'

interface BucketWork {
  warehouse: Warehouse
  /** Of the bucket, below the run's own prefix. */
  place: ExportPlace
  mapping: Mapping
  /** Stores the table as it is by now. */
  store(): Promise<void>
}

/**
 * Has a warehouse write a whole table into a folder of the bucket, numbered for each attempt: nothing that lies there is ever
 * written over or deleted. What an attempt has left whole, of which nobody was told, is taken.
 * @returns its files, of which each has as many rows and bytes as the warehouse says, and all together as many as it counts
 * @throws OperatorError when they do not: the next call has them written anew
 */
export async function writtenIntoBucket(
  table: StagedTable,
  { warehouse, place, mapping, store }: BucketWork,
): Promise<StagedPart[]> {
  const { bucket } = warehouse
  if (!bucket) throw noBucket(warehouse)
  const relation: Relation = { name: table.relation, columns: table.columns }
  const folder = (): string => `${folderOf(table.table)}/${table.attempt}`
  const written = await bucket.write(relation, place, {
    last:
      table.statement === undefined ? null : { folder: folder(), uuid: table.statement, handle: table.handle ?? null },
    async next() {
      const taken = await place.list()
      do table.attempt = (table.attempt ?? 0) + 1
      while (taken.some((path) => path.startsWith(`${folder()}/`)))
      table.statement = randomUUID()
      delete table.handle
      await store()
      return { folder: folder(), uuid: table.statement, handle: null }
    },
    async called(handle) {
      table.handle = handle
      await store()
    },
  })
  const checked = await partsOf(written, { place, table, mapping })
  if (checked.kind === 'whole') return checked.parts
  delete table.statement
  delete table.handle
  await store()
  throw new OperatorError(
    `${place.root}/${folder()} does not hold ${table.relation} as the warehouse says: ${checked.fault}`,
    'Nothing of it was taken. Start the same command again: it has the table written anew, into another folder. If it is the same then, check that HEAPFERRY_S3_ENDPOINT and the credentials of this machine lead to the bucket that the warehouse writes into, and that nobody else writes there.',
  )
}

/** @throws OperatorError when the bucket is none that the warehouse writes into, or something lacks for it */
export function assertWritesInto(warehouse: Warehouse, bucket: string): void {
  if (!warehouse.bucket) throw noBucket(warehouse)
  if (warehouse.bucket.address.test(bucket)) return warehouse.bucket.assertSet?.()
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

async function partsOf(
  { rows, fileCount, files }: WrittenTable,
  { place, table, mapping }: { place: ExportPlace; table: StagedTable; mapping: Mapping },
): Promise<{ kind: 'whole'; parts: StagedPart[] } | ReturnType<typeof faulty>> {
  if (fileCount !== files.length) return faulty(`it counts ${fileCount} files, and ${files.length} are there`)
  const listed = new Set(await place.list())
  const missing = files.find(({ path }) => !listed.has(path))
  if (missing) return faulty(`${missing.path} is not there`)
  const parts: StagedPart[] = []
  const found = files.map(({ path }) => ({ path, table: table.table }))
  const source = sourceAt(place)
  for (const one of await inspectExport({ place, files: found, notices: [] }, mapping)) {
    if (one.kind === 'faulty') throw one.fault
    for (const file of one.files) {
      const { path, version } = file
      const said = files.find((other) => other.path === path)
      const bytes = version.sizeBytes
      if (bytes !== (said?.bytes ?? bytes)) return faulty(`${path} has ${bytes} bytes, and is to have ${said?.bytes}`)
      const there = (await source.countRows(file, bytes)) ?? 0
      if (there !== (said?.rows ?? there)) return faulty(`${path} has ${there} rows, and is to have ${said?.rows}`)
      parts.push({ path, rows: there, bytes })
    }
  }
  const inFiles = parts.reduce((sum, part) => sum + part.rows, 0)
  if (rows !== null && rows !== inFiles) return faulty(`it counts ${rows} rows, and has written ${inFiles}`)
  return { kind: 'whole', parts }
}

function faulty(fault: string) {
  return { kind: 'faulty' as const, fault }
}
