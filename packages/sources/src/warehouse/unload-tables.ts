import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  type Mapping,
  OperatorError,
  phaseOf,
  SourceChanged,
  type Run,
  type RunId,
  type Table,
  tableOf,
  tableSaid,
  type UnloadedTable,
  unwritable,
} from '@heapferry/domain'
import type { Discovery, FoundFile } from '../export/discover.ts'
import { type ExportPlace, openPlace, type S3Options } from '../places/open-place.ts'
import { folderOf, putStage, readStage, type Stage, type StagedTable } from './stage.ts'
import { columnsIn, type LeftOutTable, listed, tableNamed, tablesToUnload } from './tables-to-unload.ts'
import { type Catalogue, QueryFailed, type Relation, ResultGone, type Warehouse, type Window } from './warehouse.ts'
import { AvroMemory, AvroWriter } from './write-avro.ts'
import { assertWritesInto, writtenIntoBucket } from './write-into-bucket.ts'

/** Rows of sealed windows, and how many there are to be in all. */
interface UnloadProgress {
  table: string
  rows: number
  of: number
}

/** A table that is unloaded, or is to be. */
export interface UnloadingTable {
  table: Table
  /** As the mapping calls them. */
  columns: readonly string[]
  /** All of it is in files, and all its files were handed out. */
  isWhole: boolean
  /** How many files it is in by now: of a table without rows a warehouse may write none. */
  fileCount: number
}

/** A warehouse that is unloaded, or was. */
export interface Unloading {
  readonly stage: Stage
  /** Where its files are. */
  readonly files: ExportPlace
  /** In the order in which they are unloaded. */
  tables(): UnloadingTable[]
  /** Of which nothing is unloaded. */
  leftOut(): LeftOutTable[]
  /** Files of all windows that are sealed. */
  sealed(): FoundFile[]
  /** All is in files, and all files were handed out. */
  isWhole(): boolean
  progress(): UnloadProgress
  /**
   * Unloads what is missing of the tables that are wanted, a window at a time; ends when the signal comes.
   * @param isWanted asked by the name that the run calls a table
   * @throws OperatorError when the warehouse or the place does not let it go on: the next call does, with the next window
   */
  unload(isWanted: (table: string) => boolean, work: UnloadWork): AsyncGenerator<UnloadedWindow>
}

interface UnloadWork {
  warehouse: Warehouse
  /** Awaited before a window is sealed; throws where somebody else unloads by now. */
  holding(): Promise<void>
  signal: AbortSignal
  /** Also within a window. */
  onProgress(progress: UnloadProgress): void
}

interface UnloadingRequest {
  warehouse: Warehouse
  mapping: Mapping
  bucket?: string | undefined
  /** How that is reached. */
  s3?: S3Options
}

const noOptions: S3Options = { pathStyle: false, requesterPays: false }

interface UnloadedWindow {
  files: FoundFile[]
  /** Where it is the last one of its table: what is to be told of the table. */
  told: { table: string; rows: number; notice: string | null; unloaded?: UnloadedTable } | null
}

// Held in memory until it is put.
const partBytes = 32 * 1024 * 1024

/**
 * What was begun at a place goes on; where nothing was, the warehouse is looked into, which reads no row.
 * @param warehouse asked only where nothing was begun
 * @param bucket into which the warehouse is to write the files itself, `s3://bucket/prefix`; what was begun goes on where it was
 * @throws OperatorError when it is not to be unloaded as it is
 */
export async function openUnloading(
  given: ExportPlace,
  { warehouse, mapping, bucket, s3 = noOptions }: UnloadingRequest,
): Promise<Unloading> {
  const place: ExportPlace = {
    ...given,
    put: (path, parts) =>
      given.put(path, parts).catch((error: unknown) => {
        throw unwritable(
          error,
          `${given.root} cannot be written to`,
          'Make room there, give this user the right to write, or name another place in HEAPFERRY_WORK_STORE (for producers and workers alike). Then start the same command again: what is unloaded stays.',
        )
      }),
  }
  const begun = await readStage(place)
  if (begun !== null && begun.address !== warehouse.address)
    throw new OperatorError(
      `${place.root} holds what was unloaded of ${begun.address}, and not of ${warehouse.address}`,
      'Give another name with --run.',
    )
  if (begun !== null && bucket !== undefined && begun.bucket !== bucket)
    throw new OperatorError(
      `${place.root} was begun ${begun.bucket === undefined ? 'without --stage' : `with ${begun.bucket}`}, and not with ${bucket}`,
      'Start the command as it was, or give another name with --run.',
    )
  const stage = begun ?? (await beginStage())
  const filesPlace = stage.bucket === undefined ? place : await openPlace(stage.bucket, s3)

  async function beginStage(): Promise<Stage> {
    if (bucket !== undefined) assertWritesInto(warehouse, bucket)
    const planned = await plannedStage(warehouse, mapping, bucket)
    // It takes a while, and another command may have been quicker.
    const other = await readStage(place)
    if (other !== null) return other
    await putStage(place, planned)
    return planned
  }

  const memory = new AvroMemory()
  const handedOut = new Set(stage.tables.flatMap((table) => filesOf(table)).map(({ path }) => path))
  const isSealed = (): boolean => stage.tables.every(isTableSealed)
  const isHandedOut = (table: StagedTable): boolean =>
    isTableSealed(table) && filesOf(table).every(({ path }) => handedOut.has(path))
  const newFilesOf = (table: StagedTable): FoundFile[] => {
    const files = filesOf(table).filter(({ path }) => !handedOut.has(path))
    for (const { path } of files) handedOut.add(path)
    return files
  }
  const progress = (table = ''): UnloadProgress => {
    const windows = stage.tables.flatMap((one) => one.windows)
    const rows = windows.reduce((sum, { parts }) => sum + (parts === null ? 0 : rowsOf(parts)), 0)
    const left = windows.reduce((sum, { expected, parts }) => sum + (parts === null ? expected : 0), 0)
    return { table, rows, of: rows + left }
  }

  async function* unloadTable(table: StagedTable, work: UnloadWork): AsyncGenerator<UnloadedWindow> {
    for (let restarts = 0; ; restarts++) {
      try {
        if (stage.bucket === undefined) await queryOf(table, work)
        yield* sealWindows(table, work)
        return
      } catch (error) {
        // What was asked of an altered table is of no use any more.
        const isGone = error instanceof ResultGone
        const isOver = error instanceof QueryFailed
        if (table.query === undefined || !(isGone || isOver || error instanceof SourceChanged)) throw error
        // Nothing of it was handed out.
        table.windows = [{ window: { kind: 'whole' }, expected: rowsToBeIn(table), parts: null }]
        delete table.query
        delete table.handle
        await work.holding()
        await putStage(place, stage)
        if (isOver) throw error.told
        if (!isGone || restarts > 0) throw error
        const notice = `${table.table} is queried again, and read from its beginning: ${error.message}`
        yield { files: [], told: { table: table.table, rows: 0, notice } }
      }
    }
  }

  /** Has windows of a result, where tables are not read themselves. */
  async function queryOf(table: StagedTable, { warehouse: open, holding, onProgress }: UnloadWork): Promise<void> {
    if (!open.queries || !table.windows.some(({ window }) => window.kind === 'whole')) return
    onProgress(progress(table.table))
    const isAgain = table.query !== undefined
    table.query ??= randomUUID()
    await holding()
    // Before it is asked: whoever comes after this process finds it again, and does not pay for another.
    await putStage(place, stage)
    if (open.queries.begin && table.handle === undefined) {
      table.handle = await open.queries.begin(relationOf(table), { uuid: table.query, isAgain })
      await holding()
      await putStage(place, stage)
    }
    const windows = await open.queries.windows(relationOf(table), table.handle ?? table.query)
    table.windows = windows.map(({ window, rows }) => ({ window, expected: rows, parts: null }))
    await holding()
    await putStage(place, stage)
  }

  async function* sealWindows(
    table: StagedTable,
    { warehouse: open, holding, signal, onProgress }: UnloadWork,
  ): AsyncGenerator<UnloadedWindow> {
    for (const [index, staged] of table.windows.entries()) {
      if (staged.parts !== null) continue
      if (signal.aborted) return
      const before = progress(table.table)
      const readAtMs = Date.now()
      onProgress(before)
      const parts =
        stage.bucket === undefined
          ? await partsOf(open, { place, table, window: staged.window, index, memory }, (rows) =>
              onProgress({ ...before, rows: before.rows + rows, of: Math.max(before.of, before.rows + rows) }),
            )
          : await writtenIntoBucket(table, {
              warehouse: open,
              place: filesPlace,
              mapping,
              async store() {
                await holding()
                await putStage(place, stage)
              },
            })
      await holding()
      staged.parts = parts
      staged.readAtMs = readAtMs
      await putStage(place, stage)
      onProgress(progress(table.table))
      if (isTableSealed(table)) await open.queries?.drop(staged.window)
      yield {
        files: newFilesOf(table),
        told: isTableSealed(table) ? await tableTold(open, table) : null,
      }
    }
  }

  async function* unloadTables(isWanted: (table: string) => boolean, work: UnloadWork): AsyncGenerator<UnloadedWindow> {
    const { warehouse: open } = work
    await work.holding()
    // Another command may have unloaded since this one looked.
    Object.assign(stage, await readStage(place))
    for (const table of stage.tables) {
      if (!isWanted(table.table)) continue
      const ofOthers = newFilesOf(table)
      if (ofOthers.length > 0) yield { files: ofOthers, told: null }
      yield* unloadTable(table, work)
      if (work.signal.aborted) return
    }
    if (!isSealed()) return
    const catalogue = await open.catalogue()
    if (stage.synced !== null && (await syncedOf(open, catalogue)) !== stage.synced)
      yield { files: [], told: { table: '_sync_info', rows: 0, notice: syncedMeanwhile } }
    const notice = await allEventsDiffer(open, catalogue, stage)
    if (notice !== null) yield { files: [], told: { table: 'all_events', rows: 0, notice } }
  }

  return {
    stage,
    files: filesPlace,
    tables: () =>
      stage.tables.map((staged) => ({
        table: tableNamed(staged.table, staged.columns, mapping),
        columns: columnsIn(staged.table, staged.columns, mapping),
        isWhole: isHandedOut(staged),
        fileCount: filesOf(staged).length,
      })),
    leftOut: () =>
      stage.leftOut.map(({ table, columns }) => ({
        table: tableSaid(mapping, table) ?? tableOf(table, columns),
        columns,
      })),
    sealed: () => stage.tables.flatMap((table) => filesOf(table)),
    isWhole: () => stage.tables.every(isHandedOut),
    progress,

    async *unload(isWanted, work) {
      try {
        yield* unloadTables(isWanted, work)
      } catch (error) {
        if (!isStop(error, work.signal)) throw error
      }
    },
  }
}

const syncedMeanwhile =
  'Heap synced into the warehouse while it was unloaded. No event is lost or doubled by it; but people whom it merged meanwhile may be known under the older id in what was read before, and events get nothing from sessions that came after those were read.'

/** Heap keeps every event in a table of all too: what that counts otherwise is told. */
async function allEventsDiffer(warehouse: Warehouse, { relations }: Catalogue, stage: Stage): Promise<string | null> {
  const all = relations.find(({ name }) => name.toLowerCase() === 'all_events')
  if (!all?.columns.some(({ name }) => name === 'event_table_name') || !warehouse.countEvents) return null
  const counted = await warehouse.countEvents(all).catch((error: unknown) => {
    if (error instanceof OperatorError) return error
    throw error
  })
  // All is unloaded by then, and a view of hundreds of tables may take longer than a statement may.
  if (counted instanceof OperatorError) return `all_events was not counted: ${counted.message}`
  const differing = stage.tables.flatMap(({ relation, windows }) => {
    const rows = windows.reduce((sum, { parts }) => sum + rowsOf(parts ?? []), 0)
    const there = counted.get(relation) ?? counted.get(relation.toLowerCase())
    return there === undefined || there === rows ? [] : [`${relation} (${there} there, ${rows} unloaded)`]
  })
  return differing.length === 0 ? null : `all_events counts otherwise than what was unloaded: ${listed(differing)}`
}

/** What was unloaded for a run, as an export. */
export async function discoverStage(run: Run, { store, s3 }: { store: string; s3: S3Options }): Promise<Discovery> {
  const root = stageOf(store, run.id)
  const kept = await openPlace(root, s3)
  const stage = await readStage(kept).finally(() => kept.close())
  const files = stage?.tables.flatMap((table) => filesOf(table))
  if (files) return { place: await openPlace(run.root, s3), files, notices: [] }
  throw new OperatorError(
    `The stage ${root} is gone`,
    'Put it back: rows of the run are read there, not in the warehouse.',
  )
}

/** Where the stage of a run is in a work store. */
export function stageOf(store: string, run: RunId): string {
  return `${store.replace(/\/+$/, '')}/${run}/stage`
}

/** Reads a window whole; nobody knows of its files before it is. */
async function partsOf(
  warehouse: Warehouse,
  {
    place,
    table,
    window,
    index,
    memory,
  }: { place: ExportPlace; table: StagedTable; window: Window; index: number; memory: AvroMemory },
  onRows: (rows: number) => void,
): Promise<NonNullable<StagedTable['windows'][number]['parts']>> {
  const newWriter = (): AvroWriter => new AvroWriter(table.columns, randomBytes(16), memory)
  let parts: { path: string; rows: number; bytes: number }[] = []
  let writer = newWriter()
  let rowsTaken = 0

  const put = async (): Promise<void> => {
    const bytes = await writer.end()
    // Named by chance, so that nobody who has lost the right to unload without knowing it writes over a sealed file.
    const path = `${folderOf(table.table)}/${numbered(index)}-${numbered(parts.length)}-${randomBytes(4).toString('hex')}.avro`
    await place.put(path, bytes)
    parts.push({ path, rows: writer.rows, bytes: writer.sizeBytes })
    writer = newWriter()
  }

  const rows = await warehouse.read(relationOf(table), window, {
    onStart() {
      parts = []
      rowsTaken = 0
      writer = newWriter()
    },
    async onRows(batch) {
      await writer.add(batch)
      rowsTaken += batch.length
      onRows(rowsTaken)
      if (writer.sizeBytes >= partBytes) await put()
    },
  })
  // A table without rows has columns all the same.
  if (writer.rows > 0 || (parts.length === 0 && table.windows.length === 1)) await put()
  if (rowsOf(parts) !== rows) throw new Error(`${rows} rows of ${table.relation} became ${rowsOf(parts)}`)
  return parts
}

function numbered(index: number): string {
  return String(index + 1).padStart(6, '0')
}

/** What is to be said of a table that is unloaded: its rows now are counted once more. */
async function tableTold(warehouse: Warehouse, table: StagedTable): Promise<UnloadedWindow['told']> {
  const rows = table.windows.reduce((sum, { parts }) => sum + rowsOf(parts ?? []), 0)
  const isOneSnapshot = (table.windows.length === 1 && table.attempt === undefined) || warehouse.queries !== undefined
  const now = isOneSnapshot ? rows : await warehouse.count(relationOf(table))
  const differs =
    now < rows
      ? `had rows taken out while it was unloaded, or moved to another time: ${rows} were unloaded, ${now} are there now`
      : `got rows while it was unloaded, which are left out: ${rows} were unloaded, ${now} are there now`
  return {
    table: table.table,
    rows,
    notice: now === rows ? null : `${table.table} ${differs}`,
    unloaded: unloadedTable(table),
  }
}

function unloadedTable({ table, relation, columns, windows, query, attempt }: StagedTable): UnloadedTable {
  const parts = windows.flatMap(({ parts: sealed }) => sealed ?? [])
  const moments = windows.flatMap(({ readAtMs }) => readAtMs ?? [])
  const how = [
    `${columns.length === 1 ? '1 column' : `${columns.length} columns`} of ${relation}`,
    ...(windows.length === 1 ? [] : [`in ${windows.length} windows`]),
    ...(attempt === undefined ? [] : [`written by the warehouse into ${folderOf(table)}/${attempt}`]),
    ...(query === undefined ? [] : [`query ${query}`]),
  ]
  return {
    statement: how.join(', '),
    sinceMs: Math.min(...moments),
    untilMs: Math.max(...moments),
    files: parts.length,
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

/** What is to be unloaded of a warehouse; no row of it is read. */
async function plannedStage(warehouse: Warehouse, mapping: Mapping, bucket: string | undefined): Promise<Stage> {
  const catalogue = await warehouse.catalogue()
  const { tables, leftOut, notices } = tablesToUnload(catalogue, mapping)
  const staged: StagedTable[] = []
  for (const { table, relation } of tables) {
    const windows =
      phaseOf(table.kind) === 'identities' || bucket !== undefined
        ? [{ window: { kind: 'whole' as const }, rows: await warehouse.count(relation) }]
        : await warehouse.windows(relation)
    staged.push({
      table: table.name,
      relation: relation.name,
      columns: [...relation.columns],
      windows: windows.map(({ window, rows }) => ({ window, expected: rows, parts: null })),
    })
  }
  return {
    version: 1,
    address: warehouse.address,
    ...(bucket !== undefined && { bucket }),
    tables: staged.toSorted((a, b) => orderOf(a, mapping) - orderOf(b, mapping)),
    leftOut: leftOut.map(({ table, columns }) => ({ table: table.name, columns: [...columns] })),
    notices: [...catalogue.notices, ...notices, ...(await costOf(warehouse, tables))],
    synced: await syncedOf(warehouse, catalogue),
  }
}

/** For the user. */
export async function costOf(warehouse: Warehouse, tables: readonly { relation: Relation }[]): Promise<string[]> {
  const cost = await warehouse.cost?.(tables.map(({ relation }) => relation))
  return cost === undefined ? [] : [cost]
}

/** People first, then what is small: events of it are on their way while the large tables are read. */
function orderOf(table: StagedTable, mapping: Mapping): number {
  return phaseOf(kindOf(table, mapping)) === 'identities' ? -1 : rowsToBeIn(table)
}

function rowsToBeIn({ windows }: StagedTable): number {
  return windows.reduce((sum, { expected }) => sum + expected, 0)
}

function kindOf({ table, columns }: StagedTable, mapping: Mapping): Table['kind'] {
  return tableNamed(table, columns, mapping).kind
}

function relationOf({ relation, columns }: StagedTable): Relation {
  return { name: relation, columns }
}

/** Those that may be read: of a result that may be gone before all of it is read, all or none. */
function filesOf(staged: StagedTable): FoundFile[] {
  const { table, windows, query } = staged
  if (query !== undefined && !isTableSealed(staged)) return []
  return windows.flatMap(({ parts }) => (parts ?? []).map(({ path }) => ({ path, table })))
}

/** Whether something ended because the signal came. */
function isStop(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && error instanceof Error && error.name === 'AbortError'
}

function isTableSealed({ windows }: StagedTable): boolean {
  return windows.every(({ parts }) => parts !== null)
}

function rowsOf(parts: readonly { rows: number }[]): number {
  return parts.reduce((sum, { rows }) => sum + rows, 0)
}

const syncRows = 10_000

/** Of all that Heap's table of its syncs says. */
async function syncedOf(warehouse: Warehouse, { relations }: Catalogue): Promise<string | null> {
  const info = relations.find(({ name }) => name.toLowerCase() === '_sync_info')
  if (!info) return null
  const rows = await warehouse.sample(info, syncRows)
  const texts = rows.map((row) => JSON.stringify(row)).toSorted()
  return createHash('sha256').update(texts.join('\n')).digest('hex')
}
