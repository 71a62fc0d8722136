import { nearestName } from '@heapferry/domain'
import { expect, test } from 'vitest'

const names = ['email', 'phone', 'delimiter', 'plan', 'city']

test.each([
  ['emial', 'email'],
  ['Email', 'email'],
  ['delimeter', 'delimiter'],
  ['phon', 'phone'],
  ['pplan', 'plan'],
  ['plam', 'plan'],
])('who writes %s probably means %s', (word, meant) => {
  expect(nearestName(word, names)).toBe(meant)
})

test.each(['ssn', 'company', 'x', ''])('%s resembles none of the names', (word) => {
  expect(nearestName(word, names)).toBeUndefined()
})
