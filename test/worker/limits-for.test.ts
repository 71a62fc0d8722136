import { limitsFor } from '@heapferry/worker'
import { expect, test } from 'vitest'

const posthog = { kind: 'posthog', host: 'https://us.i.posthog.com', keyFingerprint: '0123456789abcdef' } as const

test('as many rows are read and committed at once as one request may hold at the pace of that moment, and never a few', () => {
  let events = 1000
  const limits = limitsFor(posthog, { largestBatch: () => events })
  const rows = [1000, 125, 1].map((largest) => {
    events = largest
    return limits.rows
  })
  expect(rows).toEqual([1000, 125, 20])
})

test('where answers take a second, the slices on their way in one worker are enough for the pace of PostHog Cloud', () => {
  const limits = limitsFor(posthog, { largestBatch: () => 125 })
  const chunksAtOnce = 4
  expect(limits.slicesAtOnce * limits.rows * chunksAtOnce).toBeGreaterThan(5000)
})

test('without a pace, and into files, one slice of a chunk is on its way', () => {
  expect(limitsFor(posthog, { largestBatch: () => 1000 }).slicesAtOnce).toBe(1)
  expect(limitsFor({ kind: 'json_lines', root: '/out' }, { largestBatch: () => 125 }).slicesAtOnce).toBe(1)
})
