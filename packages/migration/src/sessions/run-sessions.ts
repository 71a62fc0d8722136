import { compileIndexedRow, pageColumns, sessionColumns } from '@heapferry/conversion'
import {
  enrichesFrom,
  type ExportFile,
  type Identities,
  type Mapping,
  OperatorError,
  type Run,
  type RunId,
  type RunLedger,
  type SessionIndex,
  type SessionsRecord,
  type Source,
  type Table,
  type WorkStore,
} from '@heapferry/domain'
import { byColumns } from '../identities/by-columns.ts'
import { type KeptIdentities, loadIdentities, sha256 } from '../identities/run-identities.ts'
import { readAhead } from '../read-ahead.ts'
import type { Scratch } from '../scratch.ts'
import { unlessOperator } from '../unless-operator.ts'
import { counted } from '../wording.ts'
import { IndexBuilder } from './build-index.ts'
import { openStoredIndex } from './stored-index.ts'

/** Where the index of a run is: its files in the work store, the hash of what it holds in the ledger. */
export interface KeptSessions {
  ledger: Pick<RunLedger, 'sessions' | 'setSessions'> & KeptIdentities['ledger']
  store: WorkStore
}

export interface SessionsSource {
  source: Pick<Source, 'readAll'>
  /** Where rows are sorted. */
  scratch: Scratch
  signal: AbortSignal
}

/** In the work store. */
function folderOf(run: RunId): string {
  return `${run}/sessions`
}

/**
 * Leaves an index of the export's sessions, and where wanted of its pageviews, where workers find it, before any event is
 * enqueued. The same files give the same bytes, so doing it again after a crash changes nothing.
 * @returns what a user should know of it; nothing where it was there
 * @param files all of the export
 * @throws OperatorError when there are other such files than the run was begun with
 */
export async function saveSessions(
  run: Run,
  files: readonly ExportFile[],
  work: SessionsSource,
  kept: KeptSessions,
): Promise<string[]> {
  if (!indexesSessions(run.mapping)) return []
  const { ledger, store } = kept
  const indexed = indexedFiles(run.mapping, files)
  const fingerprint = sha256([
    JSON.stringify(indexed.map(({ path, version: { sizeBytes, mark } }) => [path, sizeBytes, mark])),
  ])
  const stored = await ledger.sessions(run.id)
  if (stored && stored.files !== fingerprint) {
    throw new OperatorError(
      `Files of sessions or pageviews came to the export after the sessions of the run ${run.id} were indexed`,
      'Rows that were sent before would tell otherwise of their sessions. Start another run with --run NAME: rows that are the same keep their uuids.',
    )
  }
  if (stored && (stored.content === null || (await isThere(run.id, stored, store)))) return []
  if (indexed.length === 0) {
    await ledger.setSessions(run.id, { content: null, files: fingerprint })
    return []
  }
  const content = await build(run, indexed, work, kept)
  if (content === null) return []
  await ledger.setSessions(run.id, { content, files: fingerprint })
  const { head } = await openStoredIndex(store, folderOf(run.id))
  const pages = head.pages === 0 ? '' : ` and ${counted(head.pages, 'pageview')}`
  return [
    `Indexed in the work store: ${counted(head.sessions, 'session')}${pages}, so that rows get what is known of theirs.`,
  ]
}

/** The index that a run was begun with; null where it has none. @throws OperatorError where it is not what it was */
export async function openSessions(run: Run, { ledger, store }: KeptSessions): Promise<SessionIndex | null> {
  const stored = await ledger.sessions(run.id)
  if (stored === null || stored.content === null) return null
  const hint =
    'Workers on other machines need the same HEAPFERRY_WORK_STORE (a shared folder or s3://bucket/prefix). Where it was lost, the run command, started again, makes it anew.'
  const index = await openStoredIndex(store, folderOf(run.id)).catch((cause: unknown) => {
    if (!(cause instanceof OperatorError)) throw cause
    throw new OperatorError(`The sessions of the run ${run.id} cannot be read: ${cause.message}`, hint, { cause })
  })
  if (index.head.content === stored.content) return index
  await index.close()
  throw new OperatorError(`${folderOf(run.id)} in ${store.root} holds other sessions than those of the run`, hint)
}

/** Whether a run looks for sessions: one of an earlier conversion, or that wants nothing of them, does not. */
function indexesSessions(mapping: Mapping): boolean {
  return enrichesFrom(mapping, 'sessions') || enrichesFrom(mapping, 'pages')
}

/** Whether the index is made from rows of the table. */
export function isIndexed({ kind }: Table, mapping: Mapping): boolean {
  return indexesSessions(mapping) && (kind === 'sessions' || (kind === 'pageviews' && enrichesFrom(mapping, 'pages')))
}

/** In an order that does not depend on how they were found. */
function indexedFiles(mapping: Mapping, files: readonly ExportFile[]): ExportFile[] {
  return files.filter(({ table }) => isIndexed(table, mapping)).toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

async function build(
  run: Run,
  files: readonly ExportFile[],
  { source, scratch, signal }: SessionsSource,
  kept: KeptSessions,
): Promise<string | null> {
  const identities = await loadIdentities(run, kept)
  const builder = new IndexBuilder(scratch)
  for await (const { file, slices } of readAhead(files, source.readAll)) {
    const readerFor = rowReaders(run, file, identities)
    for await (const slice of slices) {
      if (signal.aborted) return null
      for (const row of slice.rows) {
        if (row.kind !== 'row') continue
        const indexed = readerFor(row.columns)(row.values, row.types)
        if (indexed === null) continue
        const { name, timeMs, cells } = indexed
        if (file.table.kind === 'sessions') builder.addSession(name, timeMs, cells)
        else if (timeMs !== null) builder.addPage(name, timeMs, cells)
      }
      if (builder.isFull) await builder.spill()
    }
  }
  const hasSessions = files.some(({ table }) => table.kind === 'sessions')
  return builder.write(kept.store, folderOf(run.id), { hasSessions, signal })
}

function rowReaders({ mapping, conversion, createdAtMs }: Run, { table }: ExportFile, identities: Identities) {
  const ofSession = enrichesFrom(mapping, 'sessions') ? sessionColumns : []
  const wanted = table.kind === 'sessions' ? ofSession : pageColumns
  const context = { mapping, conversion, identities, startedAtMs: createdAtMs }
  return byColumns((columns) => compileIndexedRow(table, columns, wanted, context))
}

async function isThere(run: RunId, { content }: SessionsRecord, store: WorkStore): Promise<boolean> {
  const index = await openStoredIndex(store, folderOf(run)).catch(unlessOperator)
  if (index === null) return false
  return index.head.content === content && (await index.isWhole())
}
