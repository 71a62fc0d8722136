import { isDeepStrictEqual } from 'node:util'
import {
  type ExportFile,
  Grant,
  type Intent,
  OperatorError,
  type Run,
  type Source,
  type WorkStore,
} from '@heapferry/domain'
import { sourceAt } from './open-source.ts'
import { type ExportPlace, openPlace, type S3Options } from './places/open-place.ts'
import { openWorkStore } from './places/open-work-store.ts'

export interface RunSourceOptions {
  store: string
  s3: S3Options
  /** Where files that were made for the run lie, if they are not in the work store. */
  madeIn?: string
  /** Sees what is read, of files that may be. */
  watch?(place: ExportPlace): ExportPlace
}

/** The export of a run, of which only files are read that its grant names. The grant is looked at when the first is. */
export async function openRunSource(
  run: Run,
  { store, s3, madeIn = store, watch = (place) => place }: RunSourceOptions,
): Promise<Source> {
  const opening = [openPlace(run.root, s3), openPlace(madeIn, s3), openWorkStore(store, s3)] as const
  const [place, made, kept] = await Promise.all(opening)
  const source = sourceAt(watch(place), watch(made))
  const close = (): void => {
    source.close()
    kept.close()
  }
  return { ...granted(source, guardOf(run, kept)), close }
}

/** Leaves the grant of a run where those who read its export look for it; one that is there is replaced. */
export async function saveGrant(run: Run, files: readonly ExportFile[], store: WorkStore): Promise<void> {
  const pathsIn = (place: ExportFile['in']): string[] => [
    ...new Set(files.filter((file) => file.in === place).map(({ path }) => path)),
  ]
  const grant: Grant = { run, files: pathsIn(undefined), made: pathsIn('work_store') }
  await store.put(grantPath(run), [Buffer.from(JSON.stringify(grant))])
}

/** @throws OperatorError unless the grant of the run says the same of it as `run`, which Redis says */
export async function assertGranted(run: Run, store: WorkStore): Promise<void> {
  await grantOf(run, store)
}

/** Whether workers have paused the run for the want of its grant. */
export function isPausedForGrant({ id }: Run, intent: Intent): boolean {
  return intent.kind === 'pause' && intent.by === 'heapferry' && intent.reason.startsWith(missingGrant(id))
}

type Guard = (file: ExportFile) => Promise<void>

function granted(source: Source, guard: Guard): Source {
  async function* guarded<T>(file: ExportFile, read: () => AsyncIterable<T>): AsyncGenerator<T> {
    await guard(file)
    yield* read()
  }
  return {
    ...source,
    cut: (file, chunkBytes) => guarded(file, () => source.cut(file, chunkBytes)),
    read: (file, piece, from, limits) => guarded(file, () => source.read(file, piece, from, limits)),
    readAll: (file, limits) => guarded(file, () => source.readAll(file, limits)),
    rowsAt: (file, places) => guarded(file, () => source.rowsAt(file, places)),
    sample: async (file, rows) => {
      await guard(file)
      return source.sample(file, rows)
    },
    countRows: async (file, maxBytes) => {
      await guard(file)
      return source.countRows(file, maxBytes)
    },
    checksum: async (file) => {
      await guard(file)
      return source.checksum(file)
    },
  }
}

function guardOf(run: Run, store: WorkStore): Guard {
  let known: { files: ReadonlySet<string>; made: ReadonlySet<string> } | undefined
  const isKnown = ({ path, in: place }: ExportFile): boolean =>
    (place === 'work_store' ? known?.made : known?.files)?.has(path) ?? false
  return async (file) => {
    const { path } = file
    if (isKnown(file)) return
    // Looked at again: files may have come to the run.
    const { files, made } = await grantOf(run, store)
    known = { files: new Set(files), made: new Set(made) }
    if (isKnown(file)) return
    throw new OperatorError(
      `Redis says that the run ${run.id} has a file ${path}; its grant in ${store.root} knows none, and it was not read`,
      tamperedHint,
    )
  }
}

async function grantOf(run: Run, store: WorkStore): Promise<Grant> {
  const text = await store.read(grantPath(run)).catch((cause: unknown) => {
    if (!(cause instanceof OperatorError)) throw cause
    throw new OperatorError(
      `${missingGrant(run.id)}: ${cause.message}`,
      'Give this command the HEAPFERRY_WORK_STORE (or HEAPFERRY_HOME) that the run was begun with. Where the grant was lost: the run command, started again, writes it and goes on. Whether it was deleted by heapferry clean is in heapferry status.',
      { cause },
    )
  })
  const grant = parsed(text)
  if (grant === null)
    throw new OperatorError(`${missingGrant(run.id)}: ${grantPath(run)} in ${store.root} is damaged`, againHint)
  const differing = Object.keys({ ...grant.run, ...run }).filter((field) => !isSame(grant.run, run, field))
  if (differing.length === 0) return grant
  throw new OperatorError(
    `Redis says otherwise of the run ${run.id} than its grant in ${store.root} (${differing.join(', ')}), so nothing was read`,
    tamperedHint,
  )
}

function isSame(a: Run, b: Run, field: string): boolean {
  const [one, other] = [a, b].map((run) => Object.entries(run).find(([name]) => name === field)?.[1])
  return isDeepStrictEqual(one, other)
}

function parsed(bytes: Uint8Array): Grant | null {
  try {
    return Grant.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch {
    return null
  }
}

const againHint = 'Start the run command again: it writes the grant and goes on.'
const tamperedHint =
  'Was Redis changed by hand, or by somebody else? Start the run command again: it says what differs, and writes a grant where nothing does. If Redis cannot be trusted, start another run with --run NAME in another Redis: no event is doubled.'

function missingGrant(id: Run['id']): string {
  return `The grant of the run ${id}, which says what may be read for it, cannot be read`
}

/** No run is named so: it stays when the folder of the run is deleted, for `verify` and `rejected` need it still. */
function grantPath({ id }: Run): string {
  return `.grants/${id}`
}
