import { parseHeapTime } from '@heapferry/conversion'
import {
  type Chunk,
  type ChunkId,
  chunkIdOf,
  type ExportFile,
  isSameVersion,
  OperatorError,
  type Phase,
  phaseOf,
  phases,
  type PlanLedger,
  type ReadRow,
  type Run,
  type Source,
  SourceChanged,
  versionText,
  visible,
} from '@heapferry/domain'
import pMap from 'p-map'
import { grouped } from './wording.ts'

/** Where a plan's chunks go. */
interface ChunkSchedule {
  /** A chunk that is there already stays as it is. */
  add(phase: Phase, chunks: readonly { chunk: Chunk; title: string }[]): Promise<void>
  known(phase: Phase, chunks: readonly ChunkId[]): Promise<Set<ChunkId>>
}

export interface PlanWork {
  ledger: PlanLedger
  schedule: ChunkSchedule
  source: Pick<Source, 'cut'>
  /** Files of events that are still coming, in groups: each is cut when it is there. */
  coming?: AsyncIterable<readonly ExportFile[]>
  /** Ends planning between two chunks; nothing is sealed then. */
  signal: AbortSignal
  /** Told after every file. */
  onFile?(file: ExportFile, chunks: number): void
}

// BullMQ is fastest at 500 to 1000 jobs a call.
const chunksPerCall = 500
// The first of a file go sooner, then twice as many each time: workers need not wait for 4 GB that are far away.
const firstCall = 8
// Over a network most of the time is waiting; each file at hand takes a few megabytes, a small one a part of that.
const filesAtOnce = 4
const smallFilesAtOnce = 32
const smallBytes = 1024 * 1024
const dayMs = 86_400_000

/**
 * Cuts the files of an export into chunks and schedules those that are not done. May be stopped and called again at
 * any point: cutting is repeatable, chunk ids follow from it, and the ledger knows what is done.
 *
 * Identities are planned and sealed first, so that workers can begin while the events are still being cut.
 *
 * @throws OperatorError when the ledger has lost what it was told
 */
export async function planRun(run: Run, files: readonly ExportFile[], work: PlanWork): Promise<void> {
  const { ledger } = work
  const stored = new Set((await ledger.files(run.id)).map(({ id }) => id))
  const isNew = (file: ExportFile): boolean => !stored.has(file.id)

  for (const phase of phases) {
    const inPhase = files.filter((file) => phaseOf(file.table.kind) === phase)
    if (inPhase.some(isNew)) await ledger.unseal(run.id, phase)
  }
  for (const phase of phases) {
    const inPhase = files.filter((file) => phaseOf(file.table.kind) === phase)
    const planned = await planFiles(run, inPhase, work)
    if (phase === 'events')
      for await (const come of work.coming ?? []) planned.push(...(await planFiles(run, come, work)))
    if (planned.includes(null) || (work.coming && work.signal.aborted)) return
    const chunks = planned.reduce<number>((sum, count) => sum + (count ?? 0), 0)
    if (!(await ledger.seal(run.id, phase, chunks))) {
      throw new OperatorError(
        'Redis has forgotten a part of the plan that it was given',
        'Was it restored, or replaced by a replica? Start the same command again: it plans what is missing.',
      )
    }
  }
}

/** Large files first: they keep workers busy while thousands of small ones are fetched. */
async function planFiles(run: Run, files: readonly ExportFile[], work: PlanWork): Promise<(number | null)[]> {
  const plan = (file: ExportFile) => planFile(run, file, work)
  const large = await pMap(
    files.filter((file) => !isSmall(file)),
    plan,
    { concurrency: filesAtOnce },
  )
  return [...large, ...(await pMap(files.filter(isSmall), plan, { concurrency: smallFilesAtOnce }))]
}

function isSmall({ version }: ExportFile): boolean {
  return version.sizeBytes <= smallBytes
}

/** @returns the file's number of chunks; null when the signal came before it was planned */
async function planFile(run: Run, file: ExportFile, work: PlanWork): Promise<number | null> {
  const { ledger, schedule, signal } = work
  const phase = phaseOf(file.table.kind)
  const scheduled = await scheduledChunks(run, file, work)
  if (scheduled !== null) return scheduled

  await ledger.addFile(run.id, file)
  let chunks = 0
  let rows = 0
  let pending: Chunk[] = []

  const flush = async (): Promise<void> => {
    const done = await ledger.finished(
      run.id,
      pending.map(({ id }) => id),
    )
    await ledger.planChunks(run.id, pending)
    const missing = pending.filter(({ id }) => !done.has(id))
    await schedule.add(
      phase,
      missing.map((chunk) => ({ chunk, title: titleOf(file, chunk) })),
    )
    pending = []
  }

  for await (const cut of work.source.cut(file, run.chunkBytes)) {
    if (signal.aborted) return null
    const { range, firstRow } = cut
    const day = dayOf(cut.first)
    pending.push({ id: chunkIdOf(file.id, chunks), run: run.id, file: file.id, range, firstRow, rows: cut.rows, day })
    chunks++
    rows += cut.rows
    if (pending.length >= Math.min(chunksPerCall, Math.max(firstCall, chunks / 2))) await flush()
  }
  await flush()
  await ledger.planFile(run.id, file, { chunks, rows })
  work.onFile?.(file, chunks)
  return chunks
}

/** The number of a file's chunks if it was cut before and each is done or in the queue, which may have been wiped since. */
async function scheduledChunks(run: Run, file: ExportFile, { ledger, schedule }: PlanWork): Promise<number | null> {
  const plan = await ledger.filePlan(run.id, file.id)
  if (!plan) return null
  const all = Array.from({ length: plan.chunks }, (_, index) => chunkIdOf(file.id, index))
  for (let from = 0; from < all.length; from += chunksPerCall) {
    const ids = all.slice(from, from + chunksPerCall)
    const done = await ledger.finished(run.id, ids)
    const open = ids.filter((id) => !done.has(id))
    const known = await schedule.known(phaseOf(file.table.kind), open)
    if (known.size < open.length) return null
  }
  return plan.chunks
}

/**
 * Files may come to a run, but those that it was planned with stay as they were.
 * @throws SourceChanged, OperatorError that name the file
 */
export function assertSameFiles(stored: readonly ExportFile[], found: readonly ExportFile[]): void {
  const byId = new Map(found.map((file) => [file.id, file]))
  for (const before of stored) {
    const now = byId.get(before.id)
    if (!now) {
      throw new OperatorError(
        `${before.path} belongs to this run and is gone`,
        'Put it back, or start another run with --run NAME.',
      )
    }
    if (!isSameVersion(before.version, now.version)) {
      throw new SourceChanged(
        `${before.path} has changed since this run was planned: ${versionText(before.version)} then, ${versionText(now.version)} now`,
        'Put the original back, or start another run with --run NAME: rows that are the same keep their uuids.',
      )
    }
  }
}

function dayOf(row: ReadRow | null): number | null {
  if (row?.kind !== 'row') return null
  const timeMs = parseHeapTime(row.values[row.columns.indexOf('time')] ?? '')
  return timeMs === undefined ? null : Math.floor(timeMs / dayMs)
}

/** Names a job in Bull Board: table, file and rows. */
function titleOf(file: ExportFile, { firstRow, rows }: Chunk): string {
  return `${visible(`${file.table.name} · ${file.path}`)} · rows ${grouped(firstRow)}–${grouped(firstRow + Math.max(rows, 1) - 1)}`
}
