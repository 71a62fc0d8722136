import { readFile } from 'node:fs/promises'
import { type Chunk, chunkIdOf, defaultMapping, type RunId } from '@heapferry/domain'
import { homeOf } from '@heapferry/config'
import { convertersOf, decodeIdentities } from '@heapferry/migration'
import { cutFile, discover, fileReader, inspectFile } from '@heapferry/sources'
import { runOf } from './chunk.ts'

/** What becomes of every row of an export, read in one piece and without any of the machinery that is tested. */
export async function convertible(
  source: string,
  { run, home, startedAtMs = Date.now() }: { run: RunId; home: string; startedAtMs?: number },
) {
  const { root, paths } = await discover(source)
  const identities = decodeIdentities(await readFile(homeOf(home).identities(run), 'utf8').catch(() => ''))
  const convertersFor = convertersOf(runOf(run, { createdAtMs: startedAtMs }), identities)
  const events = new Map<string, { event: string; distinct_id: string; timestamp: string }>()
  let rows = 0
  let convertibleRows = 0
  for (const path of paths) {
    const file = await inspectFile(root, path, defaultMapping)
    if (!file) continue
    for await (const { range, firstRow, rows: count } of cutFile(root, file, Number.MAX_SAFE_INTEGER)) {
      const chunk: Chunk = { id: chunkIdOf(file.id, 0), run, file: file.id, range, firstRow, rows: count, day: null }
      for await (const slice of fileReader(root).read(
        file,
        chunk,
        { cursor: 0, rows: 0 },
        { rows: 5000, bytes: 8_000_000 },
      )) {
        const convert = convertersFor(file.table, slice.columns)
        for (const row of slice.rows) {
          rows++
          const conversion = row.kind === 'row' ? convert(row.values) : null
          if (conversion?.kind !== 'event') continue
          convertibleRows++
          const { uuid, event, distinct_id, timestamp } = conversion.event
          events.set(uuid, { event, distinct_id, timestamp })
        }
      }
    }
  }
  return { events, rows, convertibleRows }
}
