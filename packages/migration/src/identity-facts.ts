import { canonicalId, distinctIdFault, identityNaming, storableText } from '@heapferry/conversion'
import { type Columns, type ExportFile, type Mapping, OperatorError, type Slice } from '@heapferry/domain'
import { hashOf } from './converters.ts'
import { writeId } from './identity-ids.ts'
import { IdentityTexts } from './identity-texts.ts'

/** What an export says of user ids, packed: no object or string is held for an id. */
export interface IdentityFacts {
  /** Words of from_user_id, words of to_user_id. */
  migrations: PackedRows
  /** Words of user_id, number of the identity, rank of the dump; -1 where the row has none. */
  claims: PackedRows
  identities: IdentityTexts
  /** In ascending order. A dump's rank is its place here. */
  dumps: readonly number[]
}

/** Rows of four 32-bit words, in blocks, so that growing copies nothing. */
export class PackedRows {
  /** Full, but the last. */
  #blocks: Int32Array[] = []
  #block = new Int32Array(0)
  /** Words of the last block. */
  #used = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(first: number, second: number, third: number, fourth: number): void {
    if (this.#used === this.#block.length) {
      this.#block = new Int32Array(Math.min(Math.max(this.#block.length * 2, smallestBlock), largestBlock))
      this.#blocks.push(this.#block)
      this.#used = 0
    }
    this.#block[this.#used++] = first
    this.#block[this.#used++] = second
    this.#block[this.#used++] = third
    this.#block[this.#used++] = fourth
    this.#length++
  }

  *blocks(): Generator<Int32Array> {
    for (const block of this.#blocks) yield block === this.#block ? block.subarray(0, this.#used) : block
  }

  /** Hands the rows out and forgets them. */
  *drain(): Generator<Int32Array> {
    const blocks = this.#blocks
    const last = this.#block.subarray(0, this.#used)
    this.#blocks = []
    this.#block = new Int32Array(0)
    this.#used = 0
    this.#length = 0
    for (let block = blocks.shift(); block; block = blocks.shift()) yield blocks.length > 0 ? block : last
  }
}

const smallestBlock = 1 << 12
// 64 MB: what is larger than 32 MB malloc takes from the system and gives back to it, and does not fill before it is used.
const largestBlock = 1 << 24
const none = -1

/**
 * Reads what `users`, `user_migrations` and identify records say of user ids. Rows that cannot be read, and ids that
 * PostHog takes for nobody, are left to the workers, which reject them with their place. An identity that PostHog
 * refuses is as none: the migrations of the id still join it.
 *
 * @param read the rows of a whole file
 * @param hashSalt with the mapping it decides what an identity is called in PostHog, as in the conversion
 * @param onDamage told of files that cannot be read to their end; should it return, the rows before that count
 * @throws OperatorError of the first such file, unless `onDamage` is given
 */
export async function identityFacts(
  files: readonly ExportFile[],
  read: (file: ExportFile) => AsyncIterable<Slice>,
  {
    mapping,
    hashSalt,
    onDamage = (_, fault) => {
      throw fault
    },
  }: { mapping: Mapping; hashSalt: string | null; onDamage?: (file: ExportFile, fault: OperatorError) => void },
): Promise<IdentityFacts> {
  const distinctIdOf = identityNaming({ mapping, hash: hashOf(hashSalt) })
  const dumps = [...new Set(files.flatMap((file) => dumpOf(file) ?? []))].toSorted((a, b) => a - b)
  const facts = { migrations: new PackedRows(), claims: new PackedRows(), identities: new IdentityTexts(), dumps }
  const from = new Int32Array(2)
  const to = new Int32Array(2)
  for (const file of files) {
    const whenDamaged = (detail: string) => onDamage(file, peopleMissing(file, detail))
    if (file.table.kind === 'user_migrations') {
      await eachRow(read(file), whenDamaged, ['from_user_id', 'to_user_id'], (fromText, toText) => {
        const fromId = idOf(fromText)
        const toId = idOf(toText)
        if (fromId === undefined || toId === undefined || fromId === toId) return
        writeId(fromId, from)
        writeId(toId, to)
        facts.migrations.push(from[0] ?? 0, from[1] ?? 0, to[0] ?? 0, to[1] ?? 0)
      })
    }
    if (file.table.kind === 'users' || file.table.kind === 'identify') {
      const dump = dumpOf(file)
      const rank = dump === undefined ? none : dumps.indexOf(dump)
      await eachRow(read(file), whenDamaged, ['user_id', 'identity'], (idText, identityText) => {
        const id = idOf(idText)
        const identity = identityOf(identityText)
        // Without an identity a row matters only where it takes the place of an older one.
        if (id === undefined || (identity === undefined && rank < 1)) return
        writeId(id, from)
        const number = identity === undefined ? none : facts.identities.numberOf(distinctIdOf(identity))
        facts.claims.push(from[0] ?? 0, from[1] ?? 0, number, rank)
      })
    }
  }
  facts.identities.close()
  return facts
}

/** Merges cannot be taken back: who is who is not decided on a part of what the export knew. */
function peopleMissing({ path }: ExportFile, detail: string): OperatorError {
  return new OperatorError(
    `${path} is damaged or cut off: ${detail}`,
    'Who is who takes every row of it: get the file again. If there is no other, unpack what can be unpacked and give that file in its place.',
  )
}

async function eachRow(
  slices: AsyncIterable<Slice>,
  whenDamaged: (detail: string) => void,
  [first, second]: readonly [string, string],
  take: (first: string | null, second: string | null) => void,
): Promise<void> {
  let known: Columns | undefined
  let firstAt = -1
  let secondAt = -1
  for await (const { rows } of slices) {
    for (const row of rows) {
      if (row.kind !== 'row') {
        if (row.reason === 'file_damaged') whenDamaged(row.detail)
        continue
      }
      if (row.columns !== known) {
        known = row.columns
        firstAt = known.indexOf(first)
        secondAt = known.indexOf(second)
      }
      take(row.values[firstAt] ?? null, row.values[secondAt] ?? null)
    }
  }
}

function dumpOf({ table }: ExportFile): number | undefined {
  return table.kind === 'users' ? table.dump : undefined
}

function idOf(text: string | null): string | undefined {
  const reading = canonicalId(text)
  return reading.kind === 'id' && distinctIdFault(reading.id) === undefined ? reading.id : undefined
}

/** As the conversion will have it, or one person would look like two. */
function identityOf(text: string | null): string | undefined {
  const identity = text === null ? '' : storableText(text).trim()
  return identity === '' || distinctIdFault(identity) ? undefined : identity
}
