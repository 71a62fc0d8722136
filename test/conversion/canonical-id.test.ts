import { canonicalId, distinctIdFault } from '@heapferry/conversion'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../support/tries.ts'

const int64Max = 2n ** 63n - 1n
const anyId = fc.bigInt({ min: 0n, max: int64Max })

/** What tools make of an integer without losing a digit. */
const forms: readonly ((digits: string) => string)[] = [
  (digits) => digits,
  (digits) => `000${digits}`,
  (digits) => `${digits}.0`,
  (digits) => `${digits}.000000`,
  (digits) => ` ${digits} `,
  (digits) => `${digits.charAt(0)}.${digits.slice(1)}0e+${digits.length - 1}`,
  (digits) => `${digits.charAt(0)}.${digits.slice(1)}0E${digits.length - 1}`,
  // With one comma it could be a fraction.
  (digits) => (digits.length < 7 ? digits : BigInt(digits).toLocaleString('en')),
]

test('every complete spelling of an id gives the same decimal digits', () => {
  fc.assert(
    fc.property(anyId, fc.constantFrom(...forms), (id, form) => {
      expect(canonicalId(form(String(id)))).toEqual({ kind: 'id', id: String(id) })
    }),
    { numRuns: tries(1_000) },
  )
})

test('an exponent form that has lost a digit is damaged, even if the digit was a zero', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 10n ** 15n, max: 2n ** 53n }), fc.integer({ min: 1, max: 14 }), (id, kept) => {
      const digits = String(id)
      const shortened = `${digits.charAt(0)}.${digits.slice(1, kept + 1)}e+15`
      expect(canonicalId(shortened)).toMatchObject({ kind: 'damaged' })
    }),
  )
})

test('what is not exactly one integer of 64 bits is damaged, and never an exception', () => {
  const damaged = [
    '+1',
    '1.5',
    '1,234',
    '1,2,345',
    '1,234,56',
    ',123,456',
    '1234,567,890',
    '0x10',
    '1e-3',
    '15e-1',
    '1.25e1',
    'NaN',
    'Infinity',
    '9223372036854775808',
    '9'.repeat(1_000_000),
    '1e999',
  ]
  for (const text of damaged) expect(canonicalId(text), text.slice(0, 30)).toMatchObject({ kind: 'damaged' })
  fc.assert(fc.property(fc.string(), (text) => void canonicalId(text)))
})

test('blank and null are missing', () => {
  for (const text of [null, '', ' ', '\t']) {
    expect(canonicalId(text)).toEqual({ kind: 'missing' })
  }
})

test('ids may be negative', () => {
  expect(canonicalId('-42')).toEqual({ kind: 'id', id: '-42' })
  expect(canonicalId(' -0042.0 ')).toEqual({ kind: 'id', id: '-42' })
  expect(canonicalId('-0')).toEqual({ kind: 'id', id: '0' })
  expect(canonicalId('42')).toEqual({ kind: 'id', id: '42' })
  for (const text of ['-', '--1', '-1.5', '-x']) expect(canonicalId(text)).toMatchObject({ kind: 'damaged' })
})

test('ids that PostHog never merges are recognized in any case, padded and quoted', () => {
  const bare = [
    'anonymous',
    'Guest',
    'distinctId',
    'distinct_id',
    'ID',
    'not_authenticated',
    'email',
    'undefined',
    'true',
    'FALSE',
    '[object Object]',
    'NaN',
    'None',
    'none',
    'null',
    '0',
    'anonymous-user',
    'backend',
    'system',
    'user',
    '00000000-0000-0000-0000-000000000000',
  ]
  for (const id of [
    ...bare,
    ...bare.map((name) => `'${name}'`),
    ...bare.map((name) => `"${name}"`),
    ...bare.map((name) => ` ${name} `),
    '',
    '  ',
  ])
    expect(distinctIdFault(id), JSON.stringify(id)).toEqual({ kind: 'illegal' })
  for (const id of ['alice', 'users', '00', "'alice'", '"', "null'"]) expect(distinctIdFault(id), id).toBeUndefined()
})

test('ids are measured in bytes of UTF-8', () => {
  expect(distinctIdFault('x'.repeat(200))).toBeUndefined()
  expect(distinctIdFault('x'.repeat(201))).toEqual({ kind: 'too_long', bytes: 201 })
  expect(distinctIdFault('€'.repeat(67))).toEqual({ kind: 'too_long', bytes: 201 })
})
