import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import type { Table } from '@heapferry/domain'
import { convertersOf, noIdentities } from '@heapferry/migration'
import { discover, inspectExport, sourceAt } from '@heapferry/sources'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { conversionOf, endOfRow } from '../../packages/migration/src/end-of-row.ts'
import { type RowsToWrite, rowsToWrite } from '../conversion/rows-to-write.ts'
import { runOf } from '../support/chunk.ts'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'
import { tries } from '../support/tries.ts'
import { type TextTable, tableWriters } from '../support/write-table.ts'

const anyName = /^[^A-Z\t\d][^A-Z\t]*$/

test.each([
  ['csv', 'csv', anyName],
  ['csvGzip', 'csv', anyName],
  ['jsonLines', 'jsonl', anyName],
  ['jsonArray', 'json', anyName],
  ['avro', 'avro', /^[a-z_][a-z\d_]*$/],
  ['parquet', 'parquet', anyName],
] as const)(
  'what a worker sends of a file (%s) is byte for byte the JSON of the objects that its cells become',
  async (kind, extension, names) => {
    const folder = await temporaryFolder()
    let files = 0
    await fc.assert(
      fc.asyncProperty(eventRows, fc.integer({ min: 1, max: 200 }), async (made, sliceRows) => {
        const root = path.join(folder, String(files++))
        await mkdir(root)
        const text = storable(made, names)
        await tableWriters[kind](path.join(root, `${made.table.name}.${extension}`), text)
        const { table, sent } = await sentOf(root, made, sliceRows)
        expect(sent).toEqual(plainly(text, table, made))
      }),
      { numRuns: tries(20) },
    )
  },
)

const eventRows = rowsToWrite(100).filter(({ table }) => table.kind !== 'users')

const ids = ['user_id', 'event_id', 'session_id']
// Times of people have another form in each kind of file, and rows of JSON that have an identity are not events.
const ofPeople = ['joindate', 'last_modified', 'identity']

/**
 * The rows as every kind of file can hold them: no name twice, no half of a character, null for an empty text, and no column
 * that is empty in all rows, of which JSON lines do not tell that there is one.
 */
function storable({ columns, rows }: RowsToWrite, names: RegExp): TextTable {
  const valueOf = (name: string, row: number): string | null =>
    cellOf(name, rows[row]?.values[columns.indexOf(name)] ?? null, row)
  const kept = [...new Set(columns)].filter(
    (name) =>
      names.test(name) &&
      name.isWellFormed() &&
      !ofPeople.includes(name) &&
      rows.some((_, row) => valueOf(name, row) !== null),
  )
  return { columns: kept, rows: rows.map((_, row) => kept.map((name) => valueOf(name, row))) }
}

function cellOf(name: string, value: string | null, row: number): string | null {
  if (name === 'time') {
    return new Date(Date.UTC(2023, 0, 1) + row * 86_399_937).toISOString().slice(0, 23).replace('T', ' ')
  }
  if (ids.includes(name)) return /^[1-9]\d*$/.test(value ?? '') ? value : String(row + 1)
  return value?.toWellFormed() || null
}

const converterOf = ({ mapping }: RowsToWrite) =>
  convertersOf(runOf('plain', { mapping, createdAtMs: Date.UTC(2030) }), noIdentities, 'a salt')

/** What is to be sent, by way of objects. */
function plainly({ columns, rows }: TextTable, table: Table, made: RowsToWrite): string[] {
  const converterFor = converterOf(made)
  return rows.map((values, index) => {
    const row = { kind: 'row', place: { row: index + 1, byte: 0 }, columns, values } as const
    const end = conversionOf(row, table, converterFor)
    return end.kind === 'event' ? JSON.stringify(end.event) : end.kind
  })
}

/** What is sent, chunk after chunk. */
async function sentOf(root: string, made: RowsToWrite, sliceRows: number): Promise<{ table: Table; sent: string[] }> {
  const discovery = await discover(root, noS3)
  const [inspected] = await inspectExport(discovery, made.mapping)
  const [file] = inspected?.kind === 'inspected' ? inspected.files : []
  if (!file) throw new Error(JSON.stringify(inspected))
  const converterFor = converterOf(made)
  const source = sourceAt(discovery.place)
  const sent: string[] = []
  for await (const piece of source.cut(file, 10_000)) {
    for await (const { rows } of source.read(file, piece, { cursor: 0, rows: 0 }, { rows: sliceRows, bytes: 1e6 })) {
      for (const row of rows) {
        const end = endOfRow(row, file.table, converterFor)
        sent.push(end.kind === 'event' ? Buffer.from(end.json).toString() : end.kind)
      }
    }
  }
  return { table: file.table, sent }
}
