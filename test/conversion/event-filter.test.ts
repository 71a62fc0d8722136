import { Mapping } from '@heapferry/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { wantsTable } from '../../packages/conversion/src/event-filter.ts'
import { tries } from '../support/tries.ts'

function matches(pattern: string, name: string): boolean {
  return wantsTable(Mapping.parse({ filter: { tables: { include: [pattern] } } }), name)
}

test('a pattern means any characters by a star, and itself by all else', () => {
  const sign = fc.constantFrom('a', 'b', '*', '.', '\n')
  const text = (least: number) => fc.array(sign, { minLength: least, maxLength: 8 }).map((signs) => signs.join(''))
  fc.assert(
    fc.property(text(1), text(0), (pattern, name) => {
      const expected = new RegExp(`^${pattern.replaceAll('.', '[.]').replaceAll('*', '[^]*')}$`)
      expect(matches(pattern, name)).toBe(expected.test(name))
    }),
    { numRuns: tries(20_000) },
  )
})

test('however many stars a pattern has, a long name is not tried in all ways', () => {
  const name = 'a'.repeat(50_000)
  expect(matches(`${'*a'.repeat(200)}*b`, name)).toBe(false)
  expect(matches(`${'*a'.repeat(200)}*b*`, name)).toBe(false)
  expect(matches(`${'*a'.repeat(200)}*`, name)).toBe(true)
})
