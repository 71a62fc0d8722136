import { createHash } from 'node:crypto'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import {
  conversionVersion,
  type Destination,
  type ExportFile,
  type FileId,
  type FileLedger,
  goneOnWith,
  hashes,
  type Identities,
  isSameVersion,
  type Mapping,
  OperatorError,
  type Pace,
  type Phase,
  phases,
  type PlanLedger,
  Run,
  RunId,
  type RunLedger,
  type Source,
  type TimelineLedger,
  type WorkStore,
} from '@heapferry/domain'
import {
  assertSameFiles,
  changeText,
  fingerprintOfSalt,
  loadIdentities,
  lookAtTables,
  madeFiles,
  mappingChanges,
  mappingChangeText,
  mappingNotices,
  paceText,
  planRun,
  readBeforeEvents,
  repeatedFileNotices,
  saveFirstTouch,
  saveIdentities,
  saveSessions,
  type Scratch,
  withGroupFiles,
} from '@heapferry/migration'
import { ChunkQueue } from '@heapferry/queue'
import {
  discover,
  type Discovery,
  inspectExport,
  type Inspected,
  isBucket,
  isPausedForGrant,
  isWarehouse,
  noticesOf,
  openPlace,
  openWorkStore,
  type S3Options,
  saveGrant,
  sourceAt,
  stageOf,
  type WarehouseOptions,
} from '@heapferry/sources'
import { openRunUnloading, type RunUnloading } from './unload-run.ts'

export interface RunRequest {
  source: string
  /** A bucket that a warehouse is to write into itself: `s3://bucket/prefix`. */
  stage?: string | undefined
  /** Else made from source and destination, so that the same command finds the same run. */
  name: RunId | undefined
  destination: Destination
  mapping: Mapping
  /** What hashes are keyed with; null where the mapping hashes nothing. */
  hashSalt: string | null
  includeRecent: boolean
  maxRejectedPercent: number
  /** Undefined: what the run has, or the default of its host. */
  pace: Pace | undefined
  /** Who wants the run, for its timeline. */
  by: string
}

/** A run and the files that it was found to have. */
export interface Production {
  run: Run
  hashSalt: string | null
  source: Source
  /** More come while a warehouse is unloaded. */
  files: ExportFile[]
  /** What was found and needs no migration, and what looks wrong. */
  notices: string[]
  /** Null where the source is an export. */
  unloading: RunUnloading | null
  /** Who wants the run. */
  by: string
}

export interface OpeningOptions {
  s3: S3Options
  store: string
  warehouse: WarehouseOptions
  /** Ends asking a warehouse what there is. */
  signal?: AbortSignal
}

// 8 MB: a worker has it done in seconds, so little is repeated after a crash; a terabyte makes 125,000 chunks.
const chunkBytes = 8 * 1024 * 1024

/**
 * Looks at the export and creates its run, or finds the one that the same command created before; leaves in the work store
 * what may be read for it.
 * @throws OperatorError when the source cannot be read, or the run was created with something else; an AbortError when the
 *   signal comes while a warehouse is asked
 */
export async function openRun(
  request: RunRequest,
  ledger: RunLedger & FileLedger & Pick<TimelineLedger, 'nowMs' | 'timeline'>,
  options: OpeningOptions,
): Promise<Production> {
  const { s3, store } = options
  const unloading = isWarehouse(request.source) ? await unloadingOf(request, ledger, options) : null
  const name = unloading?.address ?? sourceName(request.source)
  const idAt = (root: string) => request.name ?? nameOf(unloading === null ? root : '', name, request.destination)
  const discovery =
    unloading?.discovery ??
    (await discover(request.source, s3, async (root) => {
      const planned = await ledger.run(idAt(root))
      return planned?.root === root ? planned.newestDump : undefined
    }))
  const source = sourceAt(discovery.place, await openPlace(store, s3))
  const { root } = discovery.place
  const { files, notices } = await filesOf(discovery, request.mapping, { source, run: idAt(root), ledger })
  const tables = unloading === null ? files : [...unloading.tables(), ...unloading.leftOut()]
  notices.push(...mappingNotices(request.mapping, tables))
  if (files.length === 0 && unloading === null) {
    throw new OperatorError(`${request.source} holds only empty files`, 'Export the tables again with their headers.')
  }

  const wanted: Run = {
    id: idAt(root),
    root,
    source: name,
    destination: request.destination,
    mapping: request.mapping,
    saltFingerprint: hashes(request.mapping) ? fingerprintOfSalt(request.hashSalt) : null,
    includeRecent: request.includeRecent,
    conversion: conversionVersion,
    maxRejectedPercent: request.maxRejectedPercent,
    createdAtMs: await ledger.nowMs(idAt(root)),
    chunkBytes,
    ...(discovery.newestDump !== undefined && { newestDump: discovery.newestDump }),
  }
  const run = await ledger.createRun(wanted, request.by)
  assertSameRequest(run, wanted)
  // What heapferry has made it makes again.
  const stored = await ledger.files(run.id)
  assertSameFiles(
    stored.filter((file) => file.in === undefined),
    files,
  )
  const intent = await ledger.intent(run.id)
  if (intent.kind === 'cancel') {
    throw new OperatorError(
      `The run ${run.id} was cancelled by ${intent.by}`,
      'To migrate the export after all, start another run with --run NAME: no event is doubled.',
    )
  }
  const kept = await openWorkStore(store, s3)
  try {
    await saveGrant(run, [...files, ...(await madeFiles(run, kept))], kept)
  } finally {
    kept.close()
  }
  if (isPausedForGrant(run, intent)) {
    notices.push('The grant of the run was lost: what it may read is in the work store again, and it goes on.')
    await ledger.setIntent(run.id, { kind: 'run', by: request.by, acceptedTables: [] })
  }
  if (request.pace !== undefined) notices.push(...(await paceNotices(run, request.pace, request.by, ledger)))
  return { run, hashSalt: request.hashSalt, source, files, notices, unloading, by: request.by }
}

/** Where it lies is told by the run's name alone, which is known before. */
function unloadingOf(
  { source, stage, name, destination, mapping }: RunRequest,
  ledger: Pick<TimelineLedger, 'timeline'>,
  options: OpeningOptions,
): Promise<RunUnloading> {
  const placesOf = async (address: string) => {
    const id = name ?? nameOf('', address, destination)
    await assertNotCleaned(id, ledger)
    return { root: stageOf(options.store, id), bucket: stage && `${stage.replace(/\/+$/, '')}/${id}` }
  }
  return openRunUnloading(source, { placesOf, mapping }, options)
}

/** What was unloaded for a run and is deleted is not unloaded again: the warehouse may say otherwise by now. */
async function assertNotCleaned(id: RunId, ledger: Pick<TimelineLedger, 'timeline'>): Promise<void> {
  const cleaned = (await ledger.timeline(id)).find((entry) => entry.kind === 'cleaned')
  if (!cleaned?.stage) return
  throw new OperatorError(
    `The run ${id} is over, and what was unloaded for it was deleted by ${cleaned.by} (heapferry clean) at ${new Date(cleaned.atMs).toISOString()}`,
    'Nothing of it is left to do. To migrate the warehouse anew, as it is now, start another run with --run NAME: rows that Heap has changed since become other events.',
  )
}

/**
 * What is found in files that are there.
 * @param known other files of the export: those of one table are read alike
 */
async function filesOf(
  discovery: Discovery,
  mapping: Mapping,
  {
    source,
    run,
    ledger,
    known = [],
  }: { source: Source; run: RunId; ledger: RunLedger & FileLedger; known?: readonly ExportFile[] },
): Promise<{ files: ExportFile[]; notices: string[] }> {
  const inspected = await inspectExport(discovery, mapping)
  assertReadable(inspected)
  const found = inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : []))
  if (new Set(found.map(({ id }) => id)).size < found.length) throw new Error('two files of the export have one id')
  // A file of the run is read as it was planned, whatever light others that have come cast on its name and dialect.
  const planned = await plannedFiles(run, ledger)
  const looked = await lookAtTables(found, source, mapping, [...known, ...planned.values()])
  const files = withGroupFiles(
    looked.files.map((file) => asPlanned(file, planned.get(file.id))),
    mapping,
  )
  return {
    files,
    notices: [
      ...discovery.notices,
      ...noticesOf(inspected, mapping),
      ...helperNotices(files),
      ...looked.notices,
      ...looked.roundedFiles.map(roundedNotice),
      ...(await repeatedFileNotices(source, files, planned)),
    ],
  }
}

/** A service manager starts a command again with the flags that it has: what a person has set since stays. */
async function paceNotices(run: Run, wanted: Pace, by: string, ledger: RunLedger): Promise<string[]> {
  if (await ledger.wishPace(run.id, wanted, by)) return []
  const { limit } = (await ledger.progress(run.id)).pace
  if (limit === wanted) return []
  return [
    `The pace stays at ${paceText(limit)}: it was changed after this command had asked for ${paceText(wanted)}. To change it: heapferry pace ${run.id} ${wanted ?? 'none'}`,
  ]
}

async function plannedFiles(run: RunId, ledger: RunLedger & FileLedger): Promise<Map<FileId, ExportFile>> {
  if ((await ledger.run(run)) === null) return new Map()
  return new Map((await ledger.files(run)).map((file) => [file.id, file]))
}

function asPlanned(file: ExportFile, planned: ExportFile | undefined): ExportFile {
  return planned && isSameVersion(planned.version, file.version) ? planned : file
}

export interface ProductionWork {
  ledger: RunLedger & PlanLedger & Pick<TimelineLedger, 'record' | 'nowMs'>
  /** A queue of the run, owned by the caller. */
  queueOf(phase: Phase): ChunkQueue
  store: WorkStore
  /** For what memory has no room for; nothing of it is needed afterwards. */
  scratch: Scratch
  /** Ends producing before the next chunk is planned. */
  signal: AbortSignal
  onFile?(file: ExportFile, chunks: number): void
  /** Told what a user should know of the people that were found. */
  onNotice?(notice: string): void
}

/**
 * Resolves identities, indexes sessions, finds what was first of people, then cuts and enqueues everything that is not done. May
 * be killed and called again. Of a warehouse it first unloads what all that is made from, whole; then the rest, of which it
 * cuts each window's files when they are there.
 * @throws OperatorError when the run cannot go on as it is: cancelled, or its files are not what they were
 */
export async function produce(production: Production, work: ProductionWork): Promise<void> {
  const { run, hashSalt, source, files } = production
  const { ledger, queueOf, store, scratch, signal, onFile, onNotice } = work
  await ledger.producing(run.id)
  // What goes wrong with Redis is told by what waits for it below.
  const saying = setInterval(() => void ledger.producing(run.id).catch(() => {}), sayEveryMs)
  try {
    // One that was killed may have said it. One that unloads now says it again.
    if (production.unloading !== null) await ledger.setUnloading(run.id, null)
    for (const phase of phases) {
      await queueOf(phase).removeFailed()
      await queueOf(phase).resume()
    }
    await unloadWhatIsReadFirst(production, work)
    if (signal.aborted && production.unloading !== null) return
    const rows = { read: source.readAll, hashSalt }
    for (const notice of await saveIdentities(run, files, rows, { ledger, store })) onNotice?.(notice)
    for (const notice of await saveSessions(run, files, { source, scratch, signal }, { ledger, store }))
      onNotice?.(notice)
    if (signal.aborted) return
    const identities = (): Promise<Identities> => loadIdentities(run, { ledger, store })
    const tableNames = production.unloading?.tables().map(({ table }) => table.name) ?? []
    const made = await saveFirstTouch(run, files, rows, { store, tableNames, identities, signal })
    if (made === null) return
    for (const notice of made.notices) onNotice?.(notice)
    const all = [...files, ...made.files]
    await saveGrant(run, all, store)
    const stored = (await ledger.files(run.id)).filter(({ in: place }) => place !== undefined)
    assertSameFiles(stored, made.files)
    await planRun(run, all, {
      ledger,
      schedule: {
        add: (phase, chunks) => queueOf(phase).add(chunks),
        known: (phase, chunks) => queueOf(phase).known(chunks),
      },
      source,
      coming: comingFiles(production, () => true, work),
      signal,
      ...(onFile && { onFile }),
    })
  } finally {
    clearInterval(saying)
  }
}

/** Returns early when the signal comes. */
async function unloadWhatIsReadFirst(production: Production, work: ProductionWork): Promise<void> {
  const { run, unloading } = production
  for (;;) {
    // One that is whole without a file had no rows: what was first of people is told by another one then.
    const tables = unloading?.tables().filter(({ isWhole, fileCount }) => !isWhole || fileCount > 0) ?? []
    const missing = readBeforeEvents(run, tables).filter(({ isWhole }) => !isWhole)
    if (missing.length === 0 || work.signal.aborted) return
    const names = new Set(missing.map(({ table }) => table.name))
    const come = comingFiles(production, (name) => names.has(name), work)
    while (!(await come.next()).done);
  }
}

/** Files of a warehouse that were not there when the run was opened; each may be read when it is handed out. */
async function* comingFiles(
  { run, source, files, unloading, by }: Production,
  isWanted: (table: string) => boolean,
  { ledger, store, signal, onNotice }: ProductionWork,
): AsyncGenerator<ExportFile[]> {
  if (unloading === null) return
  const told = new Set<string>()
  const made = await madeFiles(run, store)
  for await (const discovery of unloading.files(isWanted, {
    run: run.id,
    by,
    ledger,
    signal,
    ...(onNotice && { onNotice }),
  })) {
    const come = await filesOf(discovery, run.mapping, { source, run: run.id, ledger, known: files })
    // Files of one table say the same.
    for (const notice of come.notices.filter((one) => !told.has(one))) {
      told.add(notice)
      onNotice?.(notice)
    }
    files.push(...come.files)
    await saveGrant(run, [...files, ...made], store)
    yield come.files
  }
}

const sayEveryMs = 2000

/** A source is known by one name, wherever the command is typed. */
function sourceName(source: string): string {
  return isBucket(source) ? source : path.resolve(source)
}

/** `<folder or file name>-<8 hex digits>`, e.g. `heap-export-3fa2c1d0`. */
function nameOf(root: string, source: string, destination: Destination): RunId {
  const base = path.basename(source).includes('*') ? path.basename(root) : path.basename(source)
  const slug = base
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
  const place = [root, source, JSON.stringify(destination)].join('\n')
  const hash = createHash('sha256').update(place).digest('hex').slice(0, 8)
  return RunId.parse(slug === '' ? hash : `${slug}-${hash}`)
}

function assertSameRequest(stored: Run, wanted: Run): void {
  const begun = goneOnWith.includes(stored.conversion)
    ? Run.parse({ ...wanted, conversion: stored.conversion })
    : wanted
  const fixed = [
    'root',
    'source',
    'destination',
    'mapping',
    'saltFingerprint',
    'includeRecent',
    'conversion',
    'newestDump',
  ] as const
  const changed = fixed.filter((field) => !isDeepStrictEqual(stored[field], begun[field]))
  if (changed.length === 0) return
  throw new OperatorError(
    [
      `The run ${stored.id} was created with another ${changed.map((field) => wordFor[field]).join(' and another ')}; going on would send some rows this way and some that way${changed.includes('mapping') ? ':' : ''}`,
      ...(changed.includes('mapping') ? mappingDifference(stored.mapping, wanted.mapping) : []),
    ],
    'Use the one it was created with, or start another run with --run NAME.',
  )
}

const shownChanges = 20

function mappingDifference(stored: Mapping, wanted: Mapping): string[] {
  const changes = mappingChanges(stored, wanted)
  const more = changes.length - shownChanges
  return [
    ...changes.slice(0, shownChanges).map((change) => `    ${changeText(change)}`),
    ...(more > 0 ? [`    and ${more} more`] : []),
    `  ${mappingChangeText(changes)}`,
  ]
}

const wordFor = {
  root: 'source',
  source: 'source',
  destination: 'destination (host, project key or folder)',
  mapping: 'mapping',
  saltFingerprint: 'HEAPFERRY_HASH_SALT',
  includeRecent: '--include-recent',
  conversion: 'version of heapferry, which makes other events of some rows',
  newestDump: 'newest dump',
} as const

/** Every faulty file is named at once. */
function assertReadable(inspected: readonly Inspected[]): void {
  const faults = inspected.flatMap((one) => (one.kind === 'faulty' ? [one.fault] : []))
  const [first] = faults
  if (first === undefined) return
  if (faults.length === 1) throw first
  const shown = faults
    .slice(0, shownFaults)
    .flatMap(({ message, hint }) => [...message.split('\n').map((line) => `  ${line}`), `    ${hint}`])
  const more = faults.length > shownFaults ? [`  and ${faults.length - shownFaults} more`] : []
  throw new OperatorError(
    [`${faults.length} files cannot be read:`, ...shown, ...more],
    'Nothing was sent. Mend them, or give a glob of the files to migrate.',
    { cause: first },
  )
}

const shownFaults = 10

function helperNotices(files: readonly ExportFile[]): string[] {
  const helpers = files.filter(({ table }) => table.kind === 'helper' && table.leftOutBy !== 'mapping')
  const names = new Set(helpers.map(({ table }) => table.name))
  return [...names].map(
    (name) => `${name} has no user_id and time, so it holds no events: its rows are counted and skipped`,
  )
}

function roundedNotice(file: string): string {
  return `WARNING: most ids of ${file} end in 0, as a spreadsheet leaves them: it has cut them to 15 digits, and rows of different people or events may have become one. Export the table again.`
}
