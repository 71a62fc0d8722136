import type { Compression } from '@heapferry/domain'
import type { Blob } from '../places/blob.ts'
import { bunzip2 } from './bunzip2.ts'
import { gunzip } from './gunzip.ts'
import { unzstd } from './unzstd.ts'

/**
 * What a packed file holds, to its end: through all gzip members, zstd frames and bzip2 streams that it consists of.
 * Nothing for an empty file.
 *
 * Buffers and memory are bounded, whatever the data unpacks to. What comes out before damage depends on the bytes of
 * the file alone, so every reading gives the same.
 * @throws DamagedContent where the file is cut off or damaged, after everything that could be unpacked before that
 * @throws UnusableFile for zstd data that only other tools can unpack
 */
export function decompress(
  blob: Blob,
  compression: Exclude<Compression, 'none'>,
  // Large enough that a read costs nothing beside its bytes, also over a network.
  { blockBytes = 1024 * 1024 }: { blockBytes?: number } = {},
): AsyncGenerator<Buffer> {
  switch (compression) {
    case 'gzip':
      return gunzip(blob, blockBytes)
    case 'zstd':
      return unzstd(blob, blockBytes)
    case 'bzip2':
      return bunzip2(blob, blockBytes)
  }
}
