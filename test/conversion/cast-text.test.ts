import { castText } from '../../packages/conversion/src/cast-text.ts'
import { expect, test } from 'vitest'

test.each([
  ['19.90', 19.9],
  [' 2 ', 2],
  ['-0.5', -0.5],
  ['1e3', 1000],
  ['00123', 123],
  ['9007199254740991', 9_007_199_254_740_991],
])('%s is a number', (text, number) => {
  expect(castText('number', text)).toBe(number)
})

test.each(['9007199254740993', '1,5', '19.90 €', '0x10', 'Infinity', 'NaN', '1e999', '', '1 2', '१'])(
  '%s is no number that JSON can hold without a loss',
  (text) => {
    expect(castText('number', text)).toBeUndefined()
  },
)

test.each([
  ['true', true],
  ['F', false],
  [' Yes ', true],
  ['0', false],
])('%s is true or false', (text, value) => {
  expect(castText('boolean', text)).toBe(value)
})

test.each(['maybe', '2', ''])('%s is neither true nor false', (text) => {
  expect(castText('boolean', text)).toBeUndefined()
})

test.each([
  ['2023-01-05', '2023-01-05T00:00:00.000Z'],
  ['2023-01-02 03:04:05.678', '2023-01-02T03:04:05.678Z'],
  ['1672628645678', '2023-01-02T03:04:05.678Z'],
])('%s is a date', (text, date) => {
  expect(castText('date', text)).toBe(date)
})

test.each(['1/5/2023', '2023-02-30', 'Invalid date', ''])('%s is no date', (text) => {
  expect(castText('date', text)).toBeUndefined()
})
