import { Buffer } from 'node:buffer'
import { inflateSync } from 'node:zlib'
import { pageColumns, sessionColumns } from '@heapferry/conversion'
import {
  type FoundSession,
  OperatorError,
  type SessionAsk,
  type SessionIndex,
  type StoredFile,
  type Values,
  type WorkStore,
} from '@heapferry/domain'
import pMap from 'p-map'
import { unlessOperator } from '../unless-operator.ts'
import {
  atOfPage,
  atOfSession,
  compareKeys,
  decodeHead,
  fileName,
  type IndexHead,
  keyOf,
  recordAt,
  recordBytes,
  recordCells,
  recordKey,
  recordStart,
  type SessionKey,
} from './index-format.ts'

/** Of blocks, unpacked, that a process keeps. */
const keptBytes = 64 * 1024 * 1024
// Over a network most of the time is waiting.
const readsAtOnce = 16

interface StoredIndex extends SessionIndex {
  head: IndexHead
  /** Whether all its files are there, as far as their sizes tell. */
  isWhole(): Promise<boolean>
}

/** Opens an index in the work store. @throws OperatorError when it is not there */
export async function openStoredIndex(
  store: Pick<WorkStore, 'read' | 'open'>,
  folder: string,
  limit = keptBytes,
): Promise<StoredIndex> {
  const { head, blocks } = decoded(await store.read(`${folder}/head`), `${folder}/head`)
  const files = new Map<number, Promise<StoredFile>>()
  const kept = new KeptBlocks(limit)

  const block = (number: number): Promise<Buffer> =>
    kept.get(number, async () => {
      const { file, offset, bytes } = blocks.place(number)
      const opened = files.get(file) ?? store.open(fileName(folder, file))
      files.set(file, opened)
      // Whoever asks again may find it there.
      opened.catch(() => files.delete(file))
      return unpacked(await (await opened).read(offset, bytes), fileName(folder, file))
    })

  return {
    head,
    async find(asks) {
      const lookups = asks.map((ask) => (ask === null ? null : lookupOf(ask)))
      const numbers = new Set(lookups.flatMap((lookup) => (lookup ? [lookup.ofSession, lookup.ofPage] : [])))
      numbers.delete(-1)
      const held = new Map<number, Buffer>()
      await pMap(numbers, async (number) => held.set(number, await block(number)), { concurrency: readsAtOnce })
      const shared = new Map<string, Values>()
      return lookups.map((lookup) => lookup && found(lookup, held, shared))
    },
    async isWhole() {
      for (const [file, bytes] of blocks.fileSizes().entries()) {
        const opened = await store.open(fileName(folder, file)).catch(unlessOperator)
        await opened?.close()
        if (opened?.sizeBytes !== bytes) return false
      }
      return true
    },
    async close() {
      for (const opened of files.values()) await (await opened).close()
    },
  }

  function lookupOf({ name, timeMs }: SessionAsk): Lookup {
    const key = keyOf(name)
    const at = atOfPage(timeMs)
    const ofSession = blocks.holding(key, atOfSession)
    return { key, at, ofSession, ofPage: head.pages === 0 ? -1 : blocks.holding(key, at) }
  }

  function found(lookup: Lookup, held: ReadonlyMap<number, Buffer>, shared: Map<string, Values>): FoundSession {
    const { key, at } = lookup
    const ofSession = held.get(lookup.ofSession)
    const session = ofSession && lastUpTo(ofSession, key, atOfSession)
    const ofPage = held.get(lookup.ofPage)
    const page = ofPage && lastUpTo(ofPage, key, at)
    return {
      startMs: session === undefined || !ofSession ? null : recordStart(ofSession, session),
      isMissing: head.hasSessions && session === undefined,
      cells: session === undefined || !ofSession ? null : cellsAt(ofSession, session, sessionColumns.length),
      page:
        page === undefined || !ofPage || recordAt(ofPage, page) === atOfSession
          ? null
          : cellsAt(ofPage, page, pageColumns.length),
    }

    /** Rows of one session share its cells: what they become is made once. */
    function cellsAt(records: Buffer, from: number, columns: number): Values {
      const id = `${key.high} ${key.low} ${recordAt(records, from)}`
      const cells = shared.get(id) ?? recordCells(records, from, columns)
      shared.set(id, cells)
      return cells
    }
  }
}

function decoded(bytes: Uint8Array, file: string): ReturnType<typeof decodeHead> {
  try {
    return decodeHead(bytes)
  } catch (cause) {
    throw damaged(file, cause)
  }
}

function damaged(file: string, cause: unknown): OperatorError {
  return new OperatorError(
    `${file} is damaged`,
    'Delete it, and start the run command again: it makes the index of sessions anew.',
    { cause },
  )
}

/** Whatever is not as it was written does not come through: packed blocks end with a checksum. */
function unpacked(packed: Uint8Array, file: string): Buffer {
  try {
    // Handing a block to another thread takes longer than unpacking it here.
    return inflateSync(packed)
  } catch (cause) {
    throw damaged(file, cause)
  }
}

interface Lookup {
  key: SessionKey
  at: number
  /** The block that has the record if there is one; -1 where there is none. */
  ofSession: number
  ofPage: number
}

/** Where the last record of a key at or before `at` begins. */
function lastUpTo(records: Buffer, key: SessionKey, at: number): number | undefined {
  let last: number | undefined
  for (let from = 0; from < records.length; from += recordBytes(records, from)) {
    const order = compareKeys(recordKey(records, from), key)
    if (order > 0 || (order === 0 && recordAt(records, from) > at)) break
    if (order === 0) last = from
  }
  return last
}

/** Blocks by number; those that were asked for longest ago go first. */
class KeptBlocks {
  readonly #limit: number
  readonly #blocks = new Map<number, Promise<Buffer>>()
  readonly #sizes = new Map<number, number>()
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get(number: number, read: () => Promise<Buffer>): Promise<Buffer> {
    const known = this.#blocks.get(number)
    if (known) {
      this.#blocks.delete(number)
      this.#blocks.set(number, known)
      return known
    }
    const made = read()
    this.#blocks.set(number, made)
    made.then(
      ({ length }) => this.#keep(number, length),
      () => this.#blocks.delete(number),
    )
    return made
  }

  #keep(number: number, bytes: number): void {
    this.#sizes.set(number, bytes)
    this.#bytes += bytes
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes <= this.#limit) return
      const size = this.#sizes.get(oldest)
      // It is still on its way.
      if (size === undefined) continue
      this.#blocks.delete(oldest)
      this.#bytes -= size
      this.#sizes.delete(oldest)
    }
  }
}
