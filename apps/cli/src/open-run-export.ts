import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { hashSaltFor, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import {
  type FileLedger,
  type Identities,
  OperatorError,
  type Run,
  type RunLedger,
  type Source,
} from '@heapferry/domain'
import { madeFiles, recoverIdentities, saveFirstTouch } from '@heapferry/migration'
import { openRunSource, openWorkStore } from '@heapferry/sources'

/** The export that a run was made from, to be read again. Files that are not what they were then are refused. */
export interface RunExport {
  source: Source
  /** Who is who: as the work store has it, or where that was cleared, resolved again. */
  identities(): Promise<Identities>
  close(): Promise<void>
}

/** What was made for the run and is in the work store no more is made again, for as long as it is read. */
export async function openRunExport(
  run: Run,
  ledger: RunLedger & FileLedger,
  settings: Settings,
  signal: AbortSignal,
): Promise<RunExport> {
  const s3 = s3OptionsOf(settings)
  const store = await openWorkStore(workStoreOf(settings), s3)
  const files = await ledger.files(run.id)
  const made = files.filter((file) => file.in !== undefined)
  const isCleared = made.length > 0 && (await madeFiles(run, store)).length === 0
  const madeIn = isCleared ? await mkdtemp(path.join(tmpdir(), 'heapferry-')) : workStoreOf(settings)
  const source = await openRunSource(run, { store: workStoreOf(settings), s3, madeIn })
  let resolved: Promise<Identities> | undefined
  const people = { read: source.readAll, hashSalt: hashSaltFor(run.mapping, settings) }
  const opened: RunExport = {
    source,
    identities: () => (resolved ??= recoverIdentities(run, people, { ledger, store })),
    async close() {
      source.close()
      store.close()
      if (isCleared) await rm(madeIn, { recursive: true })
    },
  }
  if (isCleared) {
    const again = await openWorkStore(madeIn, s3)
    const ofExport = files.filter((file) => file.in === undefined)
    const work = { store: again, identities: opened.identities, signal }
    // Whoever reads it is told that it is not there, and others need not know.
    await saveFirstTouch(run, ofExport, people, work).catch((error: unknown) => {
      if (!(error instanceof OperatorError)) throw error
    })
  }
  return opened
}
