import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { writeBenchCsv } from '@heapferry/sample-export'
import { inOwnProcess, type OwnProcess, workerFlags } from './in-own-process.ts'
import { round1 } from './stages.ts'
import { formatWriters } from './write-formats.ts'

// Speed is measured with the first; whether memory grows, one look at the second tells.
const sizes = [
  { rows: 250_000, timesEach: 3 },
  { rows: 1_000_000, timesEach: 1 },
]

/** The same rows in every format: how fast they are read, and whether more of them take more memory. */
export async function* benchFormats(): AsyncGenerator<object> {
  for (const { rows, timesEach } of sizes) {
    const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
    try {
      await writeBenchCsv(path.join(folder, 'pageviews.csv'), { rows, seed: 1 })
      for (const [name, write] of Object.entries(formatWriters)) {
        await write(folder, path.join(folder, name))
        yield await measured({ folder, name, rows, timesEach })
        if (name !== 'pageviews.csv') await rm(path.join(folder, name))
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}

interface Case {
  folder: string
  name: string
  rows: number
  timesEach: number
}

async function measured(file: Case): Promise<object> {
  const { folder, name, rows } = file
  const { size } = await stat(path.join(folder, name))
  const read = await bestOf(file, 'reading')
  const converted = await bestOf(file, 'converting')
  return {
    file: name,
    rows,
    MB: Math.round(size / 1e6),
    'cutting s': round1(read.cutSeconds),
    'rows/s read': Math.round(rows / read.seconds),
    'CPU µs/row read': round1((read.cpuSeconds * 1e6) / rows),
    'rows/s read and converted': Math.round(rows / converted.seconds),
    'CPU µs/row read and converted': round1((converted.cpuSeconds * 1e6) / rows),
    'peak MB read': read.peakMb,
    'peak MB read and converted': converted.peakMb,
  }
}

/** Of each figure the least, and the largest peak: whatever else the machine does only makes a run slower. */
async function bestOf({ folder, name, rows, timesEach }: Case, stage: string) {
  const runs: OwnProcess[] = []
  for (let time = 0; time < timesEach; time++)
    runs.push(await inOwnProcess('read-format.ts', [folder, name, stage], workerFlags))
  const least = (what: string) => Math.min(...runs.map(({ result }) => result[what] ?? 0))
  if (least('rows') !== rows) throw new Error(`${name}: ${least('rows')} of ${rows} rows came`)
  return {
    seconds: least('seconds'),
    cpuSeconds: least('cpuSeconds'),
    cutSeconds: least('cutSeconds'),
    peakMb: Math.max(...runs.map(({ peakMb }) => peakMb)),
  }
}
