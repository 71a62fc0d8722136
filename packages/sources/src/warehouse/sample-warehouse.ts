import { createHash, randomBytes } from 'node:crypto'
import { type ExportFile, type FileVersion, type Mapping, phaseOf, type Source } from '@heapferry/domain'
import type { Discovery } from '../export/discover.ts'
import type { ExportPlace } from '../places/open-place.ts'
import { costOf, type LeftOutTable, tablesToUnload } from './unload-tables.ts'
import type { Warehouse } from './warehouse.ts'
import { AvroWriter } from './write-avro.ts'
import { assertWritesInto } from './write-into-bucket.ts'

/** A warehouse of which nothing but the first rows of each table was read. */
export interface SampledWarehouse {
  /** The first rows, as the files that unloading would make; in memory, since they hold personal data. */
  discovery: Discovery
  /** Tables of which nothing would be unloaded. */
  leftOut: readonly LeftOutTable[]
  /** How many rows the warehouse itself counts, by the path of the file. */
  rows: ReadonlyMap<string, { count: number; exact: boolean }>
  /** The files with the size that they would have, were all rows in them. */
  files(inspected: readonly ExportFile[]): ExportFile[]
  /** Reads those. */
  source(source: Source): PlannedSource
}

/** What a plan asks of a source. */
type PlannedSource = Pick<Source, 'readAll' | 'sample' | 'countRows'>

// What people who know their tables look at; enough to tell what stands in the columns.
const sampledRows = 1000

/** Reads catalogue, numbers of rows and first rows of what would be unloaded. */
export async function sampleWarehouse(
  warehouse: Warehouse,
  { mapping, bucket }: { mapping: Mapping; bucket: string | undefined },
): Promise<SampledWarehouse> {
  if (bucket !== undefined) assertWritesInto(warehouse, bucket)
  const catalogue = await warehouse.catalogue()
  const { tables, leftOut, notices } = tablesToUnload(catalogue, mapping)
  const place = placeInMemory()
  const rows = new Map<string, { count: number; exact: boolean }>()
  const held = new Map<string, number>()
  let windowsInAll = 0
  let stagedBytes = 0
  for (const { table, relation } of tables) {
    const windows =
      phaseOf(table.kind) === 'identities' || bucket !== undefined
        ? [{ rows: await warehouse.count(relation) }]
        : await warehouse.windows(relation)
    const counted = windows.reduce((sum, window) => sum + window.rows, 0)
    const sample = await warehouse.sample(relation, sampledRows)
    const writer = new AvroWriter(relation.columns, randomBytes(16))
    await writer.add(sample)
    await place.put(table.name, await writer.end())
    windowsInAll += windows.length
    rows.set(table.name, { count: counted, exact: relation.isEstimated !== true })
    held.set(table.name, sample.length)
    stagedBytes += sample.length === 0 ? writer.sizeBytes : (writer.sizeBytes / sample.length) * counted
  }
  const inAll = [...rows.values()].reduce((sum, { count }) => sum + count, 0)
  const about = tables.some(({ relation }) => relation.isEstimated) ? 'about ' : ''
  const versions = new Map<string, FileVersion>()
  const asItIs = (file: ExportFile): ExportFile => ({ ...file, version: versions.get(file.path) ?? file.version })

  return {
    discovery: {
      place,
      files: tables.map(({ table }) => ({ path: table.name, table: table.name })),
      notices: [
        `${warehouse.address}: ${tables.length} tables with ${about}${inAll} rows, ${bucket === undefined ? `to be unloaded in ${windowsInAll} ${warehouse.queries ? 'queries' : 'windows'} into` : `which it will write into ${bucket} itself, as`} about ${Math.ceil(stagedBytes / 1e6)} MB. Nothing but the first ${sampledRows} rows of each table was read; who is who is told of those alone.`,
        ...catalogue.notices,
        ...notices,
        ...(await costOf(warehouse, tables)),
      ],
    },
    leftOut,
    rows,
    files: (inspected) =>
      inspected.map((file) => {
        const sampled = held.get(file.path) ?? 0
        const counted = rows.get(file.path)?.count ?? 0
        versions.set(file.path, file.version)
        const sizeBytes =
          sampled === 0 ? file.version.sizeBytes : Math.round((file.version.sizeBytes / sampled) * counted)
        return { ...file, version: { ...file.version, sizeBytes } }
      }),
    source: (source) => ({
      readAll: (file, limits) => source.readAll(asItIs(file), limits),
      async sample(file, wanted) {
        const sample = await source.sample(asItIs(file), wanted)
        const counted = rows.get(file.path)
        return { ...sample, whole: sample.whole && counted?.exact === true && counted.count === held.get(file.path) }
      },
      countRows: async (file) => rows.get(file.path)?.count ?? null,
    }),
  }
}

function placeInMemory(): ExportPlace {
  const files = new Map<string, Buffer>()
  return {
    root: '/',
    list: async () => [...files.keys()].toSorted(),
    async open(path) {
      const bytes = files.get(path)
      if (!bytes) throw new Error(`${path} is not in memory`)
      return {
        version: { sizeBytes: bytes.length, mark: createHash('sha256').update(bytes).digest('hex').slice(0, 16) },
        fill: async (target, at) => void bytes.copy(target, 0, at),
        close: async () => {},
      }
    },
    async put(path, parts) {
      files.set(path, Buffer.concat(parts))
    },
    close() {},
  }
}
