import type { CsvDialect } from '@heapferry/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { finderOf } from '../../packages/sources/src/formats/csv/finder-of.ts'
import { scanRows } from '../../packages/sources/src/formats/text/scan-rows.ts'
import { tries } from '../support/tries.ts'

const comma: CsvDialect = { delimiter: ',', quote: '"' }

test.each<[string, CsvDialect]>([
  ['usual CSV', comma],
  ['single quotes', { delimiter: ',', quote: "'" }],
  ['backslashes inside of quotes', { delimiter: ',', quote: '"', escape: '\\' }],
  ['backslashes without quotes', { delimiter: ',', quote: '', escape: '\\' }],
  ['a delimiter of several bytes', { delimiter: 'é', quote: '"' }],
  ['carriage returns as line ends', { delimiter: ',', quote: '"', lineEnd: '\r' }],
])(
  'whatever a file of %s holds and wherever blocks and chunks end, its parts give the rows of the whole',
  async (_, dialect) => {
    await fc.assert(
      fc.asyncProperty(garbage(), size(), size(), size(), async (bytes, blockBytes, otherBlockBytes, groupBytes) => {
        const whole = await rowsOf(bytes, { blockBytes, groupBytes: Number.POSITIVE_INFINITY, dialect })
        const cuts = await groupEnds(bytes, { blockBytes: otherBlockBytes, groupBytes, dialect })
        const parts = []
        let start = 0
        for (const end of cuts) {
          parts.push(...(await rowsOf(bytes, { start, end, blockBytes: otherBlockBytes, groupBytes: 7, dialect })))
          start = end
        }
        expect(cuts.at(-1) ?? 0).toBe(bytes.length)
        expect(parts.map(placeOf)).toEqual(whole.map(placeOf))
      }),
      { numRuns: tries(2000) },
    )
  },
)

test('rows tile a file but for its blank lines', async () => {
  await fc.assert(
    fc.asyncProperty(garbage(), size(), async (bytes, blockBytes) => {
      let at = 0
      for (const row of await rowsOf(bytes, { blockBytes, groupBytes: 50 })) {
        expect(bytes.subarray(at, row.start).toString()).toMatch(/^[\r\n]*$/)
        expect(row.end).toBeGreaterThan(row.start)
        at = row.end
      }
      expect(bytes.subarray(at).toString()).toMatch(/^[\r\n]*$/)
    }),
    { numRuns: tries(1000) },
  )
})

test('a quoted cell may hold line ends, delimiters and doubled quotes', async () => {
  expect(await texts('a,"b\n,""c"\nd,e\n')).toEqual(['quoted: a,"b\n,""c"\n', 'plain: d,e\n'])
})

test('a quote inside of an unquoted cell is text and opens nothing', async () => {
  expect(await texts('a,5" nail\nb,6" nail\n')).toEqual(['plain: a,5" nail\n', 'plain: b,6" nail\n'])
})

test('a quote that is never closed costs its own line, not the rows after it', async () => {
  expect(await texts('a,"b\nc,d\ne,f\n')).toEqual(['unclosed_quote: a,"b\n', 'plain: c,d\n', 'plain: e,f\n'])
})

test('text after a closing quote costs its own line, not the rows after it', async () => {
  expect(await texts('a,"b"c\nd,e\n')).toEqual(['stray_quote: a,"b"c\n', 'plain: d,e\n'])
})

test('CRLF ends a row behind a quoted cell, and the last row needs no line end', async () => {
  expect(await texts('a,"b"\r\nc,"d"')).toEqual(['quoted: a,"b"\r\n', 'quoted: c,"d"'])
})

test('lines without a character are not rows', async () => {
  expect(await texts('\na,b\n\r\n\nc,d\n\n')).toEqual(['plain: a,b\n', 'plain: c,d\n'])
})

test('a row longer than any event is passed over in bounded memory, and the next row is found', async () => {
  const bytes = Buffer.concat([Buffer.from('a,b\n'), Buffer.alloc(100 * 1024, 'x'), Buffer.from('\nc,d\n')])
  let largest = 0
  const rows = []
  for await (const group of scan(bytes, { blockBytes: 1024, maxRowBytes: 4096, groupBytes: 100 })) {
    largest = Math.max(largest, group.bytes.length)
    rows.push(...group.spans)
  }
  expect(rows.map(({ state, start }) => [state, start])).toEqual([
    ['plain', 0],
    ['too_large', 4],
    ['plain', 4 + 100 * 1024 + 1],
  ])
  expect(largest).toBeLessThan(8 * 1024)
})

test('without quoting, a quote is a character like any other', async () => {
  const bytes = Buffer.from('a|"b\nc|d"\n')
  const rows = await rowsOf(bytes, { blockBytes: 100, groupBytes: 100, dialect: { delimiter: '|', quote: '' } })
  expect(rows.map(({ state }) => state)).toEqual(['plain', 'plain'])
})

interface Sizes {
  start?: number
  end?: number
  blockBytes: number
  groupBytes: number
  maxRowBytes?: number
  dialect?: CsvDialect
}

function scan(
  bytes: Buffer,
  { start = 0, end = bytes.length, blockBytes, groupBytes, maxRowBytes = 60, dialect = comma }: Sizes,
) {
  const finder = finderOf(dialect, maxRowBytes)
  const group = { rows: Number.POSITIVE_INFINITY, bytes: groupBytes }
  return scanRows(blocksOf(bytes.subarray(start, end), blockBytes), { start, finder, group })
}

async function rowsOf(bytes: Buffer, sizes: Sizes) {
  const rows = []
  for await (const group of scan(bytes, sizes)) rows.push(...group.spans)
  return rows
}

async function groupEnds(bytes: Buffer, sizes: Sizes): Promise<number[]> {
  const ends = []
  for await (const group of scan(bytes, sizes)) ends.push(group.next)
  return ends
}

async function texts(text: string): Promise<string[]> {
  const bytes = Buffer.from(text)
  const rows = await rowsOf(bytes, { blockBytes: 3, groupBytes: 1 })
  return rows.map(({ state, start, end }) => `${state}: ${bytes.subarray(start, end).toString()}`)
}

function placeOf({ start, end }: { start: number; end: number }) {
  return { start, end }
}

/** Text of what breaks parsers, so that most of what is generated is broken somewhere. */
function garbage() {
  const piece = fc.constantFrom(
    '"',
    '""',
    ',',
    '\n',
    '\r\n',
    '\r',
    'a',
    'bc',
    ',"',
    '",',
    '"\n',
    "'",
    "',",
    '\\',
    '\\"',
    '\\,',
    '\\\n',
    '\r\r\n',
    'x'.repeat(30),
    'é',
    '😀',
  )
  return fc.array(piece, { maxLength: 60 }).map((pieces) => Buffer.from(pieces.join('')))
}

function size() {
  return fc.integer({ min: 1, max: 90 })
}

async function* blocksOf(bytes: Buffer, blockBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += blockBytes) yield await Promise.resolve(bytes.subarray(at, at + blockBytes))
}
