import type { Blob } from './blob.ts'

// Enough for a header, and for all of many files: inspecting an export costs one such block a file.
const firstBlockBytes = 64 * 1024
const blockBytes = 1024 * 1024
// With four blocks on their way, a network that takes 50 ms to answer still gives 80 MB/s; a worker holds four times four.
const blocksAhead = 3

/**
 * The bytes of a blob from `start` to `end`, or to where it ends, in order. While a block is worked on the next ones are
 * fetched, but only for those who come back for a second block: a look at the beginning fetches nothing in vain.
 */
export async function* readAhead(blob: Blob, start: number, end = Number.POSITIVE_INFINITY): AsyncGenerator<Buffer> {
  const last = Math.min(end, blob.version.sizeBytes)
  const pending: Promise<Buffer>[] = []
  let at = start

  function fetchNext(bytes: number): void {
    const block = Buffer.allocUnsafe(Math.min(bytes, last - at))
    const fetched = blob.fill(block, at).then(() => block)
    // Its failure is told when its turn comes, and to nobody if reading ends before that.
    fetched.catch(() => {})
    pending.push(fetched)
    at += block.length
  }

  if (at < last) fetchNext(firstBlockBytes)
  for (let next = pending.shift(); next; next = pending.shift()) {
    yield await next
    while (pending.length <= blocksAhead && at < last) fetchNext(blockBytes)
  }
}
