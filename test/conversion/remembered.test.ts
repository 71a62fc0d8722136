import { expect, test } from 'vitest'
import { remembered } from '../../packages/conversion/src/remembered.ts'

test('an answer is derived once per value, until too many values have passed to remember them all', () => {
  const asked: string[] = []
  const lengthOf = remembered((text) => {
    asked.push(text)
    return { length: text.length }
  })
  expect(lengthOf('abc')).toEqual({ length: 3 })
  expect(lengthOf('abc')).toEqual({ length: 3 })
  expect(asked).toEqual(['abc'])

  for (let number = 0; number < 10_000; number++) lengthOf(String(number))
  expect(lengthOf('abc')).toEqual({ length: 3 })
  expect(asked.filter((text) => text === 'abc')).toHaveLength(2)
})
