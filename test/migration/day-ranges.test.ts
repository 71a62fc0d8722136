import { expect, test } from 'vitest'
import { dayRanges } from '../../packages/migration/src/verify/day-ranges.ts'

const dayMs = 86_400_000
const daysOf = (ranges: ReturnType<typeof dayRanges>): number[][] =>
  ranges.map(({ fromMs, toMs }) => [fromMs / dayMs, toMs / dayMs])

test('days that follow each other are one question, and a gap begins another', () => {
  expect(daysOf(dayRanges([3, 4, 5, 9], () => ({ events: 1, names: 1 })))).toEqual([
    [3, 6],
    [9, 10],
  ])
})

test('no question is about more events or rows than PostHog answers in time, but for a day alone', () => {
  expect(daysOf(dayRanges([1, 2, 3], () => ({ events: 1_500_000, names: 1 })))).toHaveLength(3)
  expect(daysOf(dayRanges([1, 2, 3, 4], () => ({ events: 1_000_000, names: 1 })))).toEqual([
    [1, 3],
    [3, 5],
  ])
  expect(daysOf(dayRanges([1, 2, 3], () => ({ events: 1, names: 20_000 })))).toEqual([
    [1, 3],
    [3, 4],
  ])
  expect(daysOf(dayRanges([1], () => ({ events: 9_000_000, names: 1 })))).toEqual([[1, 2]])
})

test('nothing sent is nothing to ask', () => {
  expect(dayRanges([], () => ({ events: 0, names: 0 }))).toEqual([])
})
