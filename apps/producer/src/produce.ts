import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { homeOf } from '@heapferry/config'
import {
  type Chunk,
  chunkIdOf,
  type Destination,
  type ExportFile,
  type Mapping,
  OperatorError,
  type Phase,
  phaseOf,
  phases,
  type ReadRow,
  type Run,
  RunId,
  type RunLedger,
} from '@heapferry/domain'
import { assertSameFiles, encodeIdentities, identityFacts, planRun, resolveIdentities } from '@heapferry/migration'
import { ChunkQueue } from '@heapferry/queue'
import { cutFile, discover, fileReader, inspectFile } from '@heapferry/sources'

export interface RunRequest {
  source: string
  /** Else made from source and destination, so that the same command finds the same run. */
  name: RunId | undefined
  destination: Destination
  mapping: Mapping
  includeRecent: boolean
}

/** A run and the files that it was found to have. */
export interface Production {
  run: Run
  files: ExportFile[]
  /** What was found and needs no migration: empty files and notes. */
  notices: string[]
}

// 8 MB: a worker has it done in seconds, so little is repeated after a crash; a terabyte makes 125,000 chunks.
const chunkBytes = 8 * 1024 * 1024

/**
 * Looks at the export and creates its run, or finds the one that the same command created before.
 * @throws OperatorError when the source cannot be read, or the run was created with something else
 */
export async function openRun(request: RunRequest, ledger: RunLedger): Promise<Production> {
  const { root, paths, ignored } = await discover(request.source)
  const files: ExportFile[] = []
  const notices = ignored.map((file) => `${file} is not a table by its name and is left out`)
  for (const file of paths) {
    const found = await inspectFile(root, file, request.mapping)
    if (found) files.push(found)
    else notices.push(`${file} is empty`)
  }
  if (new Set(files.map(({ id }) => id)).size < files.length) throw new Error('two files of the export have one id')
  for (const file of files) {
    if (await looksRounded(root, file)) {
      notices.push(
        `WARNING: most ids of ${file.path} end in 0, as a spreadsheet leaves them: it has cut them to 15 digits, and rows of different people or events may have become one. Export the table again.`,
      )
    }
  }
  for (const { table, path: file } of files) {
    if (table.kind === 'helper')
      notices.push(
        `${file}: ${table.name} has no user_id and time, so it holds no events: its rows are counted and skipped`,
      )
  }
  if (files.length === 0) {
    throw new OperatorError(`${request.source} holds only empty files`, 'Export the tables again with their headers.')
  }

  const wanted: Run = {
    id: request.name ?? nameOf(root, request),
    root,
    source: path.resolve(request.source),
    destination: request.destination,
    mapping: request.mapping,
    includeRecent: request.includeRecent,
    createdAtMs: Date.now(),
    chunkBytes,
  }
  const run = await ledger.createRun(wanted)
  assertSameRequest(run, wanted)
  assertSameFiles(await ledger.files(run.id), files)
  const intent = await ledger.intent(run.id)
  if (intent.kind === 'cancel') {
    throw new OperatorError(
      `The run ${run.id} was cancelled by ${intent.by}`,
      'To migrate the export after all, start another run with --run NAME: no event is doubled.',
    )
  }
  return { run, files, notices }
}

export interface ProductionWork {
  ledger: RunLedger
  /** A queue of the run, owned by the caller. */
  queueOf(phase: Phase): ChunkQueue
  home: string
  /** Ends producing before the next chunk is planned. */
  signal: AbortSignal
  onFile?(file: ExportFile, chunks: number): void
}

/**
 * Resolves identities, then cuts and enqueues everything that is not done. May be killed and called again.
 * @throws OperatorError when the run cannot go on as it is: cancelled, or its files are not what they were
 */
export async function produce(
  { run, files }: Production,
  { ledger, queueOf, home, signal, onFile }: ProductionWork,
): Promise<void> {
  for (const phase of phases) await queueOf(phase).removeFailed()
  await saveIdentities(run, files, ledger, home)
  await planRun(run, files, {
    ledger,
    schedule: {
      add: (phase, chunks) => queueOf(phase).add(chunks),
      known: (phase, chunks) => queueOf(phase).known(chunks),
    },
    cut: (file, bytes) => cutFile(run.root, file, bytes),
    signal,
    ...(onFile && { onFile }),
  })
}

/**
 * Leaves the resolved identities where workers find them, before anything is enqueued. The same files give the same
 * bytes, so doing it again after a crash changes nothing.
 */
async function saveIdentities(run: Run, files: readonly ExportFile[], ledger: RunLedger, home: string): Promise<void> {
  const identityFiles = files.filter(({ table }) => phaseOf(table.kind) === 'identities')
  const fingerprint = sha256(JSON.stringify(identityFiles.map(({ path: name, version }) => [name, version])))
  const stored = await ledger.identities(run.id)
  if (stored && stored.files !== fingerprint) {
    throw new OperatorError(
      `Files of users or user_migrations came to the export after the people of the run ${run.id} were resolved`,
      'Merges cannot be taken back, so they need all files at once: start another run with --run NAME.',
    )
  }
  const file = homeOf(home).identities(run.id)
  if (stored && stored.resolved === (await sha256OfFile(file))) return

  const reader = fileReader(run.root)
  const facts = await identityFacts(identityFiles, (wanted) =>
    reader.read(wanted, wholeFile(run.id, wanted), start, slices),
  )
  const text = encodeIdentities(resolveIdentities(facts))
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, file)
  await ledger.setIdentities(run.id, { resolved: sha256(text), files: fingerprint })
}

async function sha256OfFile(file: string): Promise<string | null> {
  try {
    return sha256(await readFile(file, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

const start = { cursor: 0, rows: 0 }
const firstSlice = { rows: 1000, bytes: 1024 * 1024 }
const slices = { rows: 10_000, bytes: 4 * 1024 * 1024 }

function wholeFile(run: RunId, file: ExportFile): Chunk {
  const range = { kind: 'bytes', start: file.firstRowByte, end: file.version.sizeBytes } as const
  return { id: chunkIdOf(file.id, 0), run, file: file.id, range, firstRow: 1, rows: 0, day: null }
}

/** `<folder or file name>-<8 hex digits>`, e.g. `heap-export-3fa2c1d0`. */
function nameOf(root: string, { source, destination }: RunRequest): RunId {
  const base = path.basename(source).includes('*') ? path.basename(root) : path.basename(path.resolve(source))
  const slug = base
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
  const hash = sha256([root, path.resolve(source), destination.host, destination.keyFingerprint].join('\n')).slice(0, 8)
  return RunId.parse(slug === '' ? hash : `${slug}-${hash}`)
}

function assertSameRequest(stored: Run, wanted: Run): void {
  const fixed = ['root', 'source', 'destination', 'mapping', 'includeRecent'] as const
  const changed = fixed.filter((field) => !isDeepStrictEqual(stored[field], wanted[field]))
  const [first] = changed
  if (first === undefined) return
  throw new OperatorError(
    `The run ${stored.id} was created with another ${changed.map((field) => wordFor[field]).join(' and another ')}; going on would send some rows this way and some that way`,
    `Use the one it was created with, or start another run with --run NAME.${first === 'mapping' ? ' Rows that were sent under other names or times stay in PostHog as they are.' : ''}`,
  )
}

const wordFor = {
  root: 'source',
  source: 'source',
  destination: 'host or project key',
  mapping: 'mapping',
  includeRecent: '--include-recent',
} as const

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Ids are drawn at random: where more than half of those with 16 digits end in 0, something has rounded them. */
async function looksRounded(root: string, file: ExportFile): Promise<boolean> {
  const idColumns = ['user_id', 'event_id', 'session_id'].map((name) => file.columns.indexOf(name))
  const ids = (await firstRows(root, file)).flatMap((row) =>
    row.kind === 'row' ? idColumns.map((at) => row.values[at] ?? '') : [],
  )
  const long = ids.filter((id) => /^\d{16}$/.test(id))
  return long.length >= 20 && long.filter((id) => id.endsWith('0')).length > long.length / 2
}

async function firstRows(root: string, file: ExportFile): Promise<ReadRow[]> {
  for await (const slice of fileReader(root).read(file, wholeFile(RunId.parse('inspection'), file), start, firstSlice))
    return [...slice.rows]
  return []
}
