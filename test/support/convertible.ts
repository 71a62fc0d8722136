import path from 'node:path'
import { defaultMapping, ExportFile, OperatorError, type RunId, type WorkStore } from '@heapferry/domain'
import { convertersOf, decodeIdentities, identitiesPath } from '@heapferry/migration'
import { discover, inspectFile, openPlace, openWorkStore, sourceAt } from '@heapferry/sources'
import { runOf } from './chunk.ts'
import { temporaryFolder } from './folder.ts'
import { noS3 } from './place.ts'

interface WhereAndWhen {
  run: RunId
  home: string
  startedAtMs?: number
  /** Where the run has left the resolved identities; below its home, unless it was told otherwise. */
  store?: WorkStore
}

/** What becomes of every row of an export, and of what was made of it, read in one piece and without any of the machinery that is tested. */
export async function convertible(source: string, { run, home, startedAtMs = Date.now(), store }: WhereAndWhen) {
  const { place, files: found } = await discover(source, noS3)
  const kept = store ?? (await openWorkStore(path.join(home, 'runs'), noS3))
  const exported = await Promise.all(found.map((one) => inspectFile(place, one, defaultMapping)))
  const first = await madeFor(run, kept)
  const files = [...exported.flatMap((inspected) => inspected.files), ...first.files]
  const read = sourceAt(place, first.place).readAll
  const made = new Set<string>()
  const identities = decodeIdentities(await kept.read(identitiesPath(run)))
  const convertersFor = convertersOf(runOf(run, { createdAtMs: startedAtMs }), identities, null)
  const events = new Map<string, { event: string; distinct_id: string; timestamp: string }>()
  let rows = 0
  let convertibleRows = 0
  for (const file of files) {
    for await (const slice of read(file, { rows: 5000, bytes: 8_000_000 })) {
      for (const row of slice.rows) {
        rows++
        const conversion = row.kind === 'row' ? convertersFor(file.table, row.columns)(row.values) : null
        if (conversion?.kind !== 'event') continue
        convertibleRows++
        const { uuid, event, distinct_id, timestamp } = conversion.event
        events.set(uuid, { event, distinct_id, timestamp })
        if (file.in !== undefined) made.add(uuid)
      }
    }
  }
  return { events, rows, convertibleRows, made }
}

/** What was first of people: the producer lists its files last. */
async function madeFor(run: RunId, store: WorkStore) {
  const folder = await temporaryFolder()
  const copied = await openWorkStore(folder, noS3)
  const files: ExportFile[] = []
  const list = await store.read(`${run}/first_touch/files`).catch((error: unknown) => {
    if (error instanceof OperatorError) return null
    throw error
  })
  for (const file of list === null ? [] : ExportFile.array().parse(JSON.parse(Buffer.from(list).toString()).files)) {
    files.push({ ...file, version: await copied.putTable(file.path, [await store.read(file.path)]) })
  }
  return { files, place: await openPlace(folder, noS3) }
}
