import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dayOf, stepsOf } from '../../apps/dashboard/src/stretches.ts'
import { tries } from '../support/tries.ts'

test('days, months or years tile a stretch from its first to its last day, and fit a screen', () => {
  fc.assert(
    fc.property(fc.integer({ min: 10_000, max: 22_000 }), fc.integer({ min: 0, max: 9000 }), (from, days) => {
      const { steps } = stepsOf({ from, to: from + days })
      expect(steps[0]?.from).toBe(from)
      expect(steps.at(-1)?.to).toBe(from + days)
      for (const [nth, step] of steps.entries())
        if (nth > 0) expect(step.from).toBe((steps[nth - 1]?.to ?? Number.NaN) + 1)
      expect(steps.length).toBeLessThanOrEqual(45)
    }),
    { numRuns: tries(300) },
  )
})

test('a month is shown by days, two years by months, and more by years', () => {
  expect(shown('2024-02-01', '2024-02-29')).toEqual(['day', 29, '2024-02-01', '2024-02-29'])
  expect(shown('2022-11-15', '2024-11-14')).toEqual(['month', 25, 'Nov 2022', 'Nov 2024'])
  expect(shown('2021-12-31', '2024-01-01')).toEqual(['year', 4, '2021', '2024'])
})

function shown(from: string, to: string) {
  const { unit, steps } = stepsOf({ from: dayOf(from), to: dayOf(to) })
  return [unit, steps.length, steps[0]?.name, steps.at(-1)?.name]
}
