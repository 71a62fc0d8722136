import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Chunk, chunkIdOf, defaultMapping, type ExportFile, RunId } from '@heapferry/domain'
import { convertersOf, noIdentities, outgoing } from '@heapferry/migration'
import { writeBenchCsv } from '@heapferry/sample-export'
import { cutFile, fileReader, inspectFile, openPlace, type Place } from '@heapferry/sources'

const rows = 500_000
const chunkBytes = 8 * 1024 * 1024
const run = RunId.parse('bench')

export async function benchSplitting(): Promise<object[]> {
  return withCsv(async (place, file) => {
    const spent = stopwatch()
    const chunks = await chunksOf(place, file)
    const { seconds } = spent()
    const megabytes = file.version.sizeBytes / 1e6
    return [{ 'MB/s': Math.round(megabytes / seconds), 'rows/s': Math.round(rows / seconds), chunks: chunks.length }]
  })
}

export async function benchConversion(): Promise<object[]> {
  return withCsv(async (place, file) => {
    const chunks = await chunksOf(place, file)
    const convertersFor = convertersOf(
      {
        id: run,
        root: place.root,
        source: place.root,
        destination: { kind: 'posthog', host: 'http://127.0.0.1', keyFingerprint: '0123456789abcdef' },
        mapping: defaultMapping,
        saltFingerprint: null,
        includeRecent: false,
        maxRejectedPercent: 100,
        createdAtMs: Date.now(),
        chunkBytes,
      },
      noIdentities,
      null,
    )
    const stages = ['reading', 'reading and converting', 'reading, converting and JSON'] as const
    const results = []
    for (const stage of stages) {
      const spent = stopwatch()
      let jsonBytes = 0
      for (const chunk of chunks) {
        const slices = fileReader(place).read(file, chunk, { cursor: 0, rows: 0 }, { rows: 1000, bytes: 1_500_000 })
        for await (const slice of slices) {
          for (const row of slice.rows) {
            if (stage === 'reading') continue
            const conversion = row.kind === 'row' ? convertersFor(file.table, row.columns)(row.values) : null
            if (stage === 'reading and converting' || conversion?.kind !== 'event') continue
            const sized = outgoing(conversion.event)
            if (sized.kind === 'outgoing') jsonBytes += sized.json.length
          }
        }
      }
      const { seconds, cpuSeconds } = spent()
      results.push({
        stage,
        'rows/s': Math.round(rows / seconds),
        'CPU µs/row': round1((cpuSeconds * 1e6) / rows),
        ...(jsonBytes > 0 && { 'JSON bytes/event': Math.round(jsonBytes / rows) }),
      })
    }
    return results
  })
}

async function withCsv(use: (place: Place, file: ExportFile) => Promise<object[]>): Promise<object[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  try {
    await writeBenchCsv(path.join(folder, 'pageviews.csv'), { rows, seed: 1 })
    const place = await openPlace(folder, { pathStyle: false, requesterPays: false })
    const { files } = await inspectFile(place, { path: 'pageviews.csv' }, defaultMapping)
    if (!files[0]) throw new Error('the generated file is empty')
    return await use(place, files[0])
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function chunksOf(place: Place, file: ExportFile): Promise<Chunk[]> {
  const chunks: Chunk[] = []
  for await (const { range, firstRow, rows: count } of cutFile(place, file, chunkBytes)) {
    chunks.push({ id: chunkIdOf(file.id, chunks.length), run, file: file.id, range, firstRow, rows: count, day: null })
  }
  return chunks
}

function stopwatch(): () => { seconds: number; cpuSeconds: number } {
  const startedMs = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return { seconds: (performance.now() - startedMs) / 1000, cpuSeconds: (user + system) / 1e6 }
  }
}

export function round1(value: number): number {
  return Math.round(value * 10) / 10
}
