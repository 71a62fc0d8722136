import { expect, test } from 'vitest'
import type { Blob } from '../../packages/sources/src/blob.ts'
import { readAhead } from '../../packages/sources/src/read-ahead.ts'

const MiB = 1024 * 1024
const content = Buffer.from(Uint8Array.from({ length: 9 * MiB + 17 }, (_, index) => (index * 7 + index / 1000) % 256))

/** A blob that remembers what it was asked for, and answers when it is told to. */
function slowBlob(options: { failsAt?: number } = {}) {
  const asked: { at: number; bytes: number; answer(): void }[] = []
  const blob: Blob = {
    version: { sizeBytes: content.length, mark: 'x' },
    fill: (target, at) =>
      new Promise((resolve, reject) => {
        const answer = () => {
          if (options.failsAt === at) return reject(new Error(`nothing at ${at}`))
          content.copy(target, 0, at)
          resolve()
        }
        asked.push({ at, bytes: target.length, answer })
      }),
    close: async () => {},
  }
  return { blob, asked }
}

function quickBlob(failsAt?: number): Blob {
  return {
    version: { sizeBytes: content.length, mark: 'x' },
    async fill(target, at) {
      if (at === failsAt) throw new Error(`nothing at ${at}`)
      content.copy(target, 0, at)
    },
    close: async () => {},
  }
}

test.each([
  [0, undefined],
  [0, 10],
  [0, 64 * 1024],
  [5, 3 * MiB],
  [8 * MiB, undefined],
  [9 * MiB, 100 * MiB],
  [content.length, undefined],
  [content.length + 5, content.length + 10],
])('the bytes from %i to %s come in order', async (start, end) => {
  const blocks = []
  for await (const block of readAhead(quickBlob(), start, end)) blocks.push(block)
  expect(Buffer.concat(blocks).equals(content.subarray(start, end))).toBe(true)
})

test('a look at the beginning fetches 64 KiB and nothing more', async () => {
  const { blob, asked } = slowBlob()
  const blocks = readAhead(blob, 0)
  const first = blocks.next()
  expect(asked.map(({ at, bytes }) => [at, bytes])).toEqual([[0, 64 * 1024]])
  asked[0]?.answer()
  await first
  await blocks.return(undefined)
  expect(asked).toHaveLength(1)
})

test('behind it four blocks are on their way at once, and none beyond the end', async () => {
  const { blob, asked } = slowBlob()
  const blocks = readAhead(blob, 0, 4 * MiB)
  const first = blocks.next()
  asked[0]?.answer()
  await first
  const second = blocks.next()
  expect(asked).toHaveLength(5)
  for (const request of asked) request.answer()
  await second
  for await (const block of blocks) expect(block.length).toBeGreaterThan(0)
  expect(asked.map(({ at, bytes }) => at + bytes).at(-1)).toBe(4 * MiB)
})

test('a failure is thrown when its turn has come', async () => {
  const failsAt = 64 * 1024 + 2 * MiB
  const blocks: Buffer[] = []
  const reading = async () => {
    for await (const block of readAhead(quickBlob(failsAt), 0)) blocks.push(block)
  }
  await expect(reading()).rejects.toThrow(`nothing at ${failsAt}`)
  expect(blocks).toHaveLength(3)
})

test('a failure behind the place where reading ends is nobody’s', async () => {
  const blocks = readAhead(quickBlob(64 * 1024 + MiB), 0)
  await blocks.next()
  await blocks.next()
  await blocks.return(undefined)
  // Vitest fails a file in which a rejection is left unhandled.
  await new Promise((resolve) => setImmediate(resolve))
})
