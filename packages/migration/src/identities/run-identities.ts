import { createHash } from 'node:crypto'
import {
  type ExportFile,
  type FileLedger,
  type Identities,
  OperatorError,
  type Run,
  type RunId,
  type RunLedger,
  type Slice,
  tellsWhoIsWho,
  type WorkStore,
} from '@heapferry/domain'
import { unlessOperator } from '../unless-operator.ts'
import { decodeIdentities, encodeIdentities } from './encoded-identities.ts'
import { identityFacts } from './identity-facts.ts'
import { type People, peopleOf } from './people.ts'
import { type ResolvedPeople, resolvePeople } from './resolve-people.ts'

/** Where the identities of a run are: their file in the work store, its hash in the ledger. */
export interface KeptIdentities {
  ledger: Pick<RunLedger, 'identities' | 'setIdentities'> & Pick<FileLedger, 'files'>
  store: WorkStore
}

/** What they are made from, with the run. */
export interface PeopleSource {
  /** The rows of a whole file. */
  read(file: ExportFile): AsyncIterable<Slice>
  /** What hashes are keyed with; null where none is set. */
  hashSalt: string | null
}

/** In the work store: who every id of a person is joined to. */
export function identitiesPath(run: RunId): string {
  return `${run}/identities`
}

/**
 * Leaves the resolved identities where workers find them, before anything is enqueued. The same files give the same
 * bytes, so doing it again after a crash changes nothing.
 * @returns what a user should know of them; nothing where they were there
 * @param files all of the export
 * @throws OperatorError when there are other files of people than the run was begun with
 */
export async function saveIdentities(
  run: Run,
  files: readonly ExportFile[],
  source: PeopleSource,
  { ledger, store }: KeptIdentities,
): Promise<string[]> {
  const fingerprint = sha256([
    JSON.stringify(ofPeople(files).map(({ path, version: { sizeBytes, mark } }) => [path, { sizeBytes, mark }])),
  ])
  const stored = await ledger.identities(run.id)
  if (stored && stored.files !== fingerprint) {
    throw new OperatorError(
      `Files of users or user_migrations came to the export after the people of the run ${run.id} were resolved`,
      'Merges cannot be taken back, so they need all files at once: start another run with --run NAME.',
    )
  }
  const path = identitiesPath(run.id)
  if (stored) {
    const bytes = await store.read(path).catch(unlessOperator)
    if (bytes && sha256([bytes]) === stored.resolved) return []
  }
  const people = await resolve(run, files, source)
  const parts = encodeIdentities(people)
  await store.put(path, parts)
  await ledger.setIdentities(run.id, { resolved: sha256(parts), files: fingerprint })
  return people.notices
}

/** As the work store has them, or where that was cleared, resolved again. */
export async function recoverIdentities(run: Run, source: PeopleSource, kept: KeptIdentities): Promise<Identities> {
  const stored = await loadIdentities(run, kept).catch(unlessOperator)
  if (stored) return stored
  const bytes = Buffer.concat(encodeIdentities(await resolve(run, await kept.ledger.files(run.id), source)))
  if (await isOfRun(run, bytes, kept)) return decodeIdentities(bytes)
  throw new OperatorError(
    `The people of the run ${run.id} come out otherwise than when it was made`,
    'Use the version of heapferry that made the run, and the export as it was.',
  )
}

/** Whose every id of a run is. Of all files those of people are read, once more. */
export async function peopleOfRun(
  { mapping }: Run,
  files: readonly ExportFile[],
  { read, hashSalt }: PeopleSource,
): Promise<People> {
  return peopleOf(await identityFacts(ofPeople(files), read, { mapping, hashSalt }))
}

/** As the producer left them in the work store. @throws OperatorError where they are not there, or another run's */
export async function loadIdentities(run: Run, kept: KeptIdentities): Promise<Identities> {
  const hint =
    'Workers on other machines need the same HEAPFERRY_WORK_STORE (a shared folder or s3://bucket/prefix), and the export at the same place.'
  const { store } = kept
  const path = identitiesPath(run.id)
  const bytes = await store.read(path).catch((cause: unknown) => {
    if (!(cause instanceof OperatorError)) throw cause
    throw new OperatorError(`The identities of the run ${run.id} cannot be read: ${cause.message}`, hint, { cause })
  })
  if (await isOfRun(run, bytes, kept)) return decodeIdentities(bytes)
  throw new OperatorError(`${path} in ${store.root} holds other identities than those of the run`, hint)
}

async function isOfRun(run: Run, bytes: Uint8Array, { ledger }: KeptIdentities): Promise<boolean> {
  const wanted = await ledger.identities(run.id)
  return sha256([bytes]) === wanted?.resolved
}

function resolve(
  { mapping }: Run,
  files: readonly ExportFile[],
  { read, hashSalt }: PeopleSource,
): Promise<ResolvedPeople> {
  const listNamed = mapping.anonymous === 'personless'
  return resolvePeople(ofPeople(files), read, { mapping, hashSalt, listNamed })
}

function ofPeople(files: readonly ExportFile[]): ExportFile[] {
  return files.filter(({ table }) => tellsWhoIsWho(table.kind))
}

/** In hex. */
export function sha256(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}
