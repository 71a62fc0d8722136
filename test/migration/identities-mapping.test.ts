import { textHash } from '@heapferry/conversion'
import { type Identities, Mapping, type Resolution } from '@heapferry/domain'
import { decodeIdentities, encodeIdentities } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { identifyRecords, identitiesOf, migrationsOf, resolve, userMigrations, users } from './identities-of.ts'

const id = fc.constantFrom('1', '2', '3', '4', '5', '-7', '4294967296', '9007199254740993')
const identity = fc.constantFrom('ada@example.com', ' ada@example.com ', 'bob@example.com', 'anonymous', null)
const tables = fc
  .record({
    migrations: fc.array(fc.tuple(id, id), { maxLength: 6 }),
    users: fc.array(fc.tuple(id, identity), { maxLength: 6 }),
    records: fc.array(fc.tuple(id, identity), { maxLength: 3 }),
  })
  .map((world) => ({
    ...world,
    all: [userMigrations(world.migrations), users(world.users), identifyRecords(world.records)],
  }))
const ids = ['1', '2', '3', '4', '5', '-7', '4294967296', '9007199254740993', '99']

const hashing = { mapping: Mapping.parse({ identity: 'hash' }), hashSalt: 'a salt for this test' }
const distinctIdOf = textHash(hashing.hashSalt)

test('with identity: hash the same people come out, named by hashes, and the file that workers share names no identity', async () => {
  await fc.assert(
    fc.asyncProperty(tables, async ({ all, migrations }) => {
      const plain = await identitiesOf(...all)
      const bytes = Buffer.concat(encodeIdentities(await resolve(all, hashing)))
      expect(bytes.toString('latin1')).not.toContain('@example.com')
      const hashed = decodeIdentities(bytes)
      expect(ids.map((one) => hashed.person(one))).toEqual(ids.map((one) => withHash(plain.person(one))))
      const joins = (identities: Identities) => migrations.map(([from, to]) => identities.joinedBy(from, to))
      expect(joins(hashed)).toEqual(
        joins(plain).map((join) => (join.kind === 'joins' ? { ...join, distinctId: named(join.distinctId) } : join)),
      )
    }),
  )
})

test('an id is known exactly if a row gives it an identity or a migration names it', async () => {
  await fc.assert(
    fc.asyncProperty(tables, async ({ all, migrations, users: rows, records }) => {
      const identities = await identitiesOf(...all)
      const known = new Set<string>([
        ...migrations.filter(([from, to]) => from !== to).flat(),
        ...[...rows, ...records].filter(([, name]) => name !== null && name !== 'anonymous').map(([one]) => one),
      ])
      expect(ids.filter((one) => identities.isKnown(one))).toEqual(ids.filter((one) => known.has(one)))
    }),
  )
})

test('ids with an identity take eight bytes each, and only where they are asked for', async () => {
  const rows = Array.from({ length: 1000 }, (_, nth) => [String(nth + 10), `person ${nth}`])
  const sizes = await Promise.all(
    [rows, []].map(async (some) => {
      const parts = encodeIdentities(await resolve([migrationsOf('1>2'), users(some)]))
      return parts.reduce((sum, part) => sum + part.length, 0)
    }),
  )
  expect((sizes[0] ?? 0) - (sizes[1] ?? 0)).toBe(8000)
})

function withHash(resolution: Resolution | undefined): Resolution | undefined {
  return resolution?.kind === 'person' ? { ...resolution, distinctId: named(resolution.distinctId) } : resolution
}

function named(distinctId: string): string {
  return distinctId.includes('@') ? distinctIdOf(distinctId) : distinctId
}
