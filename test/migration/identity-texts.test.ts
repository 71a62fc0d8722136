import { expect, test } from 'vitest'
import { IdentityTexts } from '../../packages/migration/src/identities/identity-texts.ts'

test('every identity has one number, however often it comes, and is given back as it was', () => {
  // Some ten megabytes, in texts of 2 to 200 bytes.
  const all = Array.from({ length: 100_000 }, (_, index) => `${index}${index % 2 ? '😀'.repeat(index % 49) : 'é'}`)
  const texts = new IdentityTexts()
  const first = all.map((text) => [texts.numberOf(text), texts.numberOf(text)])
  const again = all.map((text) => texts.numberOf(text))
  texts.close()
  expect(first).toEqual(all.map((_, index) => [index, index]))
  expect(again).toEqual(all.map((_, index) => index))
  expect(texts.count).toBe(all.length)
  expect(all.map((_, index) => texts.text(index))).toEqual(all)
})
