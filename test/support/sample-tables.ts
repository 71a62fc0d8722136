import { defaultMapping, type Values } from '@heapferry/domain'
import { type SampleOptions, writeSampleExport } from '@heapferry/sample-export'
import { discover, inspectExport, sourceAt } from '@heapferry/sources'
import { temporaryFolder } from './folder.ts'
import { noS3 } from './place.ts'
import type { TextTable } from './write-table.ts'

/** The tables of a sample export without traps, to be written in other formats; times in one form. */
export async function sampleTables(
  size: Pick<SampleOptions, 'seed' | 'people' | 'pageviewRows' | 'eventRows'>,
): Promise<Map<string, TextTable>> {
  const folder = await temporaryFolder()
  await writeSampleExport({ folder, ...size, traps: false })
  const tables = new Map<string, { columns: readonly string[]; rows: Values[] }>()
  const discovery = await discover(folder, noS3)
  for (const one of await inspectExport(discovery, defaultMapping)) {
    if (one.kind === 'faulty') throw one.fault
    for (const file of one.files) {
      const table = tables.get(file.table.name) ?? { columns: file.columns, rows: [] }
      tables.set(file.table.name, table)
      for await (const { rows } of sourceAt(discovery.place).readAll(file, { rows: 1000, bytes: 1_000_000 })) {
        for (const row of rows) if (row.kind === 'row') table.rows.push(row.values.map(withPlainTime))
      }
    }
  }
  return tables
}

/** `2023-01-02 03:04:05.678`, of the forms that the sample export writes; nothing where formats with types hold nothing. */
function withPlainTime(value: string | null): string | null {
  if (value === 'Invalid date') return null
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,3})?)\d*(?: UTC|Z)?$/.exec(value ?? '')
  return match ? `${match[1]} ${match[2]}` : value
}
