import { createHash } from 'node:crypto'
import { identitiesPath } from '@heapferry/config'
import { type Identities, OperatorError, type Phase, type Run, type RunLedger } from '@heapferry/domain'
import { decodeIdentities, noIdentities } from '@heapferry/migration'
import { type ExportPlace as ExportPlace, readBytes } from '@heapferry/sources'

/**
 * Events are sent under the ids that the export has, so those who send them need no identities in memory; unless they
 * have to know who has none.
 */
export async function identitiesFor(
  phase: Phase,
  run: Run,
  ledger: RunLedger,
  store: ExportPlace,
): Promise<Identities> {
  switch (phase) {
    case 'identities':
      return loadIdentities(run, ledger, store)
    case 'events':
      return run.mapping.anonymous === 'personless' ? loadIdentities(run, ledger, store) : noIdentities
  }
}

async function loadIdentities(run: Run, ledger: RunLedger, store: ExportPlace): Promise<Identities> {
  const hint =
    'Workers on other machines need the same HEAPFERRY_WORK_STORE (a shared folder or s3://bucket/prefix), and the export at the same place.'
  const name = identitiesPath(run.id)
  const bytes = await readBytes(store, name).catch((cause: unknown) => {
    if (!(cause instanceof OperatorError)) throw cause
    throw new OperatorError(`The identities of the run ${run.id} cannot be read: ${cause.message}`, hint, { cause })
  })
  const wanted = await ledger.identities(run.id)
  if (createHash('sha256').update(bytes).digest('hex') === wanted?.resolved) return decodeIdentities(bytes)
  throw new OperatorError(`${name} in ${store.root} holds other identities than those of the run`, hint)
}
