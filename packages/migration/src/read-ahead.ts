import type { ExportFile, Slice } from '@heapferry/domain'

// As many as are cut at once. What is begun holds its first rows, so all together are no more than one large slice.
const filesAhead = 32
const bytesAhead = 1024 * 1024

/**
 * Files one after another, each with its rows, which are there for as long as it is its turn. While one is read, the small ones
 * behind it are begun: over a network most of the time is waiting.
 * @param read the rows of a whole file
 * @throws what reading a file throws, when it is its turn
 */
export async function* readAhead(
  files: readonly ExportFile[],
  read: (file: ExportFile) => AsyncIterable<Slice>,
): AsyncGenerator<{ file: ExportFile; slices: AsyncIterable<Slice> }> {
  const begun: Begun[] = []
  let at = 0
  try {
    for (;;) {
      let bytes = 0
      for (const { file } of begun) bytes += file.version.sizeBytes
      for (let next = files[at]; next !== undefined; next = files[++at]) {
        bytes += next.version.sizeBytes
        if (begun.length > 0 && (begun.length > filesAhead || bytes > bytesAhead)) break
        begun.push(begin(next, read))
      }
      const [current] = begun
      if (current === undefined) return
      yield { file: current.file, slices: slicesOf(current) }
      await current.rows.return?.()
      begun.shift()
    }
  } finally {
    for (const { rows } of begun) await rows.return?.()
  }
}

interface Begun {
  file: ExportFile
  rows: AsyncIterator<Slice>
  first: Promise<IteratorResult<Slice>>
}

function begin(file: ExportFile, read: (file: ExportFile) => AsyncIterable<Slice>): Begun {
  const rows = read(file)[Symbol.asyncIterator]()
  const first = rows.next()
  // It is thrown when it is the file's turn, which may never come.
  first.catch(() => {})
  return { file, rows, first }
}

async function* slicesOf({ rows, first }: Begun): AsyncGenerator<Slice> {
  for (let next = await first; next.done !== true; next = await rows.next()) yield next.value
}
