import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { writeBenchCsv } from '@heapferry/sample-export'
import { fastest, inOwnProcess, type OwnProcess } from './in-own-process.ts'
import { round1 } from './stages.ts'
import { formatWriters } from './write-formats.ts'

const timesEach = 3
// What `heapferry run` gives its workers.
const workerFlags = ['--max-semi-space-size=4']

/** The same rows in every format: how fast they are read, and whether more of them take more memory. */
export async function benchFormats(): Promise<object[]> {
  const results = []
  for (const rows of [250_000, 1_000_000]) {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
    try {
      await writeBenchCsv(path.join(folder, 'pageviews.csv'), { rows, seed: 1 })
      for (const [name, write] of Object.entries(formatWriters)) {
        await write(folder, path.join(folder, name))
        results.push(await measured(folder, name, rows))
        if (name !== 'pageviews.csv') await rm(path.join(folder, name))
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  }
  return results
}

async function measured(folder: string, name: string, rows: number): Promise<object> {
  const { size } = await stat(path.join(folder, name))
  const reading = await bestOf(folder, name, 'reading')
  const converting = await bestOf(folder, name, 'converting')
  for (const { result } of [reading, converting])
    if (result['rows'] !== rows) throw new Error(`${name}: ${result['rows']} of ${rows} rows came`)
  return {
    file: name,
    rows,
    MB: Math.round(size / 1e6),
    'cutting s': round1(reading.result['cutSeconds'] ?? 0),
    'rows/s read': perSecond(reading),
    'CPU µs/row read': cpuPerRow(reading),
    'rows/s read and converted': perSecond(converting),
    'CPU µs/row read and converted': cpuPerRow(converting),
    'peak MB read': reading.peakMb,
    'peak MB read and converted': converting.peakMb,
  }
}

async function bestOf(folder: string, name: string, stage: string): Promise<OwnProcess> {
  const runs = []
  for (let time = 0; time < timesEach; time++)
    runs.push(await inOwnProcess('read-format.ts', [folder, name, stage], workerFlags))
  return fastest(runs, ({ result }) => result['seconds'] ?? 0)
}

function perSecond({ result: { rows = 0, seconds = 0 } }: OwnProcess): number {
  return Math.round(rows / seconds)
}

function cpuPerRow({ result: { rows = 0, cpuSeconds = 0 } }: OwnProcess): number {
  return round1((cpuSeconds * 1e6) / rows)
}
