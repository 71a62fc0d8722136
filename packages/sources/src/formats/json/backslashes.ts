import type { FileContent } from '../../unpacking/content.ts'
import type { RowFinder } from '../text/row-finder.ts'
import { scanRows } from '../text/scan-rows.ts'

// PostgreSQL's COPY writes every backslash twice. JSON that came out of it says `"a \\"b\\""` for `"a \"b\""`, which is no
// JSON any more, and `"C:\\\\x"` for `"C:\\x"`, which still is.

const backslash = 0x5c
const twice = '\\\\'

export function hasDoubledBackslashes(text: string): boolean {
  return text.includes(twice)
}

/** Whether there are backslashes, and all of them in pairs: COPY leaves no single one. */
export function hasOnlyDoubledBackslashes(text: string): boolean {
  return text.includes(twice) && !text.replaceAll(twice, '').includes('\\')
}

export function withSingleBackslashes(text: string): string {
  return text.replaceAll(twice, '\\')
}

/**
 * Whether the backslashes of a file are doubled. The first row that can tell decides: one that is JSON only when they are
 * taken for single ones, or one that is JSON with a single one in it. Where no row can tell, the whole file was read: it has
 * next to no backslashes, and passing over those without any costs hardly more than reading.
 */
export async function isDoubled(content: FileContent, firstRowByte: number, finder: RowFinder): Promise<boolean> {
  const group = { rows: Number.POSITIVE_INFINITY, bytes: 1024 * 1024 }
  for await (const { bytes, bytesAt, spans } of scanRows(content.blocks(firstRowByte), {
    start: firstRowByte,
    finder,
    group,
  })) {
    let next = -1
    for (const span of spans) {
      if (span.state !== 'plain') continue
      const start = span.start - bytesAt
      const end = span.end - bytesAt
      if (next < start) next = bytes.indexOf(backslash, start)
      if (next === -1) break
      if (next >= end) continue
      const answer = tellDoubled(bytes.toString('utf8', start, end))
      if (answer !== undefined) return answer
    }
  }
  return false
}

function tellDoubled(row: string): boolean | undefined {
  if (!hasOnlyDoubledBackslashes(row)) return isJson(row) ? false : undefined
  // Only in front of a quote do two instead of one make a difference to the form.
  if (!row.includes(`${twice}"`) || isJson(row)) return undefined
  return isJson(withSingleBackslashes(row)) ? true : undefined
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
