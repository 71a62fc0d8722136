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
  readonly #parts: Uint8Array[]
  #block: Bytes
  #rowsInBlock = 0
  rows = 0
  /** Of what is packed so far. */
  sizeBytes: number

  /** @param sync 16 bytes that stand behind every block */
  constructor(columns: readonly { name: string; kind: CellKind }[], sync: Buffer) {
    this.#kinds = columns.map(({ kind }) => kind)
    this.#sync = sync
    const header = headerOf(columns, sync)
    this.#parts = [header]
    this.sizeBytes = header.length
    this.#block = new Bytes()
  }

  /** @throws NotOfKind when a cell is not what its column was */
  async add(rows: readonly (readonly (string | null)[])[]): Promise<void> {
    for (const row of rows) {
      for (const [at, kind] of this.#kinds.entries()) this.#block.cell(row[at] ?? null, kind)
      this.rows++
      if (++this.#rowsInBlock >= blockRows || this.#block.length >= blockBytes) await this.#endBlock()
    }
  }

  /** The file. */
  async end(): Promise<Uint8Array[]> {
    await this.#endBlock()
    return this.#parts
  }

  async #endBlock(): Promise<void> {
    if (this.#rowsInBlock === 0) return
    // Level 1: half of the time, for a tenth more bytes, of files that are read once or twice.
    const packed = await deflate(this.#block.taken(), { level: 1 })
    const head = new Bytes()
    head.varint(this.#rowsInBlock)
    head.varint(packed.length)
    this.#rowsInBlock = 0
    for (const part of [head.taken(), packed, this.#sync]) {
      this.#parts.push(part)
      this.sizeBytes += part.length
    }
  }
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
  return bytes.taken()
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

  /** A copy of what was written, which is then forgotten. */
  taken(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.length))
    this.length = 0
    return taken
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
