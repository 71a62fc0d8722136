import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ExportFile } from '@heapferry/domain'
import { writeBenchCsv } from '@heapferry/sample-export'
import type { ExportPlace } from '@heapferry/sources'
import { inOwnProcess, workerFlags } from './in-own-process.ts'
import { chunksOf, openFile, stopwatch } from './read-chunks.ts'

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

export const stages = ['reading', 'reading and converting', 'reading, converting and JSON'] as const

/** What the bench's files hold, by the name of the input. */
export const inputs = { plain: { quoted: false }, 'half of the rows quoted': { quoted: true } } as const

export async function* benchConversion(): AsyncGenerator<object> {
  for (const [input, { quoted }] of Object.entries(inputs)) {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
    try {
      await writeBenchCsv(path.join(folder, 'pageviews.csv'), { rows, seed: 1, quoted })
      for (const stage of stages) {
        const { result } = await inOwnProcess('read-stage.ts', [folder, stage], workerFlags)
        const { seconds = 0, cpuSeconds = 0, jsonBytes = 0 } = result
        yield {
          input,
          stage,
          'rows/s': Math.round(rows / seconds),
          'CPU µs/row': round1((cpuSeconds * 1e6) / rows),
          ...(jsonBytes > 0 && { 'JSON bytes/event': Math.round(jsonBytes / rows) }),
        }
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  }
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
