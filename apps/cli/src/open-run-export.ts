import { hashSaltFor, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import type { FileLedger, Identities, Run, RunLedger, Source } from '@heapferry/domain'
import { recoverIdentities } from '@heapferry/migration'
import { openRunSource, openWorkStore } from '@heapferry/sources'

/** The export that a run was made from, to be read again. Files that are not what they were then are refused. */
export interface RunExport {
  source: Source
  /** Who is who: as the work store has it, or where that was cleared, resolved again. */
  identities(): Promise<Identities>
  close(): void
}

export async function openRunExport(run: Run, ledger: RunLedger & FileLedger, settings: Settings): Promise<RunExport> {
  const s3 = s3OptionsOf(settings)
  const source = await openRunSource(run, { store: workStoreOf(settings), s3 })
  const store = await openWorkStore(workStoreOf(settings), s3)
  let resolved: Promise<Identities> | undefined

  const people = { read: source.readAll, hashSalt: hashSaltFor(run.mapping, settings) }
  return {
    source,
    identities: () => (resolved ??= recoverIdentities(run, people, { ledger, store })),
    close() {
      source.close()
      store.close()
    },
  }
}
