import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import {
  addTallies,
  type Chunk,
  chunkIdOf,
  countOf,
  defaultMapping,
  emptyTally,
  type ExportFile,
  type ReadRow,
  RunId,
  type Slice,
} from '@heapferry/domain'
import { type ChunkWork, convertersOf, findNoSessions, processChunk } from '@heapferry/migration'
import { inspectFile, type ExportPlace, sourceAt } from '@heapferry/sources'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packers } from '../sources/packers.ts'
import { avroRows, csv, json, jsonArray, jsonLines, nullFirst, type RowsTo, writerOf } from '../sources/row-files.ts'
import { runOf } from '../support/chunk.ts'
import { temporaryFolder } from '../support/folder.ts'
import { MemoryLedger } from '../support/memory-ledger.ts'
import { folderPlace } from '../support/place.ts'
import { tableWriters } from '../support/write-table.ts'
import { identifyRecords, identitiesOf } from './identities-of.ts'
import { tries } from '../support/tries.ts'

const rowCount = 180
const table = {
  columns: ['event_id', 'user_id', 'time', 'text'],
  // Every ninth row has no time and is rejected.
  rows: Array.from({ length: rowCount }, (_, index) => [
    String(9_007_199_254_740_000 + index),
    String((index % 7) + 1),
    index % 9 === 4 ? null : `2023-01-02 03:04:${String(index % 60).padStart(2, '0')}`,
    `a "text"\nof ${index} é`.repeat((index % 4) + 1),
  ]),
}

const avro = avroRows({ codec: 'deflate', text: nullFirst, rowsPerBlock: 11 })

interface Kind {
  name: string
  fileName: string
  write(file: string): Promise<void>
  isDamaged?: true
}

const kinds: Kind[] = [
  { name: 'CSV', fileName: 'clicks.csv', write: written(csv()) },
  { name: 'CSV inside of gzip', fileName: 'clicks.csv.gz', write: written(csv(), packers.gzip) },
  { name: 'JSON lines', fileName: 'clicks.jsonl', write: written(json(jsonLines)) },
  { name: 'a JSON array', fileName: 'clicks.json', write: written(json(jsonArray)) },
  { name: 'Avro', fileName: 'clicks.avro', write: written(avro) },
  { name: 'Parquet', fileName: 'clicks.parquet', write: (file) => tableWriters.parquet(file, table) },
  {
    name: 'the one-time export',
    fileName: 'events.jsonl',
    write: (file) => writeFile(file, oneTimeExport()),
  },
  { name: 'CSV with broken rows', fileName: 'clicks.csv', write: written(csv(), withBrokenLines), isDamaged: true },
  cutOff({ name: 'CSV inside of gzip', fileName: 'clicks.csv.gz', make: csv(), pack: packers.gzip }),
  cutOff({ name: 'JSON lines inside of zstd', fileName: 'clicks.jsonl', make: json(jsonLines), pack: packers.zstd }),
  cutOff({ name: 'a JSON array inside of bzip2', fileName: 'c.json', make: json(jsonArray), pack: packers.bzip2 }),
  cutOff({ name: 'Avro', fileName: 'clicks.avro', make: avro, pack: (content) => content }),
  cutOff({ name: 'Avro inside of zstd', fileName: 'clicks.avro', make: avro, pack: packers.zstd }),
]

test.each(kinds)('wherever in $name workers die, others send and count what one alone would have', async (kind) => {
  const folder = await temporaryFolder()
  await kind.write(path.join(folder, kind.fileName))
  const files = await cut(await folderPlace(folder), kind.fileName)
  const undisturbed = await migrated(folder, files, { deaths: [], sliceRows: [1000] })
  expect(undisturbed.events.size).toBeGreaterThan(rowCount / 2)
  expect(undisturbed.tally.read).toBe(files.flatMap(({ chunks }) => chunks).reduce((sum, { rows }) => sum + rows, 0))
  expect(undisturbed.tally.rejected.missing_time).toBeGreaterThan(10)
  const { not_decodable: broken = 0, file_damaged: damaged = 0 } = undisturbed.tally.rejected
  expect(broken + damaged > 0).toBe(kind.isDamaged ?? false)

  const deaths = fc.array(fc.record({ row: fc.integer({ min: 1, max: rowCount }), moment: moment() }), {
    minLength: 1,
    maxLength: 8,
  })
  const slices = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 })
  let struck = 0
  await fc.assert(
    fc.asyncProperty(deaths, slices, async (atRows, sliceRows) => {
      const disturbed = await migrated(folder, files, { deaths: atRows, sliceRows })
      struck += disturbed.struck
      expect(disturbed.events).toEqual(undisturbed.events)
      expect(disturbed.tally).toEqual(undisturbed.tally)
      expect(disturbed.rejected).toEqual(undisturbed.rejected)
      // A death repeats its own batch and no more.
      const repeated = disturbed.arrivals - undisturbed.arrivals
      expect(repeated).toBeLessThanOrEqual(disturbed.struck * Math.max(...sliceRows))
    }),
    // Of a few tries by chance none may strike: a file that is cut off has few rows.
    { numRuns: tries(15), examples: [[[{ row: 20, moment: 'after_send' }], [7]]] },
  )
  expect(struck).toBeGreaterThan(tries(15) / 3)
})

function written(...of: Parameters<typeof writerOf>): Kind['write'] {
  const write = writerOf(...of)
  return (file) => write(file, table)
}

/** As a copy leaves it that broke off. */
function cutOff(of: Pick<Kind, 'name' | 'fileName'> & { make: RowsTo; pack(content: Buffer): Buffer }): Kind {
  const { name, fileName, make, pack } = of
  const cutAway = (content: Buffer): Buffer => {
    const packed = pack(content)
    return packed.subarray(0, Math.floor(packed.length * 0.8))
  }
  return { name: `${name}, cut off`, fileName, write: written(make, cutAway), isDamaged: true }
}

function withBrokenLines(content: Buffer): Buffer {
  const lines = content.toString().split('\n')
  return Buffer.from(lines.flatMap((line, index) => (index % 40 === 7 ? [line, '1,"2"3,4,5'] : [line])).join('\n'))
}

/** Both are tables of the same file, so that a cursor passes rows of the other one. */
function oneTimeExport(): string {
  return jsonLines(
    table.rows.flatMap(([eventId, userId, time], index) => {
      const id = `(2008543124,${userId})`
      const event = { id, event_id: Number(eventId), time, type: 'click', properties: { index } }
      const identify = { id, identity: `${userId}@example.com`, time: '2023-01-02 03:04:05' }
      return (index % 5 === 0 ? [event, identify] : [event]).map((row) => JSON.stringify(row))
    }),
  )
}

interface CutFile {
  file: ExportFile
  chunks: Chunk[]
}

async function cut(place: ExportPlace, fileName: string): Promise<CutFile[]> {
  const { files } = await inspectFile(place, { path: fileName }, defaultMapping)
  return Promise.all(
    files.map(async (file) => {
      const chunks: Chunk[] = []
      for await (const { range, firstRow, rows } of sourceAt(place).cut(file, 4000)) {
        const id = chunkIdOf(file.id, chunks.length)
        chunks.push({ id, run: RunId.parse('kills'), file: file.id, range, firstRow, rows, day: null })
      }
      return { file, chunks }
    }),
  )
}

function moment() {
  return fc.constantFrom('reading', 'before_send', 'after_send', 'before_commit', 'after_commit')
}

interface Disturbance {
  /** In each chunk a worker dies when it is at such a row, or at the batch that holds it. */
  deaths: readonly { row: number; moment: string }[]
  /** How much the first, the second, … worker takes at a time. */
  sliceRows: readonly number[]
}

/** Runs every chunk to its end, with a new worker whenever one dies. */
async function migrated(folder: string, files: readonly CutFile[], { deaths, sliceRows }: Disturbance) {
  const ledger = new MemoryLedger()
  const events = new Set<string>()
  let arrivals = 0
  let struck = 0
  let tally = emptyTally
  for (const { file, chunks } of files) {
    for (const chunk of chunks) {
      const left = [...deaths]
      for (let turn = 0; ; turn++) {
        const token = `worker ${turn}`
        await ledger.hold(chunk, token)
        const rows = sliceRows[turn % sliceRows.length] ?? 1
        const outcome = await processChunk({ chunk, file, token }, await worker(rows, left), never).catch(
          (error: unknown) => {
            if (!(error instanceof Death)) throw error
            struck++
            return { kind: 'died' as const }
          },
        )
        if (outcome.kind === 'finished') break
        expect(outcome.kind).toBe('died')
      }
      tally = addTallies(tally, (await ledger.checkpoint(chunk))?.tally ?? emptyTally)
    }
  }
  expect(tally.sent + countOf(tally.skipped) + countOf(tally.rejected)).toBe(tally.read)
  expect(ledger.rejected.size).toBe(countOf(tally.rejected))
  return { events, arrivals, struck, tally, rejected: ledger.rejected }

  /** A process of its own: nothing of it is left when it dies. */
  async function worker(rows: number, left: { row: number; moment: string }[]): Promise<ChunkWork> {
    const source = sourceAt(await folderPlace(folder))
    let due: string | null = null
    const dieAt = (now: string): void => {
      if (due !== now) return
      due = null
      throw new Death()
    }
    function* watched(slice: Slice): Generator<ReadRow> {
      for (const row of slice.rows) {
        const at = left.findIndex((death) => death.row === row.place.row)
        if (at !== -1) due = left.splice(at, 1)[0]?.moment ?? null
        dieAt('reading')
        yield row
      }
    }
    return {
      source: {
        async *read(...where) {
          for await (const slice of source.read(...where)) yield { ...slice, rows: watched(slice) }
        },
      },
      sink: {
        async send(batch) {
          dieAt('before_send')
          arrivals += batch.length
          for (const event of batch) events.add(Buffer.from(event.json).toString())
          dieAt('after_send')
          return Promise.resolve({ kind: 'acknowledged', refused: [], warned: {} })
        },
      },
      ledger: {
        isPlanned: () => ledger.isPlanned(),
        checkpoint: (of) => ledger.checkpoint(of),
        async commit(...what) {
          dieAt('before_commit')
          const answer = await ledger.commit(...what)
          dieAt('after_commit')
          return answer
        },
      },
      converterFor: convertersOf(run, identities, null),
      findSessions: findNoSessions,
      limits: { rows, bytes: 100_000, slicesAtOnce: 1 },
    }
  }
}

const never = new AbortController().signal
const run = runOf('kills', { createdAtMs: Date.UTC(2030) })
const identities = await identitiesOf(
  identifyRecords(Array.from({ length: 7 }, (_, index) => [String(index + 1), `${index + 1}@example.com`])),
)

class Death extends Error {}
