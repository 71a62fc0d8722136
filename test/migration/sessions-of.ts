import {
  conversionVersion,
  defaultMapping,
  type ExportFile,
  FileId,
  type FoundSession,
  type Mapping,
  type ReadRow,
  type Run,
  type SessionsRecord,
} from '@heapferry/domain'
import { findSessionsIn, loadIdentities, openSessions, saveIdentities, saveSessions } from '@heapferry/migration'
import { fileOf, runOf } from '../support/chunk.ts'
import { memoryScratch, memoryStore } from '../support/memory-store.ts'

let tables = 0

export interface TestTable {
  file: ExportFile
  rows: (string | null)[][]
}

export function tableOf(
  name: 'sessions' | 'pageviews' | 'user_migrations',
  columns: readonly string[],
  rows: (string | null)[][],
): TestTable {
  const id = FileId.parse((++tables).toString(16).padStart(12, '0'))
  return {
    file: { ...fileOf(name), id, path: `${name}-${tables}.csv`, table: { kind: name, name }, columns: [...columns] },
    rows,
  }
}

export function sceneOf(given: TestTable[], mapping: Mapping = defaultMapping, conversion = conversionVersion) {
  const { store, stored, written } = memoryStore()
  const run: Run = runOf('run', { mapping: conversion === 2 ? { ...mapping, enrich: 'none' } : mapping, conversion })
  const files = given.map(({ file }) => file)
  let record: SessionsRecord | null = null
  let people: Awaited<ReturnType<(typeof kept.ledger)['identities']>> = null
  const kept = {
    store,
    ledger: {
      files: async () => files,
      identities: async (): Promise<{ resolved: string; files: string } | null> => people,
      async setIdentities(_: unknown, identities: { resolved: string; files: string }) {
        people = identities
      },
      sessions: async () => record,
      async setSessions(_: unknown, is: SessionsRecord) {
        record = is
      },
    },
  }
  const source = {
    async *readAll(file: ExportFile) {
      const { columns } = file
      const rows = given.find((one) => one.file === file)?.rows ?? []
      yield {
        rows: rows.map(
          (values, nth): ReadRow => ({ kind: 'row', place: { row: nth + 1, byte: nth }, columns, values }),
        ),
        next: rows.length,
      }
    },
  }
  const save = (to = store, all: readonly ExportFile[] = files) =>
    saveSessions(
      run,
      all,
      { source, scratch: memoryScratch(), signal: new AbortController().signal },
      { ...kept, store: to },
    )
  return { run, files, kept, source, stored, written, save, record: () => record }
}

export async function saved(given: TestTable[], mapping?: Mapping, conversion?: number) {
  const scene = sceneOf(given, mapping, conversion)
  await saveIdentities(scene.run, scene.files, { read: scene.source.readAll, hashSalt: null }, scene.kept)
  await scene.save()
  const identities = await loadIdentities(scene.run, scene.kept)
  return {
    ...scene,
    identities,
    async found(rows: string[][]): Promise<(FoundSession | null | undefined)[]> {
      const find = findSessionsIn(await openSessions(scene.run, scene.kept), scene.run, identities)
      const columns = ['user_id', 'session_id', 'time']
      const asked = rows.map(
        (values, nth): ReadRow => ({ kind: 'row', place: { row: nth + 1, byte: 0 }, columns, values }),
      )
      return [...(await find(asked, { kind: 'event', name: 'a' }))].map((row) =>
        row.kind === 'row' ? row.session : null,
      )
    },
  }
}
