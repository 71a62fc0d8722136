import type { Columns, ExportFile, Identities, Mapping, Slice, Table, Values } from '@heapferry/domain'
import { defaultMapping, FileId } from '@heapferry/domain'
import { decodeIdentities, encodeIdentities, type People, peopleOfRun, resolvePeople } from '@heapferry/migration'
import { runOf } from '../support/chunk.ts'

interface Hashing {
  mapping: Mapping
  hashSalt: string | null
}

/** A file of an export that exists only in memory. */
export interface TestTable {
  table: Table
  columns: Columns
  rows: readonly Values[]
}

export function users(rows: readonly Values[], dump?: number): TestTable {
  const table = { kind: 'users', name: 'users', ...(dump !== undefined && { dump }) } as const
  return { table, columns: ['user_id', 'identity'], rows }
}

export function userMigrations(rows: readonly Values[]): TestTable {
  return { table: { kind: 'user_migrations', name: 'user_migrations' }, columns: ['from_user_id', 'to_user_id'], rows }
}

export function identifyRecords(rows: readonly Values[]): TestTable {
  return { table: { kind: 'identify', name: 'identify' }, columns: ['user_id', 'identity'], rows }
}

/** `1>2 2>3`: rows of user_migrations. */
export function migrationsOf(text: string): TestTable {
  return userMigrations(text.split(' ').map((pair) => pair.split('>')))
}

export function exportOf(tables: readonly TestTable[]) {
  const inMemory = new Map(tables.map((table, index) => [exportFileOf(table, index), table]))
  async function* read(file: ExportFile): AsyncGenerator<Slice> {
    const { columns, rows } = inMemory.get(file) ?? { columns: [], rows: [] }
    const place = { row: 1, byte: 0 }
    yield { next: rows.length, rows: rows.map((values) => ({ kind: 'row', place, columns, values })) }
  }
  return { files: [...inMemory.keys()], read }
}

export async function resolve(
  tables: readonly TestTable[],
  hashing: Hashing = { mapping: defaultMapping, hashSalt: null },
) {
  const { files, read } = exportOf(tables)
  return resolvePeople(files, read, { ...hashing, listNamed: true })
}

export async function bytesOf(tables: readonly TestTable[], hashing?: Hashing): Promise<Uint8Array> {
  return Buffer.concat(encodeIdentities(await resolve(tables, hashing)))
}

/** As a worker has them, who read them from a file. */
export async function identitiesOf(...tables: TestTable[]): Promise<Identities> {
  return decodeIdentities(await bytesOf(tables))
}

export async function peopleOf(...tables: TestTable[]): Promise<People> {
  const { files, read } = exportOf(tables)
  return peopleOfRun(runOf('people'), files, { read, hashSalt: null })
}

export function exportFileOf({ table, columns }: TestTable, index: number): ExportFile {
  return {
    id: FileId.parse(String(index).padStart(12, '0')),
    path: `${index}.csv`,
    table,
    format: { kind: 'csv', delimiter: ',', quote: '"' },
    compression: 'none',
    columns,
    firstRowByte: 0,
    version: { sizeBytes: 0, mark: '' },
  }
}
