import type { Blob } from '../places/blob.ts'
import { blocksOf } from './blocks-of.ts'

/** A file read in order, by as many bytes as its format says come next. */
export interface ByteReader {
  /** Of the byte that comes next. */
  readonly at: number
  /** The next bytes; fewer where the file ends. */
  take(bytes: number): Promise<Buffer>
  close(): Promise<void>
}

export function byteReader(blob: Blob, blockBytes: number): ByteReader {
  const blocks = blocksOf(blob, blockBytes)
  let rest: Buffer = Buffer.alloc(0)
  let at = 0
  return {
    get at() {
      return at
    },
    async take(bytes) {
      const parts = [rest]
      let length = rest.length
      while (length < bytes) {
        const { done, value } = await blocks.next()
        if (done) break
        parts.push(value)
        length += value.length
      }
      const read = parts.length === 1 ? rest : Buffer.concat(parts)
      const taken = read.subarray(0, bytes)
      rest = read.subarray(taken.length)
      at += taken.length
      return taken
    },
    async close() {
      await blocks.return(undefined)
    },
  }
}
