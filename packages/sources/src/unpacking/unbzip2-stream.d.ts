/** Its inner part, which decodes one block per call; it has no types of its own. */
declare module 'unbzip2-stream/lib/bzip2.js' {
  type Bits = (count: number | null) => number
  const bzip2: {
    /** @returns the size of a block, in units of 100 000 bytes */
    header(bits: Bits): number
    /** @returns the CRC of the stream so far; null at the end of the stream */
    decompress(
      bits: Bits,
      write: (byte: number) => void,
      block: Int32Array,
      blockBytes: number,
      crc: number,
    ): number | null
  }
  export default bzip2
}

/** Bits from buffers, which it asks for one after the other. `null` goes to the next byte. */
declare module 'unbzip2-stream/lib/bit_iterator.js' {
  export default function bitIterator(
    nextBuffer: () => Buffer,
  ): ((count: number | null) => number) & { readonly bytesRead: number }
}
