import { visible, visibleJson, visibleLines } from '@heapferry/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../support/tries.ts'

const signs = '\u0000\u001b\u007f\u0085\u061c\u200e\u2028\u202e\u2069'

test('control characters, ends of lines and signs that turn text around are escapes; all else stays as it is', () => {
  expect(visible('Käse 😀\t"x" \\n')).toBe(String.raw`Käse 😀\t"x" \n`)
  expect(visible(`${signs}\r\n`)).toBe(String.raw`\u{0}\u{1b}\u{7f}\u{85}\u{61c}\u{200e}\u{2028}\u{202e}\u{2069}\r\n`)
  expect(visibleLines('a\u202eb\r\nc')).toBe('a\\u{202e}b\\r\nc')
})

test('JSON with such signs is JSON of the same value without them', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...signs.split('')), fc.string({ unit: 'binary' }))), (value) => {
      const json = visibleJson({ [value.join('')]: value })
      expect(JSON.parse(json)).toEqual({ [value.join('')]: value })
      expect(visible(json)).toBe(json)
    }),
    { numRuns: tries(500) },
  )
})
