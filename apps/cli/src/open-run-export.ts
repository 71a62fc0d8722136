import { hashSaltFor, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import { type ExportFile, type Identities, type ReadRow, type Run, type RunLedger, type Slice } from '@heapferry/domain'
import { recoverIdentities } from '@heapferry/migration'
import { openPlace, openWorkStore, readWhole, sampleFile } from '@heapferry/sources'

/** The export that a run was made from, to be read again. Files that are not what they were then are refused. */
export interface RunExport {
  read(file: ExportFile): AsyncIterable<Slice>
  sample(file: ExportFile, rows: number): Promise<{ rows: readonly ReadRow[] }>
  /** Who is who: as the work store has it, or where that was cleared, resolved again. */
  identities(): Promise<Identities>
  close(): void
}

const slices = { rows: 10_000, bytes: 4 * 1024 * 1024 }

export async function openRunExport(run: Run, ledger: RunLedger, settings: Settings): Promise<RunExport> {
  const s3 = s3OptionsOf(settings)
  const place = await openPlace(run.root, s3)
  const store = await openWorkStore(workStoreOf(settings), s3)
  let resolved: Promise<Identities> | undefined
  const read = (file: ExportFile) => readWhole(place, file, slices)

  return {
    read,
    sample: (file, rows) => sampleFile(place, file, rows),
    identities: () =>
      (resolved ??= recoverIdentities(run, { read, hashSalt: hashSaltFor(run.mapping, settings) }, { ledger, store })),
    close() {
      place.close()
      store.close()
    },
  }
}
