import { expect, test } from 'vitest'
import { duration } from '../../packages/migration/src/wording.ts'

test.each([
  [0.2, '1 s'],
  [59, '59 s'],
  [90, '2 min'],
  [3600, '1 h 0 min'],
  [47.6 * 3600, '47 h 36 min'],
  [48 * 3600, '2 d 0 h'],
  [25_518 * 3600 + 660, '1063 d 6 h'],
])('%d seconds are told as %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text)
})
