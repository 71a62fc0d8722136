import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { homeOf } from '@heapferry/config'
import {
  type Columns,
  type Conversion,
  type EventSink,
  type ExportFile,
  type FileId,
  type Identities,
  OperatorError,
  type Run,
  type RunLedger,
  type Table,
  type Values,
} from '@heapferry/domain'
import { type ChunkOutcome, convertersOf, decodeIdentities, processChunk } from '@heapferry/migration'
import type { ChunkJob } from '@heapferry/queue'
import { fileReader } from '@heapferry/sources'

// One request's worth: PostHog's own importers send up to 1000 events at once.
const limits = { rows: 1000, bytes: 1_500_000 }
const reportEveryMs = 1000

/** Everything that the chunks of one run share in this process. */
export function runWork(run: Run, { ledger, sink, home }: { ledger: RunLedger; sink: EventSink; home: string }) {
  const reader = fileReader(run.root)
  const files = new Map<FileId, Promise<ExportFile>>()
  let converters: Promise<(table: Table, columns: Columns) => (values: Values) => Conversion> | undefined

  return async ({ chunk, token, report }: ChunkJob, signal: AbortSignal): Promise<ChunkOutcome> => {
    const file = await remembered(files, chunk.file, () => findFile(run, chunk.file, ledger))
    converters ??= loadIdentities(run, ledger, home).then((identities) => convertersOf(run, identities))
    const converterFor = await converters.catch((error: unknown) => {
      converters = undefined
      throw error
    })

    const bytes = Math.max(1, chunk.range.end - chunk.range.start)
    let reportedAtMs = 0
    return processChunk(
      { chunk, file, token },
      {
        reader,
        sink,
        ledger,
        converterFor,
        limits,
        onCommit: ({ cursor, tally }) => {
          const nowMs = Date.now()
          if (nowMs - reportedAtMs < reportEveryMs) return
          reportedAtMs = nowMs
          // A ring that stays behind harms nothing; the ledger has the truth.
          report({ progress: Math.floor((100 * cursor) / bytes), rows: tally.read, of: chunk.rows }).catch(() => {})
        },
      },
      signal,
    )
  }
}

async function findFile(run: Run, id: FileId, ledger: RunLedger): Promise<ExportFile> {
  const file = await ledger.file(run.id, id)
  if (file) return file
  throw new OperatorError(
    `The file ${id} of the run ${run.id} is unknown to the ledger`,
    'Start the run command again: it plans what is missing.',
  )
}

async function loadIdentities(run: Run, ledger: RunLedger, home: string): Promise<Identities> {
  const file = homeOf(home).identities(run.id)
  const hint =
    'Workers on other machines need the same HEAPFERRY_HOME (a shared folder), and the export at the same path.'
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new OperatorError(`The identities of the run ${run.id} cannot be read: ${file}`, hint, { cause })
  })
  const wanted = await ledger.identities(run.id)
  if (createHash('sha256').update(text).digest('hex') === wanted?.resolved) return decodeIdentities(text)
  throw new OperatorError(`The identities at ${file} are not those of the run ${run.id}`, hint)
}

/** Failures are not remembered. */
function remembered<K, V>(known: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  const existing = known.get(key)
  if (existing) return existing
  const made = make()
  known.set(key, made)
  made.catch(() => known.delete(key))
  return made
}
