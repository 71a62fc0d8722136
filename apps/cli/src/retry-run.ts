import { isDeepStrictEqual } from 'node:util'
import { hashSaltFor, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import {
  type Destination,
  destinationText,
  type ExportFile,
  type Identities,
  type Mapping,
  OperatorError,
  type RetryOutcome,
  type RetryWanted,
  type Run,
  type SessionIndex,
  visible,
} from '@heapferry/domain'
import {
  assertSamePeople,
  loadIdentities,
  lookedAt,
  openSessions,
  type RetriedRows,
  type RetryCounts,
  retryRows,
  type RetryWish,
} from '@heapferry/migration'
import { redisPacer } from '@heapferry/queue'
import {
  assertGranted,
  discover,
  discoverStage,
  isWarehouse,
  inspectFile,
  openRowsFile,
  openRunSource,
  openWorkStore,
} from '@heapferry/sources'
import { limitsFor, openSink } from '@heapferry/worker'
import { holdingRetry } from './hold-retry.ts'
import type { OpenLedger } from './open-ledger.ts'
import { say } from './print.ts'
import type { RetryView } from './retry-view.ts'

export interface RetryRequest {
  run: Run
  wish: RetryWish
  /** Also sends what may have been sent otherwise. */
  anyway: boolean
  opened: OpenLedger
  settings: Settings
  /** Of the right to retry: a dashboard hands over the one that it has taken. */
  token: string
  apiKey: string | null
  view: RetryView
  stop: AbortSignal
}

/** Opens what a retry needs and does it, while nobody else retries rows of the run. */
export async function retryRun(request: RetryRequest): Promise<RetriedRows & { outcome: RetryOutcome }> {
  const { run, wish, anyway, opened, stop, settings, apiKey, view } = request
  const { ledger } = opened
  assertSamePeople(run, wish)
  const access = { apiKey, transport: settings.HEAPFERRY_TRANSPORT, s3: s3OptionsOf(settings) }
  const hold = { run: run.id, token: request.token }
  const holding = { hold, wanted: wantedBy(wish), stop }
  const { result, outcome } = await holdingRetry(ledger, holding, async (signal, progressed) => {
    let rows = 0
    const store = await openWorkStore(workStoreOf(settings), access.s3)
    let identities: Promise<Identities> | undefined
    let sessions: SessionIndex | null | undefined
    // Rows of mended files are converted as the run's mapping says, and another one's source is looked into.
    await assertGranted(run, store)
    const source = await openRunSource(run, { store: workStoreOf(settings), s3: access.s3 })
    const { pace } = await ledger.progress(run.id)
    const pacer = redisPacer(opened.redis, run.id, pace.limit)
    const { sink, closeSink } = await openSink(run.destination, access, pacer, {
      onWaiting: view.waiting,
      onTransport: (transport, reason) => {
        ledger
          .setTransport(run.id, transport, reason)
          .catch((error: unknown) => say(visible(`How rows are sent could not be noted: ${String(error)}`)))
      },
      onOtherWarning: (words) => say(`PostHog remarked on an event that it took: ${visible(words)}`),
    })
    try {
      const work = {
        hold,
        ledger,
        sink,
        source,
        anyway,
        limits: limitsFor(run.destination, pacer),
        nowMs: await ledger.nowMs(run.id),
        identities: () => (identities ??= loadIdentities(run, { ledger, store })),
        sessions: async () => (sessions ??= await openSessions(run, { ledger, store })),
        hashSaltFor: (mapping: Mapping) => hashSaltFor(mapping, settings),
        inspect: (paths: readonly string[], mapping: Mapping) => inspectedAs(paths, mapping, request),
        openCorrected: openRowsFile,
        onBegin: (count: number) => {
          rows = count
          progressed({ rows, looked: 0 })
          view.begin(count)
        },
        onBatch: (counts: RetryCounts) => {
          progressed({ rows, looked: lookedAt(counts) })
          view.show(counts)
        },
      }
      return await retryRows(run, wish, work, signal)
    } finally {
      view.end()
      await closeSink()
      await sessions?.close()
      source.close()
      store.close()
    }
  })
  return { ...result, outcome }
}

function wantedBy(wish: RetryWish): RetryWanted {
  switch (wish.kind) {
    case 'held_back':
      return { reason: wish.kind, ...(wish.table !== undefined && { table: wish.table }) }
    case 'from_export': {
      const { table, reason } = wish.filter
      return { ...(table !== undefined && { table }), ...(reason !== undefined && { reason }) }
    }
    case 'from_files':
      return { from: [...wish.files] }
  }
}

/** Looks into files of the run's export again. */
async function inspectedAs(
  paths: readonly string[],
  mapping: Mapping,
  { run, settings }: RetryRequest,
): Promise<ExportFile[]> {
  const s3 = s3OptionsOf(settings)
  const { place, files: found } = isWarehouse(run.source)
    ? await discoverStage(run, { store: workStoreOf(settings), s3 })
    : await discover(run.source, s3, async () => run.newestDump)
  const inspected: ExportFile[] = []
  try {
    for (const file of found) {
      if (paths.includes(file.path)) inspected.push(...(await inspectFile(place, file, mapping)).files)
    }
  } finally {
    place.close()
  }
  return inspected
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
