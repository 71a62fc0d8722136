import type { Compression } from '@heapferry/domain'

/** How a file is packed, by its first 16 bytes, or fewer where it is shorter. Names lie: only the bytes are asked. */
export function compressionOf(head: Uint8Array): Compression {
  const hex = Buffer.from(head).toString('hex')
  return magics.find(({ magic }) => magic.test(hex))?.compression ?? 'none'
}

const magics: { compression: Compression; magic: RegExp }[] = [
  // RFC 1952: two bytes, then the method; 8 is the only one there is.
  { compression: 'gzip', magic: /^1f8b(?:08|$)/ },
  // RFC 8878: a frame, or a skippable one, which parallel writers put in front.
  { compression: 'zstd', magic: /^(?:28b52ffd|5[0-9a-f]2a4d18)/ },
  // "BZh9" could be the name of a column. Behind it comes a block (the digits of pi) or the end (those of its root);
  // a file that is cut off before that is still one.
  { compression: 'bzip2', magic: /^425a683[1-9](?:314159265359|177245385090|.{0,10}$)/ },
]
