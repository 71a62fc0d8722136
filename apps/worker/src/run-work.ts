import { isDeepStrictEqual } from 'node:util'
import {
  type Chunk,
  type ConverterFor,
  type ChunkLedger,
  type ChunkOutcome,
  type DeliveryLimits,
  type Destination,
  type EventSink,
  type ExportFile,
  type FileId,
  type FileLedger,
  largestUnpaced,
  type Run,
  type RunLedger,
  type SessionIndex,
  type Source,
  type WorkStore,
} from '@heapferry/domain'
import {
  convertersOf,
  type FindSessions,
  findSessionsIn,
  loadIdentities,
  openSessions,
  processChunk,
} from '@heapferry/migration'
import type { ChunkJob, RunPacer } from '@heapferry/queue'

/** How many rows are sent, and then committed, at once. Looked at for every slice: the pace may have changed. */
export function limitsFor({ kind }: Destination, { largestBatch }: Pick<RunPacer, 'largestBatch'>): DeliveryLimits {
  switch (kind) {
    case 'posthog':
      // One request's worth: so much is sent again when a worker is stopped.
      return {
        get rows() {
          return Math.max(leastSliceRows, largestBatch())
        },
        bytes: 1_500_000,
        get slicesAtOnce() {
          return largestBatch() < largestUnpaced ? pacedSlicesAtOnce : 1
        },
      }
    case 'json_lines':
      // A whole chunk of most exports becomes one file.
      return { rows: 20_000, bytes: 10_000_000, slicesAtOnce: 1 }
  }
}

// A commit for every row would cost more than reading it, where rows are skipped.
const leastSliceRows = 20
// A pace is forty requests a second. Where an answer takes a second, forty are on their way, of the four chunks that one
// worker has in hand; the rest is for slices that wait for their turn.
const pacedSlicesAtOnce = 14
const reportEveryMs = 1000

/** Everything that the chunks of a run share in this process. */
export function runWork(
  run: Run,
  {
    ledger,
    sink,
    source,
    store,
    limits,
    hashSalt,
    loading,
    onProgress,
  }: {
    ledger: RunLedger & FileLedger & ChunkLedger
    sink: EventSink
    source: Source
    store: WorkStore
    limits: DeliveryLimits
    /** What hashes are keyed with; null where none is set. */
    hashSalt: string | null
    /** Around what reads who is who, and which sessions there are. */
    loading<T>(load: () => Promise<T>): Promise<T>
    /** Told when a chunk is taken, and after every commit. */
    onProgress(progress: { chunk: Chunk; file: ExportFile; read: number }): void
  },
) {
  const files = new Map<FileId, Promise<ExportFile | null>>()
  let loaded: Promise<Loaded> | undefined

  /** Who is who, and what is known of sessions. */
  async function load(): Promise<Loaded> {
    const identities = await loadIdentities(run, { ledger, store })
    const sessions = await openSessions(run, { ledger, store })
    return {
      converterFor: convertersOf(run, identities, hashSalt),
      findSessions: findSessionsIn(sessions, run, identities),
      sessions,
    }
  }

  async function process({ chunk, token, report }: ChunkJob, signal: AbortSignal): Promise<ChunkOutcome> {
    // Forgotten, and created anew under the same name: another mapping, another source. Its desk is on its way.
    if (!isDeepStrictEqual(await ledger.run(run.id), run)) return { kind: 'interrupted' }
    const file = await remembered(files, chunk.file, () => ledger.file(run.id, chunk.file))
    // Nobody has planned a chunk of such a file: that is a fault of this job alone.
    if (file === null) return { kind: 'not_planned' }
    loaded ??= loading(load)
    const { converterFor, findSessions } = await loaded.catch((error: unknown) => {
      loaded = undefined
      throw error
    })

    const before = (await ledger.checkpoint(chunk))?.tally.read ?? 0
    onProgress({ chunk, file, read: before })
    let reportedAtMs = Number.NEGATIVE_INFINITY
    return processChunk(
      { chunk, file, token, runCreatedAtMs: run.createdAtMs },
      {
        source,
        sink,
        ledger,
        converterFor,
        findSessions,
        limits,
        onCommit: ({ tally }) => {
          onProgress({ chunk, file, read: tally.read })
          const nowMs = performance.now()
          if (nowMs - reportedAtMs < reportEveryMs) return
          reportedAtMs = nowMs
          // A ring that stays behind harms nothing; the ledger has the truth.
          report({
            progress: Math.floor((100 * tally.read) / Math.max(1, chunk.rows)),
            rows: tally.read,
            of: chunk.rows,
          }).catch(() => {})
        },
      },
      signal,
    )
  }

  return {
    process,
    async close(): Promise<void> {
      // Who has not got it has told why.
      const all = await loaded?.catch(() => null)
      await all?.sessions?.close()
    },
  }
}

interface Loaded {
  converterFor: ConverterFor
  findSessions: FindSessions
  sessions: SessionIndex | null
}

/** Neither failures nor what is not there are remembered. */
function remembered<K, V>(known: Map<K, Promise<V | null>>, key: K, make: () => Promise<V | null>): Promise<V | null> {
  const existing = known.get(key)
  if (existing) return existing
  const made = make()
  known.set(key, made)
  made.then(
    (found) => found === null && known.delete(key),
    () => known.delete(key),
  )
  return made
}
