import path from 'node:path'
import { defaultMapping, type RunId, type WorkStore } from '@heapferry/domain'
import { convertersOf, decodeIdentities, identitiesPath } from '@heapferry/migration'
import { discover, inspectFile, openWorkStore, sourceAt } from '@heapferry/sources'
import { runOf } from './chunk.ts'
import { noS3 } from './place.ts'

interface WhereAndWhen {
  run: RunId
  home: string
  startedAtMs?: number
  /** Where the run has left the resolved identities; below its home, unless it was told otherwise. */
  store?: WorkStore
}

/** What becomes of every row of an export, read in one piece and without any of the machinery that is tested. */
export async function convertible(source: string, { run, home, startedAtMs = Date.now(), store }: WhereAndWhen) {
  const { place, files: found } = await discover(source, noS3)
  const kept = store ?? (await openWorkStore(path.join(home, 'runs'), noS3))
  const identities = decodeIdentities(await kept.read(identitiesPath(run)))
  const convertersFor = convertersOf(runOf(run, { createdAtMs: startedAtMs }), identities, null)
  const events = new Map<string, { event: string; distinct_id: string; timestamp: string }>()
  let rows = 0
  let convertibleRows = 0
  for (const file of (await Promise.all(found.map((one) => inspectFile(place, one, defaultMapping)))).flatMap(
    ({ files }) => files,
  )) {
    for await (const slice of sourceAt(place).readAll(file, { rows: 5000, bytes: 8_000_000 })) {
      for (const row of slice.rows) {
        rows++
        const conversion = row.kind === 'row' ? convertersFor(file.table, row.columns)(row.values) : null
        if (conversion?.kind !== 'event') continue
        convertibleRows++
        const { uuid, event, distinct_id, timestamp } = conversion.event
        events.set(uuid, { event, distinct_id, timestamp })
      }
    }
  }
  return { events, rows, convertibleRows }
}
