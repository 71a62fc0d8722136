import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ElementFinder } from '../../packages/sources/src/formats/json/element-finder.ts'
import { LineFinder } from '../../packages/sources/src/formats/json/line-finder.ts'
import type { RowFinder } from '../../packages/sources/src/formats/text/row-finder.ts'
import { scanRows } from '../../packages/sources/src/formats/text/scan-rows.ts'
import { tries } from '../support/tries.ts'

const maxRowBytes = 60
const finders: [string, () => RowFinder][] = [
  ['elements', () => new ElementFinder({ undoubled: false, maxRowBytes })],
  ['elements with doubled backslashes', () => new ElementFinder({ undoubled: true, maxRowBytes })],
  ['lines', () => new LineFinder(maxRowBytes)],
]

describe.each(finders)('%s', (_, finder) => {
  test('whatever a file holds and wherever blocks and chunks end, its parts give the rows that the whole gives', async () => {
    await fc.assert(
      fc.asyncProperty(garbage(), size(), size(), size(), async (bytes, blockBytes, otherBlockBytes, groupBytes) => {
        const whole = await rowsOf(bytes, finder(), { blockBytes, groupBytes: Number.POSITIVE_INFINITY })
        const cuts = await groupEnds(bytes, finder(), { blockBytes: otherBlockBytes, groupBytes })
        const parts = []
        let start = 0
        for (const end of cuts) {
          parts.push(...(await rowsOf(bytes, finder(), { start, end, blockBytes: otherBlockBytes, groupBytes: 7 })))
          start = end
        }
        expect(cuts.at(-1) ?? 0).toBe(bytes.length)
        expect(parts).toEqual(whole)
      }),
      { numRuns: tries(3000) },
    )
  })

  test('rows tile a file but for what belongs to its form', async () => {
    await fc.assert(
      fc.asyncProperty(garbage(), size(), async (bytes, blockBytes) => {
        let at = 0
        for (const row of await rowsOf(bytes, finder(), { blockBytes, groupBytes: 50 })) {
          expect(bytes.subarray(at, row.start).toString()).toMatch(/^[\s,[\]]*$/)
          expect(row.end).toBeGreaterThan(row.start)
          at = row.end
        }
        expect(bytes.subarray(at).toString()).toMatch(/^[\s,[\]]*$/)
      }),
      { numRuns: tries(1000) },
    )
  })
})

test('the elements of any array are found, however it is written', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 }), { maxLength: 8 }),
      fc.constantFrom(undefined, 1, 2, '\t'),
      size(),
      async (objects, indent, blockBytes) => {
        const bytes = Buffer.from(JSON.stringify(objects, null, indent))
        const finder = new ElementFinder({ undoubled: false })
        const rows = await rowsOf(bytes, finder, { blockBytes, groupBytes: 100 })
        expect(rows.map(({ start, end }): unknown => JSON.parse(bytes.toString('utf8', start, end)))).toEqual(
          // Not the objects themselves: JSON has no -0.
          JSON.parse(JSON.stringify(objects)),
        )
      },
    ),
    { numRuns: tries(500) },
  )
})

// Each is broken in another way: quotes too few and too many, brackets too few, too many and of the wrong kind, no value.
const brokenElements = [
  '{"a":"b}',
  '{"a":"b"c"}',
  '{"a":"say "hi, you""}',
  '{"a":{"b":1}',
  '{"a":{"b":[1,2}}',
  '{"a":[1,2,"b":3}',
  '{"a":1]}',
  '{"a" 1}',
  '{"a":1 "b":2}',
  '{"a":,}',
  '{"a":"b\\"}',
  '{a:1}',
]

describe.each([
  ['an element a line', (elements: string[]) => `[\n${elements.join(',\n')}\n]\n`],
  ['indented elements', (elements: string[]) => `[\n  ${elements.join(',\n  ')}\n]\n`],
  ['commas in front', (elements: string[]) => `[ ${elements.join('\n, ')}\n]`],
  ['elements behind one another', (elements: string[]) => `[${elements.join(', ')}]`],
])('of an array with %s', (_, join) => {
  test.each(brokenElements)('an element broken as %s costs itself and no other', async (broken) => {
    const whole = '{"a":"{\\"}","b":[{"c":[]},{"c":null}],"d":-1.5e3}'
    const found = await texts(join([whole, broken, whole, broken, broken, whole]))
    expect(found.filter((text) => text === whole)).toHaveLength(3)
    expect(found.filter((text) => text === broken || text === `${broken},`)).not.toHaveLength(0)
  })
})

interface Sizes {
  start?: number
  end?: number
  blockBytes: number
  groupBytes: number
}

function scan(bytes: Buffer, finder: RowFinder, { start = 0, end = bytes.length, blockBytes, groupBytes }: Sizes) {
  const group = { rows: Number.POSITIVE_INFINITY, bytes: groupBytes }
  return scanRows(blocksOf(bytes.subarray(start, end), blockBytes), { start, finder, group })
}

async function rowsOf(bytes: Buffer, finder: RowFinder, sizes: Sizes) {
  const rows = []
  for await (const group of scan(bytes, finder, sizes)) rows.push(...group.spans)
  return rows
}

async function groupEnds(bytes: Buffer, finder: RowFinder, sizes: Sizes): Promise<number[]> {
  const ends = []
  for await (const group of scan(bytes, finder, sizes)) ends.push(group.next)
  return ends
}

async function texts(text: string, finder: RowFinder = new ElementFinder({ undoubled: false })): Promise<string[]> {
  const bytes = Buffer.from(text)
  const rows = await rowsOf(bytes, finder, { blockBytes: 3, groupBytes: 1 })
  return rows.map(({ start, end }) => bytes.subarray(start, end).toString())
}

/** Pieces of arrays that fit together now and then, so that everything that can break does. */
function garbage() {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    ' ',
    '\\',
    '\n',
    '\\\\',
    '\r\n',
    '\n  {',
    '},{',
    '},\n{',
    '"a":',
    '{"a":1}',
    '{"a":1},\n',
    ',\n{"b":[{},{}]}',
    '{"a":"',
    '"}',
    'null',
    '-1.5',
    'x',
    'é',
    '😀',
    ' '.repeat(40),
    'y'.repeat(40),
  )
  return fc.array(piece, { maxLength: 40 }).map((pieces) => Buffer.from(pieces.join('')))
}

function size() {
  return fc.integer({ min: 1, max: 90 })
}

async function* blocksOf(bytes: Buffer, blockBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += blockBytes) yield await Promise.resolve(bytes.subarray(at, at + blockBytes))
}
