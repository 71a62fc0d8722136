import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { homeOf } from '@heapferry/config'
import {
  type Chunk,
  chunkIdOf,
  type Destination,
  type ExportFile,
  type Mapping,
  OperatorError,
  type Phase,
  phases,
  type Run,
  RunId,
  type RunLedger,
} from '@heapferry/domain'
import { encodeIdentities, identityFacts, planRun, resolveIdentities } from '@heapferry/migration'
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
  return { run, files, notices }
}

export interface ProductionWork {
  ledger: RunLedger
  /** A queue of the run, owned by the caller. */
  queueOf(phase: Phase): ChunkQueue
  home: string
  onFile?(file: ExportFile, chunks: number): void
}

/** Resolves identities, then cuts and enqueues everything that is not done. May be killed and called again. */
export async function produce(
  { run, files }: Production,
  { ledger, queueOf, home, onFile }: ProductionWork,
): Promise<void> {
  for (const phase of phases) await queueOf(phase).retryFailed()
  await saveIdentities(run, files, ledger, home)
  await planRun(run, files, {
    ledger,
    schedule: {
      add: (phase, chunks) => queueOf(phase).add(chunks),
      known: (phase, chunks) => queueOf(phase).known(chunks),
    },
    cut: (file, bytes) => cutFile(run.root, file, bytes),
    ...(onFile && { onFile }),
  })
}

/**
 * Leaves the resolved identities where workers find them, before anything is enqueued. The same export gives the same
 * bytes, so doing it again after a crash changes nothing.
 */
async function saveIdentities(run: Run, files: readonly ExportFile[], ledger: RunLedger, home: string): Promise<void> {
  const file = homeOf(home).identities(run.id)
  const existing = await readFile(file, 'utf8').catch(() => null)
  const stored = await ledger.identities(run.id)
  if (existing !== null && stored === sha256(existing)) return

  const reader = fileReader(run.root)
  const facts = await identityFacts(files, (wanted) => reader.read(wanted, wholeFile(run, wanted), start, slices))
  const text = encodeIdentities(resolveIdentities(facts))
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, file)
  await ledger.setIdentities(run.id, sha256(text))
}

const start = { cursor: 0, rows: 0 }
const slices = { rows: 10_000, bytes: 4 * 1024 * 1024 }

function wholeFile(run: Run, file: ExportFile): Chunk {
  const range = { kind: 'bytes', start: file.firstRowByte, end: file.version.sizeBytes } as const
  return { id: chunkIdOf(file.id, 0), run: run.id, file: file.id, range, firstRow: 1, rows: 0, day: null }
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
  const changed = fixed.filter((field) => JSON.stringify(stored[field]) !== JSON.stringify(wanted[field]))
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
