import { limitsFor } from '@heapferry/worker'
import { expect, test } from 'vitest'

test('as many rows are read and committed at once as one request may hold at the pace of that moment, and never a few', () => {
  let events = 1000
  const posthog = { kind: 'posthog', host: 'https://us.i.posthog.com', keyFingerprint: '0123456789abcdef' } as const
  const limits = limitsFor(posthog, { largestBatch: () => events })
  const rows = [1000, 125, 1].map((largest) => {
    events = largest
    return limits.rows
  })
  expect(rows).toEqual([1000, 125, 20])
})
