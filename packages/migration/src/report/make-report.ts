import {
  type Run,
  type Source,
  destinationText,
  type FileLedger,
  type RejectedLedger,
  type TimelineLedger,
  type VerificationLedger,
  type WorkerLedger,
} from '@heapferry/domain'
import pMap from 'p-map'
import { groupRejected } from '../retry/group-rejected.ts'
import { completedAtMs, type RunStatus } from '../run-state.ts'
import { timelineText } from '../timeline-text.ts'
import { mappingFingerprint } from '../mapping-changes.ts'
import type { Report } from './report.ts'
import { undoOf } from './undo-of.ts'
import { warehouseOf } from './warehouse-of.ts'

export interface ReportWork {
  ledger: FileLedger & WorkerLedger & TimelineLedger & VerificationLedger & RejectedLedger
  status: RunStatus
  version: string
  nowMs: number
  /** Null where the inputs are not read once more for their checksums. */
  source: Pick<Source, 'checksum'> | null
}

// Over a network most of the time is waiting; each takes some megabytes.
const filesAtOnce = 8

/** Everything that the ledger knows of a run, put together for reading and for keeping. */
export async function makeReport(run: Run, { ledger, status, version, nowMs, source }: ReportWork): Promise<Report> {
  const files = await ledger.files(run.id)
  const paths = new Map(files.map(({ id, path }) => [id, path]))
  const [timeline, history, answers, plans, rows, rejected, verifications] = await Promise.all([
    ledger.timeline(run.id),
    ledger.history(run.id),
    ledger.answers(run.id),
    ledger.filePlans(run.id),
    ledger.fileRows(run.id),
    groupRejected(ledger.rejectedRows(run.id), (file) => paths.get(file) ?? file),
    ledger.verifications(run.id),
  ])
  const inputs = await pMap(
    files,
    async (file): Promise<Report['inputs'][number]> => ({
      path: file.path,
      table: file.table.name,
      format: file.format.kind,
      compression: file.compression,
      size_bytes: file.version.sizeBytes,
      version: file.version.mark,
      sha256: source === null ? null : await source.checksum(file),
      columns: file.columns.length,
      rows: plans.get(file.id)?.rows ?? null,
      read: rows.get(file.id) ?? 0,
    }),
    { concurrency: filesAtOnce },
  )
  const requests = answers.byTime.reduce((sum, count) => sum + count, 0)
  const ended = completedAtMs(status, timeline)
  return {
    format: 'heapferry-report-1',
    made_at: iso(nowMs),
    version,
    run: {
      id: run.id,
      state: status.state,
      message: status.message,
      source: run.source,
      destination: destinationText(run.destination),
      created_at: iso(run.createdAtMs),
      created_by: timeline.find((entry) => entry.kind === 'created')?.by ?? null,
      completed_at: ended === undefined ? null : iso(ended),
    },
    settings: {
      include_recent: run.includeRecent,
      max_rejected_percent: run.maxRejectedPercent,
      chunk_bytes: run.chunkBytes,
      mapping_fingerprint: mappingFingerprint(run.mapping),
      mapping: run.mapping,
    },
    inputs,
    warehouse: warehouseOf(run, status, timeline),
    tables: status.tables,
    totals: status.totals,
    rejected,
    verifications,
    timeline: timeline.map((entry) => ({ at: iso(entry.atMs), text: timelineText(entry), entry })),
    history: history.map(({ atMs, ...counts }) => ({ at: iso(atMs), ...counts })),
    answers: {
      by_status: { ...answers.byStatus },
      mean_ms: requests === 0 ? null : Math.round(answers.totalMs / requests),
    },
    undo: undoOf(run),
  }
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString()
}
