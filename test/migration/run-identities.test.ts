import { defaultMapping, type IdentitiesRecord, OperatorError, type WorkStore } from '@heapferry/domain'
import { type KeptIdentities, loadIdentities, recoverIdentities, saveIdentities } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { runOf } from '../support/chunk.ts'
import { exportOf, migrationsOf, users } from './identities-of.ts'

const run = runOf('people')
const { files, read } = exportOf([users([['2', 'a@example.com']]), migrationsOf('1>2')])
const source = { read, hashSalt: null }
const owner = { kind: 'person', distinctId: 'a@example.com', migratedAway: true }

test('workers have the identities that the producer saved', async () => {
  const kept = keptIdentities()
  await saveIdentities(run, files, source, kept)
  const identities = await loadIdentities(run, kept)
  expect(identities.person('1')).toEqual(owner)
})

test('a run that has to know who has no identity knows who has one', async () => {
  const kept = keptIdentities()
  const personless = runOf('people', { mapping: { ...defaultMapping, anonymous: 'personless' } })
  await saveIdentities(personless, files, source, kept)
  expect((await loadIdentities(personless, kept)).isKnown('1')).toBe(true)
})

test('saving again leaves what is there, and mends what was cleared or damaged', async () => {
  const kept = keptIdentities()
  await saveIdentities(run, files, source, kept)
  const [saved] = kept.written
  await saveIdentities(run, files, source, kept)
  expect(kept.written).toEqual([saved])

  kept.stored.clear()
  await saveIdentities(run, files, source, kept)
  kept.stored.set('people/identities', Buffer.from('something else'))
  await saveIdentities(run, files, source, kept)
  expect(kept.written).toEqual([saved, saved, saved])
})

test('a file of people that comes to the export later is refused, one of events is not', async () => {
  const kept = keptIdentities()
  await saveIdentities(run, files, source, kept)
  const later = exportOf([users([]), migrationsOf('1>2'), users([['3', 'b@example.com']])])
  await expect(saveIdentities(run, later.files, source, kept)).rejects.toThrow('came to the export after the people')

  const [file] = files
  if (!file) throw new Error('the export has files')
  await saveIdentities(run, [...files, { ...file, table: { kind: 'event', name: 'signup' } }], source, kept)
})

test('a worker that finds no identities, or those of another run, stops', async () => {
  const kept = keptIdentities()
  await saveIdentities(run, files, source, kept)
  kept.stored.clear()
  await expect(loadIdentities(run, kept)).rejects.toThrow('The identities of the run people cannot be read')

  const other = keptIdentities()
  await saveIdentities(run, exportOf([migrationsOf('1>2')]).files, source, other)
  for (const [path, bytes] of other.stored) kept.stored.set(path, bytes)
  await expect(loadIdentities(run, kept)).rejects.toThrow('holds other identities than those of the run')
})

test('where the work store was cleared they are resolved again, and only the same ones are taken', async () => {
  const kept = keptIdentities()
  await saveIdentities(run, files, source, kept)
  kept.stored.clear()
  expect((await recoverIdentities(run, source, kept)).person('1')).toEqual(owner)

  const changed = { ...source, read: exportOf([]).read }
  await expect(recoverIdentities(run, changed, kept)).rejects.toThrow('come out otherwise than when it was made')
})

/** A work store and the part of the ledger that identities need, in memory. */
function keptIdentities() {
  const stored = new Map<string, Uint8Array>()
  const written: string[] = []
  let record: IdentitiesRecord | null = null
  const store: WorkStore = {
    root: '/work',
    async read(path) {
      const bytes = stored.get(path)
      if (bytes === undefined) throw new OperatorError(`${path} is not there`, 'Put it there.')
      return bytes
    },
    open: () => Promise.reject(new Error('identities are read whole')),
    async put(path, parts) {
      stored.set(path, Buffer.concat(parts))
      written.push(Buffer.concat(parts).toString('hex'))
    },
    putTable: async () => ({ sizeBytes: 0, mark: '' }),
    close() {},
  }
  const ledger: KeptIdentities['ledger'] = {
    files: async () => files,
    identities: async () => record,
    async setIdentities(_, identities) {
      record = identities
    },
  }
  return { store, ledger, stored, written }
}
