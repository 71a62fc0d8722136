import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { defaultMapping, type ExportFile } from '@heapferry/domain'
import { convertersOf, decodeIdentities, encodeIdentities, resolvePeople } from '@heapferry/migration'
import { discover, inspectExport, sourceAt } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { runOf } from '../support/chunk.ts'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'
import { sampleTables } from '../support/sample-tables.ts'
import { type TextTable, tableWriters } from '../support/write-table.ts'

const limits = { rows: 1000, bytes: 1_000_000 }
test.each([
  ['csvGzip', 'csv'],
  ['jsonLines', 'jsonl'],
  ['jsonArray', 'json'],
  ['avro', 'avro'],
  ['parquet', 'parquet'],
] as const)('the same data as CSV and as %s gives the same events, byte for byte', async (kind, extension) => {
  const { tables, expected } = await (asCsv ??= writtenAsCsv())
  expect(expected.size).toBeGreaterThan(1200)
  expect(await eventsOf(await written(tables, kind, extension))).toEqual(expected)
})

/** The same for all formats. */
let asCsv: ReturnType<typeof writtenAsCsv> | undefined

async function writtenAsCsv() {
  const tables = await sampleTables({ seed: 3, people: 150, pageviewRows: 900, eventRows: 400 })
  return { tables, expected: await eventsOf(await written(tables, 'csv', 'csv')) }
}

async function written(
  tables: ReadonlyMap<string, TextTable>,
  kind: keyof typeof tableWriters,
  extension: string,
): Promise<string> {
  const folder = path.join(await temporaryFolder(), 'export')
  await mkdir(folder)
  for (const [name, table] of tables) await tableWriters[kind](path.join(folder, `${name}.${extension}`), table)
  return folder
}

/** Every event as JSON, by uuid: what a run would send. */
async function eventsOf(folder: string): Promise<Map<string, string>> {
  const discovery = await discover(folder, noS3)
  const inspected = await inspectExport(discovery, defaultMapping)
  const files = inspected.flatMap((one) => {
    if (one.kind === 'faulty') throw one.fault
    return one.files
  })
  const hashing = { mapping: defaultMapping, hashSalt: null }
  const read = (file: ExportFile) => sourceAt(discovery.place).readAll(file, limits)
  const people = await resolvePeople(files, read, { ...hashing, listNamed: false })
  const identities = decodeIdentities(Buffer.concat(encodeIdentities(people)))
  const convertersFor = convertersOf(runOf('same', { createdAtMs: Date.UTC(2030) }), identities, null)
  const events = new Map<string, string>()
  for (const file of files) {
    for await (const { rows } of sourceAt(discovery.place).readAll(file, limits)) {
      for (const row of rows) {
        if (row.kind === 'unreadable') throw new Error(row.detail)
        const conversion = convertersFor(file.table, row.columns)(row.values)
        if (conversion.kind === 'event') events.set(conversion.event.uuid, JSON.stringify(conversion.event))
      }
    }
  }
  return events
}
