import { DamagedContent } from '../../unpacking/damaged-content.ts'
import { moreBytesNeeded, type RowFinder, type RowSpan } from './row-finder.ts'

/** Some rows of a file, in order. Offsets of `spans` and `next` are those of the file; `bytes` start at `bytesAt`. */
export interface ScannedRows {
  bytes: Buffer
  bytesAt: number
  spans: RowSpan[]
  next: number
}

/** A group is handed on when it has so many rows or bytes; its last row may exceed the bytes. */
export interface GroupLimits {
  rows: number
  bytes: number
}

const newline = 0x0a
const carriageReturn = 0x0d

/**
 * The rows of a part of a file, in groups. Memory is bounded by a group, a block and the longest row, whatever the file
 * holds: a longer row is skimmed to its end. Lines without a character are not rows. Where the content is damaged, the
 * place is a row of its own, the last one.
 *
 * @param blocks the bytes from `start` to where a row ends for sure: the end of the file, or of a chunk
 */
export async function* scanRows(
  blocks: AsyncIterable<Buffer>,
  { start, finder, group }: { start: number; finder: RowFinder; group: GroupLimits },
): AsyncGenerator<ScannedRows> {
  const source = blocks[Symbol.asyncIterator]()
  let bytes: Buffer = Buffer.alloc(0)
  let bytesAt = start
  let rowAt = start
  let groupAt = start
  let spans: RowSpan[] = []
  let ended = false
  let damage: string | undefined
  const readTo = (): number => bytesAt + bytes.length

  const takeGroup = (): ScannedRows => {
    const taken = { bytes, bytesAt, spans, next: rowAt }
    spans = []
    groupAt = rowAt
    return taken
  }
  /** Reads a block behind what is kept. */
  const readMore = async (keepFrom: number): Promise<void> => {
    const kept = bytes.subarray(keepFrom - bytesAt)
    const block = await nextBlock()
    bytes = block && kept.length > 0 ? Buffer.concat([kept, block]) : (block ?? kept)
    bytesAt = keepFrom
    finder.scan(bytes)
  }
  const nextBlock = async (): Promise<Buffer | undefined> => {
    try {
      const { done, value } = await source.next()
      if (!done) return value
    } catch (error) {
      if (!(error instanceof DamagedContent)) throw error
      damage = error.message
    }
    ended = true
    return undefined
  }

  try {
    for (;;) {
      if (rowAt >= readTo() && ended) break
      const row = rowAt < readTo() ? finder.next(rowAt - bytesAt, ended && damage === undefined) : moreBytesNeeded
      if (row !== moreBytesNeeded) {
        if (!isBlank(bytes, row)) spans.push(shifted(row, bytesAt))
        rowAt = bytesAt + row.end
        if (spans.length >= group.rows || rowAt - groupAt >= group.bytes) yield takeGroup()
      } else if (ended) {
        break
      } else if (readTo() - rowAt >= finder.maxRowBytes) {
        // No end within the longest row: look for one without keeping what lies before it.
        const rowStart = rowAt
        if (spans.length > 0) yield takeGroup()
        let end = finder.skim(rowAt - bytesAt)
        while (end === -1 && !ended) {
          await readMore(readTo() - (finder.unfinished?.() ?? 0))
          end = finder.skim(0)
        }
        rowAt = end === -1 ? readTo() : bytesAt + end
        spans.push({ start: rowStart, end: rowAt, state: 'too_large' })
        yield takeGroup()
      } else {
        await readMore(groupAt)
      }
    }
    if (damage !== undefined) {
      // One byte further than there is: the cursor behind this row must be another than the one before it.
      const end = readTo() + 1
      spans.push({ start: rowAt, end, state: 'damaged', damage })
      rowAt = end
    }
    if (spans.length > 0 || groupAt < rowAt) yield takeGroup()
  } finally {
    await source.return?.()
  }
}

/** No spread: there is one for each row of an export. A finder tells of no damage. */
function shifted({ start, end, state }: RowSpan, by: number): RowSpan {
  return { start: start + by, end: end + by, state }
}

function isBlank(bytes: Buffer, row: RowSpan): boolean {
  if (row.state === 'blank') return true
  let at = row.start
  while (at < row.end && (bytes[at] === newline || bytes[at] === carriageReturn)) at++
  return at === row.end
}
