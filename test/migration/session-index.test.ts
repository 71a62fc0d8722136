import { pageColumns, sessionColumns } from '@heapferry/conversion'
import type { FoundSession, Values } from '@heapferry/domain'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { IndexBuilder, type IndexSizes, usualSizes } from '../../packages/migration/src/sessions/build-index.ts'
import { openStoredIndex } from '../../packages/migration/src/sessions/stored-index.ts'
import { memoryScratch, memoryStore } from '../support/memory-store.ts'
import { tries } from '../support/tries.ts'

type Row =
  | { kind: 'session'; name: string; startMs: number | null; cells: Values }
  | { kind: 'page'; name: string; timeMs: number; cells: Values }

// Few names and moments, so that rows meet.
const name = fc.integer({ min: 0, max: 5 }).map((nth) => `session ${nth}`)
const timeMs = fc.integer({ min: 1, max: 20 }).map((nth) => Date.UTC(2023, 0, 1) + nth)
const cell = fc.oneof(fc.constant(null), fc.constant(''), fc.string({ unit: 'binary', maxLength: 40 }).map(wellFormed))
const cellsFor = (columns: readonly string[]) =>
  fc.array(cell, { minLength: columns.length, maxLength: columns.length })
const row: fc.Arbitrary<Row> = fc.oneof(
  fc.record({
    kind: fc.constant('session' as const),
    name,
    startMs: fc.option(timeMs),
    cells: cellsFor(sessionColumns),
  }),
  fc.record({ kind: fc.constant('page' as const), name, timeMs, cells: cellsFor(pageColumns) }),
)
const sizes = fc.record({
  bufferBytes: fc.integer({ min: 1, max: 2000 }),
  blockBytes: fc.integer({ min: 1, max: 2000 }),
  fileBytes: fc.integer({ min: 1, max: 5000 }),
})
const asks = fc.array(fc.option(fc.record({ name, timeMs })), { maxLength: 30 })

test('whatever the limits of memory, blocks and files, every row is told of its session what a look at all rows tells', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(row),
      sizes,
      asks,
      fc.integer({ min: 0, max: 3000 }),
      async (rows, limits, wanted, kept) => {
        const { store } = await built(rows, limits)
        const index = await openStoredIndex(store, 'sessions', kept)
        const expected = wanted.map((ask) => ask && lookedUp(rows, ask))
        expect(await index.find(wanted)).toEqual(expected)
        // And once more, of blocks that were kept or read again.
        expect(await index.find(wanted)).toEqual(expected)
        await index.close()
      },
    ),
    { numRuns: tries(300) },
  )
})

test('the same rows give the same bytes, in whatever order they come and however little memory there is', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(row).chain((rows) => fc.tuple(fc.constant(rows), fc.shuffledSubarray(rows, { minLength: rows.length }))),
      fc.integer({ min: 1, max: 2000 }),
      async ([rows, otherOrder], bufferBytes) => {
        const one = await built(rows, { ...usualSizes, blockBytes: 300, fileBytes: 1000 })
        const other = await built(otherOrder, { bufferBytes, blockBytes: 300, fileBytes: 1000 })
        expect(other.stored).toEqual(one.stored)
        expect(other.content).toBe(one.content)
      },
    ),
    { numRuns: tries(300) },
  )
})

test('a session with more pageviews than many blocks hold tells the last one of every moment', async () => {
  const rows = Array.from({ length: 3000 }, (_, nth): Row => {
    const cells = pageColumns.map((column) => (column === 'path' ? `/${nth}` : null))
    return { kind: 'page', name: 'long', timeMs: Date.UTC(2023, 0, 1) + nth * 10, cells }
  })
  const { store } = await built(rows, { ...usualSizes, blockBytes: 500 })
  const index = await openStoredIndex(store, 'sessions')
  const moments = Array.from({ length: 3001 }, (_, nth) => ({
    name: 'long',
    timeMs: Date.UTC(2023, 0, 1) + nth * 10 - 1,
  }))
  const found = await index.find(moments)
  expect(found.map((one) => one?.page?.[1] ?? null)).toEqual([
    null,
    ...Array.from({ length: 3000 }, (_, nth) => `/${nth}`),
  ])
})

test('what is damaged is never taken for an answer', async () => {
  const cells = sessionColumns.map(() => 'a cell')
  const { store, stored } = await built([{ kind: 'session', name: 'a', startMs: 1, cells }], usualSizes)
  const file = Buffer.from(stored.get('sessions/00000') ?? [])
  for (let at = 0; at < file.length; at++) {
    const damaged = Buffer.from(file)
    damaged.writeUInt8(damaged.readUInt8(at) ^ 0x55, at)
    stored.set('sessions/00000', damaged)
    const index = await openStoredIndex(store, 'sessions')
    await expect(index.find([{ name: 'a', timeMs: 2 }])).rejects.toThrow(/sessions\/00000 is damaged/)
  }
})

async function built(rows: readonly Row[], limits: IndexSizes) {
  const { store, stored, written } = memoryStore()
  const builder = new IndexBuilder(memoryScratch(), limits)
  for (const one of rows) {
    if (one.kind === 'session') builder.addSession(one.name, one.startMs, one.cells)
    else builder.addPage(one.name, one.timeMs, one.cells)
    if (builder.isFull) await builder.spill()
  }
  const { signal } = new AbortController()
  const content = await builder.write(store, 'sessions', { hasSessions: true, signal })
  expect(written.at(-1)).toBe('sessions/head')
  return { store, stored, content }
}

/** Told by looking at every row. */
function lookedUp(rows: readonly Row[], ask: { name: string; timeMs: number }): FoundSession {
  const ofName = rows.filter((one) => one.name === ask.name)
  const sessions = ofName.filter((one) => one.kind === 'session')
  const pages = ofName.filter((one) => one.kind === 'page')
  const starts = sessions.flatMap(({ startMs }) => startMs ?? [])
  const startMs = starts.length > 0 ? Math.min(...starts) : null
  const times = [...(startMs === null ? [] : [startMs]), ...pages.map((page) => page.timeMs)]
  const before = pages.filter((page) => page.timeMs <= ask.timeMs)
  const last = Math.max(...before.map((page) => page.timeMs))
  return {
    startMs: sessions.length === 0 || times.length === 0 ? null : Math.min(...times),
    isMissing: sessions.length === 0,
    // Of rows that are the first alike, and of pageviews at one moment, any: but always the same one.
    cells: sessions.length === 0 ? null : oneOf(sessions.filter((one) => one.startMs === startMs)),
    page: before.length === 0 ? null : oneOf(before.filter((page) => page.timeMs === last)),
  }
}

function oneOf(rows: readonly Row[]): Values {
  const [first, second] = rows
  return first && !second ? first.cells : expect.toSatisfy((cells) => rows.some((one) => isSame(one.cells, cells)))
}

function isSame(a: Values, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** As text is that was read from files: UTF-8 has no halves of characters. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString()
}
