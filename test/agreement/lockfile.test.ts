import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'

const Lock = z.object({
  packages: z.record(
    z.string(),
    z.object({
      optionalDependencies: z.record(z.string(), z.string()).optional(),
      resolved: z.string().optional(),
      integrity: z.string().optional(),
      link: z.boolean().optional(),
    }),
  ),
})
const { packages } = Lock.parse(
  JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../package-lock.json'), 'utf8')),
)

test('the lock file holds the packages of every platform (node complete-lockfile.mjs puts them back)', () => {
  const missing = Object.entries(packages).flatMap(([parent, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => /-(?:arm64|x64|ia32|arm)(?:-|$)/.test(name))
      .filter((name) => !packages[`node_modules/${name}`] && !packages[`${parent}/node_modules/${name}`]),
  )
  expect(missing).toEqual([])
})

test('the lock file names no registry', () => {
  const named = Object.values(packages).filter(({ resolved }) => resolved !== undefined && /^https?:/.test(resolved))
  expect(named).toEqual([])
})

test('the lock file has a checksum of every package (node complete-lockfile.mjs asks npm for those that lack)', () => {
  const unchecked = Object.entries(packages).filter(
    ([place, { integrity, link }]) => place !== '' && link !== true && !integrity?.startsWith('sha512-'),
  )
  expect(unchecked.map(([place]) => place)).toEqual([])
})
