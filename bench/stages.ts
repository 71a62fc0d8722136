import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ExportFile } from '@heapferry/domain'
import { conversionOf, endOf } from '@heapferry/migration'
import { writeBenchCsv } from '@heapferry/sample-export'
import type { ExportPlace } from '@heapferry/sources'
import { chunksOf, converters, openFile, readChunks, stopwatch } from './read-chunks.ts'

const rows = 500_000

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
    const convertersFor = converters()
    const stages = ['reading', 'reading and converting', 'reading, converting and JSON'] as const
    const results = []
    for (const stage of stages) {
      const spent = stopwatch()
      let jsonBytes = 0
      await readChunks(place, file, chunks, (row) => {
        if (stage === 'reading') return
        const conversion = conversionOf(row, file.table, convertersFor)
        if (stage === 'reading and converting' || conversion.kind !== 'event') return
        const end = endOf(conversion)
        if (end.kind === 'event') jsonBytes += end.json.length
      })
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

async function withCsv(use: (place: ExportPlace, file: ExportFile) => Promise<object[]>): Promise<object[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  try {
    await writeBenchCsv(path.join(folder, 'pageviews.csv'), { rows, seed: 1 })
    const { place, file } = await openFile(folder, 'pageviews.csv')
    return await use(place, file)
  } finally {
    await rm(folder, { recursive: true })
  }
}

export function round1(value: number): number {
  return Math.round(value * 10) / 10
}
