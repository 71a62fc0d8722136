import { createHash } from 'node:crypto'
import { hashSaltFor, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import {
  type FileLedger,
  type Identities,
  type Run,
  type RunLedger,
  type Source,
  OperatorError,
  phaseOf,
} from '@heapferry/domain'
import { decodeIdentities, encodeIdentities, identityFacts, resolveIdentities } from '@heapferry/migration'
import { openPlace, openSource } from '@heapferry/sources'
import { identitiesFor } from '@heapferry/worker'

/** The export that a run was made from, to be read again. Files that are not what they were then are refused. */
export interface RunExport {
  source: Source
  /** Who is who: as the work store has it, or where that was cleared, resolved again. */
  identities(): Promise<Identities>
  close(): void
}

export async function openRunExport(run: Run, ledger: RunLedger & FileLedger, settings: Settings): Promise<RunExport> {
  const s3 = s3OptionsOf(settings)
  const source = await openSource(run.root, s3)
  const store = await openPlace(workStoreOf(settings), s3)
  let resolved: Promise<Identities> | undefined

  async function resolve(): Promise<Identities> {
    const wanted = await ledger.identities(run.id)
    const stored = await identitiesFor('identities', run, ledger, store).catch((error: unknown) => {
      if (error instanceof OperatorError) return null
      throw error
    })
    if (stored) return stored
    const files = (await ledger.files(run.id)).filter(({ table }) => phaseOf(table.kind) === 'identities')
    const { mapping } = run
    const facts = await identityFacts(files, source.readAll, { mapping, hashSalt: hashSaltFor(mapping, settings) })
    const people = resolveIdentities(facts, { listNamed: mapping.anonymous === 'personless' })
    const bytes = Buffer.concat(encodeIdentities(people))
    if (createHash('sha256').update(bytes).digest('hex') === wanted?.resolved) return decodeIdentities(bytes)
    throw new OperatorError(
      `The people of the run ${run.id} come out otherwise than when it was made`,
      'Use the version of heapferry that made the run, and the export as it was.',
    )
  }

  return {
    source,
    identities: () => (resolved ??= resolve()),
    close() {
      source.close()
      store.close()
    },
  }
}
