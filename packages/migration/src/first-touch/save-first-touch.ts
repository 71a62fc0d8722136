import { createHash } from 'node:crypto'
import { type ConversionContext, firstTouchColumns } from '@heapferry/conversion'
import { ExportFile, FileId, type Identities, type Run, type WorkStore } from '@heapferry/domain'
import { z } from 'zod'
import { contextOf } from '../converters.ts'
import { csvLine } from '../csv-line.ts'
import { noIdentities } from '../identities/no-identities.ts'
import { type PeopleSource, peopleOfRun } from '../identities/run-identities.ts'
import { unlessOperator } from '../unless-operator.ts'
import { grouped } from '../wording.ts'
import { findTouches, type FirstTouch } from './find-touches.ts'
import { touchFiles } from './touch-files.ts'

/** The files that were made for a run; what says so is written last, and so stands for all of them. */
const Made = z.object({
  /** A run that was forgotten and created anew under the same name is another one. */
  createdAtMs: z.number().int(),
  people: z.number().int().nonnegative(),
  from: z.string(),
  files: z.array(ExportFile),
})
type Made = z.infer<typeof Made>

// A worker's chunk, more or less: so little is held until it is written.
const fileBytes = 8 * 1024 * 1024

export interface FirstTouchWork {
  store: WorkStore
  /** Names of all tables of the export, where files of some are still to come. */
  tableNames?: Iterable<string>
  /** Who is who, as rows of people are converted by; asked for only where such rows are read. */
  identities(): Promise<Identities>
  /** How many people there is memory for: of more the files are read more often. */
  peopleAtOnce?: number
  signal: AbortSignal
}

/** Whether people get what was first of them. A mapping that says nothing of people says nothing of that either. */
export function sendsFirstTouch({ mapping }: Pick<Run, 'mapping'>): boolean {
  return mapping.first_touch === 'send' && mapping.persons !== 'skip'
}

/** The files that were made for a run before; none where that was not finished. */
export async function madeFiles(run: Run, store: WorkStore): Promise<ExportFile[]> {
  return (await madeBefore(run, store))?.files ?? []
}

/**
 * Leaves a table of what was first of people in the work store, before anything is enqueued, in files that are cut, read
 * and accounted for as those of the export are. Begun again after a crash it writes the same bytes; once it is done it is
 * not done again, whatever comes to the export later: what was sent first stays the first.
 * @returns null when the signal came
 */
export async function saveFirstTouch(
  run: Run,
  files: readonly ExportFile[],
  source: PeopleSource,
  { store, tableNames = [], identities, peopleAtOnce, signal }: FirstTouchWork,
): Promise<{ files: ExportFile[]; notices: string[] } | null> {
  if (!sendsFirstTouch(run)) return { files: [], notices: [] }
  const before = await madeBefore(run, store)
  if (before) return { files: before.files, notices: [] }
  const { from, files: telling } = touchFiles(files, run.mapping)
  if (telling.length === 0) return { files: [], notices: [] }
  const contextWith = (known: Identities): ConversionContext => contextOf(run, known, source.hashSalt)
  const people = await peopleOfRun(run, files, source)
  const table = {
    kind: 'first_touch',
    name: tableName(new Set([...tableNames, ...files.map((file) => file.table.name)])),
  } as const
  const made: Made = { createdAtMs: run.createdAtMs, people: 0, from, files: [] }
  let rows: Uint8Array[] = []
  let bytes = 0

  const write = async (): Promise<void> => {
    const path = `${folderOf(run)}/from-${from}-${String(made.files.length).padStart(5, '0')}.csv`
    const version = await store.putTable(path, [header, ...rows])
    const id = FileId.parse(createHash('sha256').update(`work store\0${path}`).digest('hex').slice(0, 12))
    const format = { kind: 'csv', delimiter: ',', quote: '"' } as const
    const columns = [...firstTouchColumns]
    made.files.push({
      id,
      path,
      in: 'work_store',
      table,
      format,
      compression: 'none',
      columns,
      firstRowByte: header.length,
      version,
    })
    rows = []
    bytes = 0
  }

  const touches = findTouches(files, {
    read: source.read,
    people,
    context: contextWith(noIdentities),
    contextOfPeople: async () => contextWith(await identities()),
    ...(peopleAtOnce !== undefined && { peopleAtOnce }),
    signal,
  })
  for await (const touch of touches) {
    const row = Buffer.from(csvLine(cellsOf(touch)))
    rows.push(row)
    bytes += row.length
    made.people++
    if (bytes >= fileBytes) await write()
  }
  if (signal.aborted) return null
  if (rows.length > 0) await write()
  await store.put(listPath(run), [Buffer.from(JSON.stringify(made))])
  if (made.people === 0) return { files: [], notices: [] }
  const who = made.people === 1 ? '1 person gets' : `${grouped(made.people)} people get`
  const notice = `${who} what was first of them from ${from}: $initial_ properties, and where they were. first_touch: skip in the mapping file leaves it out`
  return { files: made.files, notices: [notice] }
}

async function madeBefore(run: Run, store: WorkStore): Promise<Made | null> {
  if (!sendsFirstTouch(run)) return null
  const bytes = await store.read(listPath(run)).catch(unlessOperator)
  const made = bytes && Made.parse(JSON.parse(Buffer.from(bytes).toString()))
  return made?.createdAtMs === run.createdAtMs ? made : null
}

function folderOf(run: Run): string {
  return `${run.id}/first_touch`
}

function listPath(run: Run): string {
  return `${folderOf(run)}/files`
}

/** Tables are counted by name, and an event of Heap may be called so. */
function tableName(taken: ReadonlySet<string>): string {
  let name = 'first_touch'
  while (taken.has(name)) name += '_of_people'
  return name
}

function cellsOf({ person, timeMs, distinctId, setOnce, set }: FirstTouch): string[] {
  return [person, new Date(timeMs).toISOString(), distinctId, JSON.stringify(setOnce), JSON.stringify(set)]
}

const header = Buffer.from(csvLine(firstTouchColumns))
