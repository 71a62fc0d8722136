import { type Chunk, chunkIdOf, defaultMapping, type ExportFile, type ReadRow, RunId } from '@heapferry/domain'
import { convertersOf, noIdentities } from '@heapferry/migration'
import { inspectFile, openPlace, type ExportPlace, sourceAt } from '@heapferry/sources'
import { runOf } from '../test/support/chunk.ts'

const chunkBytes = 8 * 1024 * 1024
const run = RunId.parse('bench')

export async function openFile(folder: string, path: string): Promise<{ place: ExportPlace; file: ExportFile }> {
  const place = await openPlace(folder, { pathStyle: false, requesterPays: false })
  const { files } = await inspectFile(place, { path }, defaultMapping)
  if (!files[0]) throw new Error(`${path} is empty`)
  return { place, file: files[0] }
}

/** As the producer cuts them. */
export async function chunksOf(place: ExportPlace, file: ExportFile): Promise<Chunk[]> {
  const chunks: Chunk[] = []
  for await (const { range, firstRow, rows } of sourceAt(place).cut(file, chunkBytes)) {
    chunks.push({ id: chunkIdOf(file.id, chunks.length), run, file: file.id, range, firstRow, rows, day: null })
  }
  return chunks
}

/** As a worker reads: chunk after chunk, in slices of one request. @returns the number of rows */
export async function readChunks(
  place: ExportPlace,
  file: ExportFile,
  chunks: readonly Chunk[],
  take: (row: ReadRow) => void,
): Promise<number> {
  let rows = 0
  for (const chunk of chunks) {
    const slices = sourceAt(place).read(file, chunk, { cursor: 0, rows: 0 }, { rows: 1000, bytes: 1_500_000 })
    for await (const slice of slices) {
      for (const row of slice.rows) {
        rows++
        take(row)
      }
    }
  }
  return rows
}

export function converters(): ReturnType<typeof convertersOf> {
  return convertersOf(runOf(run, { createdAtMs: Date.now() }), noIdentities, null)
}

export function stopwatch(): () => { seconds: number; cpuSeconds: number } {
  const startedMs = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return { seconds: (performance.now() - startedMs) / 1000, cpuSeconds: (user + system) / 1e6 }
  }
}
