import { promisify } from 'node:util'
import { deflateRaw } from 'node:zlib'

const deflate = promisify(deflateRaw)

/** What the cells of a column are written as. Text of a warehouse becomes the same text again when it is read. */
export type CellKind = 'string' | 'long' | 'boolean' | 'double' | 'float'

// A worker unpacks a block at a time. No more rows than the reader believes of the smallest block.
const blockRows = 1000
const blockBytes = 1024 * 1024

/**
 * Writes rows as an Avro file, in memory; each cell may be nothing.
 * https://avro.apache.org/docs/1.12.0/specification/#object-container-files
 *
 * By our own code, since this little of Avro is less than what a library wants to be told, which would also make an
 * object of every row.
 */
export class AvroWriter {
  readonly #kinds: readonly CellKind[]
  readonly #sync: Buffer
  readonly #block: Bytes
  readonly #file: Slabs
  #rowsInBlock = 0
  rows = 0

  /**
   * @param sync 16 bytes that stand behind every block
   * @param memory of a file that nobody needs any more
   */
  constructor(
    columns: readonly { name: string; kind: CellKind }[],
    sync: Buffer,
    { block, file }: AvroMemory = new AvroMemory(),
  ) {
    this.#kinds = columns.map(({ kind }) => kind)
    this.#sync = sync
    this.#block = block
    this.#file = file
    block.clear()
    file.clear()
    file.append(headerOf(columns, sync))
  }

  /** Of what is packed so far. */
  get sizeBytes(): number {
    return this.#file.length
  }

  /** @throws NotOfKind when a cell is not what its column was */
  async add(rows: readonly (readonly (string | null)[])[]): Promise<void> {
    for (const row of rows) {
      for (const [at, kind] of this.#kinds.entries()) this.#block.cell(row[at] ?? null, kind)
      this.rows++
      if (++this.#rowsInBlock >= blockRows || this.#block.length >= blockBytes) await this.#endBlock()
    }
  }

  /** The file, until its memory is another one's. */
  async end(): Promise<Uint8Array[]> {
    await this.#endBlock()
    return this.#file.slabs()
  }

  async #endBlock(): Promise<void> {
    if (this.#rowsInBlock === 0) return
    // Level 1: half of the time, for a tenth more bytes, of files that are read once or twice.
    const packed = await deflate(this.#block.written(), { level: 1 })
    this.#block.clear()
    this.#block.varint(this.#rowsInBlock)
    this.#block.varint(packed.length)
    this.#rowsInBlock = 0
    for (const part of [this.#block.written(), packed, this.#sync]) this.#file.append(part)
    this.#block.clear()
  }
}

/**
 * What one file after the other is written in. Bytes that are taken anew for each lie about until they are collected, which is
 * seldom where little else is.
 */
export class AvroMemory {
  readonly block = new Bytes()
  readonly file = new Slabs()
}

/** A cell cannot be what its column was when the table was planned. */
export class NotOfKind extends Error {
  override name = 'NotOfKind'
}

function headerOf(columns: readonly { name: string; kind: CellKind }[], sync: Buffer): Buffer {
  const fields = columns.map(({ name, kind }) => ({ name, type: ['null', kind] }))
  const schema = JSON.stringify({ type: 'record', name: 'row', fields })
  const bytes = new Bytes()
  bytes.raw(Buffer.from('Obj\x01', 'latin1'))
  bytes.varint(2)
  for (const text of ['avro.schema', schema, 'avro.codec', 'deflate']) bytes.string(text)
  bytes.varint(0)
  bytes.raw(sync)
  return bytes.written()
}

const slabBytes = 1024 * 1024

/** Grows without being copied. */
class Slabs {
  readonly #slabs: Buffer[] = []
  length = 0

  append(bytes: Buffer): void {
    for (let from = 0; from < bytes.length; ) {
      const slab = (this.#slabs[Math.floor(this.length / slabBytes)] ??= Buffer.allocUnsafeSlow(slabBytes))
      const copied = bytes.copy(slab, this.length % slabBytes, from)
      from += copied
      this.length += copied
    }
  }

  slabs(): Buffer[] {
    return this.#slabs.flatMap((slab, index) => {
      const bytes = this.length - index * slabBytes
      return bytes > 0 ? [slab.subarray(0, bytes)] : []
    })
  }

  clear(): void {
    this.length = 0
  }
}

/** Grows as it is written. */
class Bytes {
  #bytes = Buffer.allocUnsafe(64 * 1024)
  length = 0

  cell(text: string | null, kind: CellKind): void {
    if (text === null) {
      this.varint(0)
      return
    }
    this.varint(1)
    switch (kind) {
      case 'string':
        return this.string(text)
      case 'long':
        return this.#long(text)
      case 'boolean':
        return this.#boolean(text)
      case 'double':
        this.#room(8)
        this.length = this.#bytes.writeDoubleLE(numberOf(text), this.length)
        return
      case 'float':
        this.#room(4)
        this.length = this.#bytes.writeFloatLE(numberOf(text), this.length)
        return
    }
  }

  /** A number of no more than 30 bits that is not negative, as Avro writes it. */
  varint(value: number): void {
    this.#room(5)
    let rest = value * 2
    while (rest >= 0x80) {
      this.#bytes[this.length++] = (rest & 0x7f) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.length++] = rest
  }

  string(text: string): void {
    const bytes = Buffer.byteLength(text)
    this.varint(bytes)
    this.#room(bytes)
    this.length += this.#bytes.write(text, this.length)
  }

  raw(bytes: Buffer): void {
    this.#room(bytes.length)
    this.length += bytes.copy(this.#bytes, this.length)
  }

  /** Until more is. */
  written(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  clear(): void {
    this.length = 0
  }

  #long(text: string): void {
    if (!/^-?\d{1,19}$/.test(text)) throw new NotOfKind(`${JSON.stringify(text.slice(0, 40))} is no whole number`)
    const value = BigInt(text)
    this.#room(10)
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
    while (rest >= 0x80n) {
      this.#bytes[this.length++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#bytes[this.length++] = Number(rest)
  }

  #boolean(text: string): void {
    const value = booleans.get(text)
    if (value === undefined) throw new NotOfKind(`${JSON.stringify(text.slice(0, 40))} is neither true nor false`)
    this.#room(1)
    this.#bytes[this.length++] = value
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.length + bytes))
    this.#bytes.copy(larger, 0, 0, this.length)
    this.#bytes = larger
  }
}

const booleans: ReadonlyMap<string, number> = new Map([
  ['t', 1],
  ['f', 0],
  ['true', 1],
  ['false', 0],
])

function numberOf(text: string): number {
  const value = Number(text)
  if (text === '' || (Number.isNaN(value) && text !== 'NaN'))
    throw new NotOfKind(`${JSON.stringify(text.slice(0, 40))} is no number`)
  return value
}
