import { isTimeInWords, parseHeapTime } from '@heapferry/conversion'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../support/tries.ts'

const ms = fc.integer({ min: Date.UTC(1, 0, 1), max: Date.UTC(9999, 11, 31, 23, 59, 59, 999) })

/** Every way in which an export writes a time to the millisecond or finer. */
const forms: readonly ((iso: string) => string)[] = [
  (iso) => iso,
  (iso) => iso.slice(0, -1),
  (iso) => iso.slice(0, -1).replace('T', ' '),
  (iso) => iso.slice(0, -1).replace('T', ' ') + ' UTC',
  (iso) => iso.slice(0, -1).replace('T', ' ') + '000+00:00',
  (iso) => iso.slice(0, -1).replace('T', ' ') + '999 UTC',
  (iso) => iso.slice(0, -1).replace('T', ' ') + '000000',
  (iso) => iso.slice(0, -1).replace('T', ' ') + ' +0000',
  (iso) => iso.slice(0, -1).replace('T', ' ') + '+00',
  (iso) => iso.slice(0, -1).replace('T', ' ') + ' Z',
  // Redshift and PostgreSQL trim zeros.
  (iso) =>
    iso
      .slice(0, -1)
      .replace('T', ' ')
      .replace(/\.?0+$/, (zeros) => (iso.endsWith('.000Z') ? '' : zeros.replace(/0/g, ''))),
  (iso) => ` ${iso} `,
]

test('every form of a time means the same millisecond', () => {
  fc.assert(
    fc.property(ms, fc.constantFrom(...forms), (time, form) => {
      expect(parseHeapTime(form(new Date(time).toISOString()))).toBe(time)
    }),
    { numRuns: tries(2_000) },
  )
})

test('a time with an offset is the moment it names', () => {
  expect(parseHeapTime('2023-01-02T03:04:05+02:00')).toBe(Date.UTC(2023, 0, 2, 1, 4, 5))
  expect(parseHeapTime('2023-01-02 03:04:05.5-0530')).toBe(Date.UTC(2023, 0, 2, 8, 34, 5, 500))
})

test('digits alone are a Unix time whose unit follows from their magnitude', () => {
  const unixMs = fc.integer({ min: Date.UTC(1973, 2, 4), max: Date.UTC(2100, 0, 1) })
  fc.assert(
    fc.property(unixMs, fc.integer({ min: 0, max: 999_999 }), (time, rest) => {
      const nanos = String(rest).padStart(6, '0')
      expect(parseHeapTime(`${time}`)).toBe(time)
      expect(parseHeapTime(`${time}.0`)).toBe(time)
      expect(parseHeapTime(`${time}${nanos.slice(0, 3)}`)).toBe(time)
      expect(parseHeapTime(`${time}${nanos}`)).toBe(time)
      expect(parseHeapTime(`${Math.floor(time / 1000)}`)).toBe(time - (time % 1000))
    }),
  )
})

test.each([
  '',
  ' ',
  'Invalid date',
  'null',
  'NaT',
  '1/2/2023 3:04',
  '01/02/2023 03:04:05',
  '2023-01-02',
  '2023-01-02 03:04',
  '2023-02-29 00:00:00',
  '1900-02-29 00:00:00',
  '2023-04-31 00:00:00',
  '2023-13-01 00:00:00',
  '2023-00-01 00:00:00',
  '2023-01-00 00:00:00',
  '2023-01-02 24:00:00',
  '2023-01-02 03:60:00',
  '2023-01-02 03:04:60',
  '2023-01-02 03:04:05 PST',
  '2023-01-02 03:04:05.1234567890',
  '2023-01-02 03:04:05,678',
  '2023-01-02 03:04:05.678 +00:00 extra',
  '2023-1-2 03:04:05',
  '-1672628645678',
  '1.6726e12',
  '1672628645678.5',
  '12345678901234567890',
  'May 1, 2023',
  'May 1, 2023, 13:00 PM',
  'May 1, 2023, 0:30 AM',
  'Feb 30, 2023, 10:00 AM',
  'Mayo 1, 2023, 10:00 AM',
  'May 1, 2023, 10:00 AM CET',
])('%j is not taken for a time', (text) => {
  expect(parseHeapTime(text)).toBeUndefined()
})

test('29 February exists in leap years', () => {
  expect(parseHeapTime('2024-02-29 00:00:00')).toBe(Date.UTC(2024, 1, 29))
  expect(parseHeapTime('2000-02-29 00:00:00')).toBe(Date.UTC(2000, 1, 29))
})

test.each([
  ['May 1, 2023, 10:00 AM', '2023-05-01T10:00:00.000Z'],
  ['May 1, 2023, 12:05 am', '2023-05-01T00:05:00.000Z'],
  ['Dec 31, 2023, 12:05 PM', '2023-12-31T12:05:00.000Z'],
  ['September 9, 2023, 11:59:58.5 PM', '2023-09-09T23:59:58.500Z'],
  ['Jan 02, 2023 15:04:05', '2023-01-02T15:04:05.000Z'],
])('%s, as tools show it to people, is a time', (text, iso) => {
  expect(parseHeapTime(text)).toBe(Date.parse(iso))
  expect(isTimeInWords(text)).toBe(true)
  expect(isTimeInWords(iso)).toBe(false)
})
