import { defaultMapping, type ExportFile, FileId, type Slice } from '@heapferry/domain'
import { resolvePeople } from '@heapferry/migration'
import { describe, expect, test } from 'vitest'
import { readAhead } from '../../packages/migration/src/read-ahead.ts'
import { fileOf } from '../support/chunk.ts'
import { until } from '../support/until.ts'

describe('files that are read one after another', () => {
  test('come in their order, each with all of its rows, however long one takes', async () => {
    const seen: string[] = []
    for await (const { file, slices } of readAhead(files(5), slowest(['0', '2'])))
      for await (const { next } of slices) seen.push(`${file.path} ${next}`)
    expect(seen).toEqual(['0', '1', '2', '3', '4'].flatMap((path) => [`${path} 1`, `${path} 2`]))
  })

  test.each([
    ['thirty-two small ones behind the one that is read', files(100), 33],
    ['so many as have a megabyte together', files(100, 300_000), 3],
    ['none that is larger', files(100, 2_000_000), 1],
    ['those in front of a larger one only', [...files(4), ...files(1, 2_000_000), ...files(4)], 4],
  ])('are begun before it is their turn: %s', async (_, all, begunAtFirst) => {
    const begun: string[] = []
    for await (const { file } of readAhead(all, reading({ begun }))) {
      expect(begun).toHaveLength(begunAtFirst)
      expect(file).toBe(all[0])
      break
    }
  })

  test('are so where who is who is told', async () => {
    const begun: string[] = []
    const read = async function* ({ path }: ExportFile): AsyncGenerator<Slice> {
      begun.push(path)
      await until('all are begun', () => begun.length === 5, 5000)
      yield { rows: [], next: 1 }
    }
    await resolvePeople(files(5), read, { mapping: defaultMapping, hashSalt: null, listNamed: false })
    expect(begun).toHaveLength(5)
  })

  test('are all begun in the end', async () => {
    const begun: string[] = []
    for await (const { slices } of readAhead(files(100), reading({ begun }))) for await (const _ of slices);
    expect(begun).toEqual(files(100).map(({ path }) => path))
  })

  test('fail when it is their turn, and not before', async () => {
    const read: string[] = []
    const reader = reading({ broken: '2' })
    const reads = async (): Promise<void> => {
      for await (const { file, slices } of readAhead(files(5), reader))
        for await (const { next } of slices) read.push(`${file.path} ${next}`)
    }
    await expect(reads()).rejects.toThrow('2 is broken')
    expect(read).toEqual(['0 1', '0 2', '1 1', '1 2'])
  })

  test.each(['0', '3'])('are all closed where reading ends at %s', async (last) => {
    const begun: string[] = []
    const closed: string[] = []
    for await (const { file, slices } of readAhead(files(5), reading({ begun, closed, broken: '4' }))) {
      for await (const _ of slices) break
      if (file.path === last) break
    }
    expect(begun).toHaveLength(5)
    expect(closed.toSorted()).toEqual(begun)
  })

  test('are closed also where nobody wants their rows', async () => {
    const closed: string[] = []
    for await (const { file } of readAhead(files(3, 2_000_000), reading({ closed })))
      expect(closed).not.toContain(file.path)
    expect(closed).toEqual(['0', '1', '2'])
  })
})

function files(count: number, sizeBytes = 1000): ExportFile[] {
  return Array.from({ length: count }, (_, nth) => ({
    ...fileOf('users'),
    id: FileId.parse(String(nth).padStart(12, '0')),
    path: String(nth),
    version: { sizeBytes, mark: 'etag "1"' },
  }))
}

interface Told {
  begun?: string[]
  closed?: string[]
  broken?: string
}

/** Two slices a file. */
function reading({ begun = [], closed = [], broken }: Told): (file: ExportFile) => AsyncGenerator<Slice> {
  return async function* ({ path }) {
    begun.push(path)
    try {
      await Promise.resolve()
      if (path === broken) throw new Error(`${path} is broken`)
      yield { rows: [], next: 1 }
      yield { rows: [], next: 2 }
    } finally {
      closed.push(path)
    }
  }
}

/** What is slow is there when all others are. */
function slowest(paths: readonly string[]): (file: ExportFile) => AsyncGenerator<Slice> {
  const others = reading({})
  return async function* (file) {
    if (paths.includes(file.path)) await new Promise((resolve) => setImmediate(resolve))
    yield* others(file)
  }
}
