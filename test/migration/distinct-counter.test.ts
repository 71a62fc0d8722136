import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { openScratch } from '../../apps/cli/src/open-scratch.ts'
import type { Scratch } from '@heapferry/migration'
import { DistinctCounter } from '../../packages/migration/src/verify/distinct-counter.ts'

test('as many keys are counted in each group as are different, wherever memory ends', async () => {
  const keys = fc.array(fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: 50 })), { maxLength: 300 })
  await fc.assert(
    fc.asyncProperty(keys, fc.integer({ min: 1, max: 100 }), async (added, limit) => {
      const { scratch, appended } = scratchInMemory()
      const counter = new DistinctCounter(scratch, limit)
      const expected = new Map<number, Set<number>>()
      for (const [group, key] of added) {
        counter.add(group, `key ${key}`)
        expected.set(group, (expected.get(group) ?? new Set()).add(key))
        if (counter.isFull) await counter.spill()
      }
      const counts = await counter.counts()
      for (const [group, different] of expected) expect(counts[group]).toBe(different.size)
      if (added.length >= limit) expect(appended()).toBeGreaterThan(0)
    }),
  )
})

test('what is written down cannot be read back to a key', async () => {
  const { scratch, parts } = scratchInMemory()
  const counter = new DistinctCounter(scratch)
  counter.add(0, 'ada@example.com')
  await counter.spill()
  expect(Buffer.concat([...parts.values()].flat()).length).toBe(12)
})

test('what was counted before has no part in what is counted after, and leaves no file', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-test-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const scratch = openScratch(folder)
  for (const keys of [['ada', 'bob'], ['cy']]) {
    const counter = new DistinctCounter(scratch)
    for (const key of keys) counter.add(0, key)
    await counter.spill()
    expect(await counter.counts()).toEqual([keys.length])
  }
  await scratch.close()
  expect(await readdir(folder)).toEqual([])
})

function scratchInMemory() {
  const parts = new Map<number, Buffer[]>()
  let appended = 0
  const scratch: Scratch = {
    append(part, bytes) {
      appended++
      // A copy: the counter goes on writing to the same memory.
      parts.set(part, [...(parts.get(part) ?? []), Buffer.from(bytes)])
      return Promise.resolve()
    },
    take(part) {
      const bytes = Buffer.concat(parts.get(part) ?? [])
      parts.delete(part)
      return Promise.resolve(bytes)
    },
  }
  return { scratch, parts, appended: () => appended }
}
