import { isDeepStrictEqual } from 'node:util'
import { hashSaltFor, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import {
  type Destination,
  destinationText,
  type ExportFile,
  hashes,
  type Identities,
  type Mapping,
  OperatorError,
  type Phase,
  type RetryHold,
  type RetryOutcome,
  type Run,
} from '@heapferry/domain'
import {
  assertSameFiles,
  checkCorrected,
  type CorrectedSummary,
  correctedRows,
  convertersOf,
  filesOf,
  identitiesFor,
  lateIdentities,
  leadingColumns,
  placesOf,
  type RereadRow,
  rereadRows,
  type RetryCounts,
  retryHeldBack,
  retryRejected,
  type RowFilter,
  RowPlaces,
} from '@heapferry/migration'
import { redisPacer, type RunPacer } from '@heapferry/queue'
import {
  cutFile,
  discover,
  fileReader,
  inspectFile,
  openPlace,
  openRowsFile,
  openWorkStore,
  rowOfText,
  rowReader,
} from '@heapferry/sources'
import { limitsFor, openSink } from '@heapferry/worker'
import { holdingRetry } from './hold-retry.ts'
import type { OpenLedger } from './open-ledger.ts'
import { say } from './print.ts'
import type { RetryView } from './retry-view.ts'

/** Which rows are to be sent again, and where they come from. */
export type RetryWish =
  | { kind: 'from_export'; filter: RowFilter; mapping: Mapping | null }
  | { kind: 'from_files'; files: readonly string[]; mapping: Mapping | null }
  | { kind: 'held_back'; table: string | undefined }

export interface RetryRequest {
  run: Run
  wish: RetryWish
  /** Also sends what may have been sent otherwise. */
  anyway: boolean
  opened: OpenLedger
  settings: Settings
  apiKey: string | null
  view: RetryView
  stop: AbortSignal
}

export interface RetryResult {
  kind: 'finished' | 'interrupted'
  outcome: RetryOutcome
  counts: RetryCounts
  corrected: CorrectedSummary | null
}

/** Does what is wished. @throws OperatorError when a person is needed; nothing is lost then */
export async function retryRows(request: RetryRequest): Promise<RetryResult> {
  const { run, wish, opened, stop, settings, apiKey, view } = request
  if (wish.kind !== 'held_back' && wish.mapping !== null) assertSamePeople(run, wish.mapping)
  const access = { apiKey, transport: settings.HEAPFERRY_TRANSPORT, s3: s3OptionsOf(settings) }
  const { result, outcome } = await holdingRetry(opened.ledger, run.id, stop, async (hold, signal) => {
    const place = await openPlace(run.root, access.s3)
    const { pace } = await opened.ledger.progress(run.id)
    const pacer = redisPacer(opened.redis, run.id, pace.limit)
    const { sink, closeSink } = await openSink(run.destination, access, pacer, {
      onWaiting: view.waiting,
      onTransport: (transport, reason) => {
        opened.ledger
          .setTransport(run.id, transport, reason)
          .catch((error: unknown) => say(`How rows are sent could not be noted: ${String(error)}`))
      },
      onOtherWarning: (words) => say(`PostHog remarked on an event that it took: ${words}`),
    })
    try {
      return await retryHeld(request, { hold, sink, pacer, place, signal })
    } finally {
      view.end()
      await closeSink()
      place.close()
    }
  })
  return { ...result, outcome }
}

interface Desk {
  hold: RetryHold
  sink: Awaited<ReturnType<typeof openSink>>['sink']
  pacer: RunPacer
  place: Awaited<ReturnType<typeof openPlace>>
  signal: AbortSignal
}

async function retryHeld(request: RetryRequest, desk: Desk): Promise<Omit<RetryResult, 'outcome'>> {
  const { run, wish, opened, view } = request
  const { ledger } = opened
  const files = await ledger.files(run.id)
  switch (wish.kind) {
    case 'held_back': {
      const { hold, sink, pacer, place, signal } = desk
      const { tables } = await ledger.progress(run.id)
      const meant = files.filter(({ table }) => wish.table === undefined || table.name === wish.table)
      const names = new Set(meant.map(({ table }) => table.name))
      const heldBack = tables.filter(({ table }) => names.has(table)).map(({ tally }) => tally.skipped.held_back ?? 0)
      view.begin(heldBack.reduce((sum, rows) => sum + rows, 0))
      const hashSalt = hashSaltFor(run.mapping, request.settings)
      const identities = await identitiesOf('events', request)
      const work = {
        hold,
        ledger,
        sink,
        convertersAt: (createdAtMs: number) => convertersOf({ ...run, createdAtMs }, identities, hashSalt),
        reader: fileReader(place),
        cut: (file: ExportFile, bytes: number) => cutFile(place, file, bytes),
        limits: limitsFor(run.destination, pacer),
        nowMs: Date.now(),
        onBatch: view.show,
      }
      return { ...(await retryHeldBack(run, meant, work, signal)), corrected: null }
    }
    case 'from_export': {
      const places = await placesOf(ledger.rejectedRows(run.id), wish.filter)
      const planned = filesOf(places, files)
      const read = wish.mapping === null ? planned : await readAsMapped(run, planned, wish.mapping, request)
      view.begin(read.reduce((sum, { id }) => sum + places.countOf(id), 0))
      const result = await send(request, wish.mapping, rereadRows(places, read, rowReader(desk.place)), desk)
      return { ...result, corrected: null }
    }
    case 'from_files': {
      const rejected = await placesOf(ledger.rejectedRows(run.id), {})
      const retried = new RowPlaces()
      for await (const { chunk, row } of ledger.retriedRows(run.id)) retried.add({ chunk, row, byte: 0 })
      const work = { files, rejected, retried, rowOfText }
      const given = await Promise.all(wish.files.map((file) => openRowsFile(file, leadingColumns)))
      const corrected = { rows: 0, retriedBefore: 0, unmended: 0 }
      for (const file of given) {
        const { rows, retriedBefore, unmended } = await checkCorrected(file, work)
        corrected.rows += rows
        corrected.retriedBefore += retriedBefore
        corrected.unmended += unmended
      }
      view.begin(corrected.rows)
      return { ...(await send(request, wish.mapping, correctedRows(given, work), desk)), corrected }
    }
  }
}

function send(
  request: RetryRequest,
  mapping: Mapping | null,
  rowsOf: (phase: Phase) => AsyncIterable<RereadRow>,
  { hold, sink, signal }: Desk,
) {
  const { run, opened, settings, anyway, view } = request
  const { ledger } = opened
  const nowMs = Date.now()
  const wanted = mapping ?? run.mapping
  const converted = { ...run, mapping: wanted, saltFingerprint: hashes(wanted) ? run.saltFingerprint : null }
  const hashSalt = hashSaltFor(wanted, settings)
  const convertersFor = async (phase: Phase) => {
    const identities = await identitiesOf(phase, request)
    switch (phase) {
      case 'identities':
        return convertersOf(converted, lateIdentities(identities), hashSalt)
      case 'events':
        // Rows that were too young are not any more. (Of people the time of sending would change what is sent.)
        return convertersOf({ ...converted, createdAtMs: nowMs }, identities, hashSalt)
    }
  }
  return retryRejected(rowsOf, { hold, ledger, sink, convertersFor, anyway, onBatch: view.show }, signal)
}

async function identitiesOf(phase: Phase, { run, opened, settings }: RetryRequest): Promise<Identities> {
  const store = await openWorkStore(workStoreOf(settings), s3OptionsOf(settings))
  try {
    return await identitiesFor(phase, run, { ledger: opened.ledger, store })
  } finally {
    store.close()
  }
}

/** People were resolved by the run's mapping, before anything was sent. */
function assertSamePeople(run: Run, mapping: Mapping): void {
  const changed = (['identity', 'anonymous'] as const).filter((key) => mapping[key] !== run.mapping[key])
  const [first] = changed
  if (first === undefined) return
  throw new OperatorError(
    `The run ${run.id} has ${changed.map((key) => `${key}: ${run.mapping[key]}`).join(' and ')}, the mapping of this retry has not`,
    `Who is whom was decided by the run: say ${first}: ${run.mapping[first]} in the mapping, or start another run with --run NAME.`,
  )
}

/** The files as the mapping has them read: with its columns, delimiter and kinds of tables. */
async function readAsMapped(
  run: Run,
  files: readonly ExportFile[],
  mapping: Mapping,
  { settings }: RetryRequest,
): Promise<ExportFile[]> {
  const { place, files: found } = await discover(run.source, s3OptionsOf(settings), async () => run.newestDump)
  const mapped: ExportFile[] = []
  try {
    for (const file of files) {
      const known = found.find(({ path }) => path === file.path)
      const now = known ? (await inspectFile(place, known, mapping)).files.find(({ id }) => id === file.id) : undefined
      assertSameFiles([file], now ? [now] : [])
      if (!now || now.table.name !== file.table.name) {
        throw new OperatorError(
          `As the mapping has it, ${file.path} is not of the table ${file.table.name} any more`,
          'Rows keep their table in a retry; start another run with --run NAME and this mapping instead.',
        )
      }
      mapped.push(now)
    }
  } finally {
    place.close()
  }
  return mapped
}

/** @throws OperatorError unless the run goes where the settings say, and still goes at all */
export function assertRetriable(run: Run, destination: Destination, cancelledBy: string | null): void {
  if (!isDeepStrictEqual(run.destination, destination)) {
    throw new OperatorError(
      `The run ${run.id} goes to ${destinationText(run.destination)}${run.destination.kind === 'posthog' ? ', and to the project of another key' : ''}: these settings say ${destinationText(destination)}`,
      'Give host and project key that the run was started with.',
    )
  }
  if (cancelledBy !== null) {
    throw new OperatorError(
      `The run ${run.id} was cancelled by ${cancelledBy}`,
      'To migrate the export after all, start another run with --run NAME: no event is doubled.',
    )
  }
}
