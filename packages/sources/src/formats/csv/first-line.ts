import type { CsvDialect } from '@heapferry/domain'
import { finderOf } from './finder-of.ts'
import { lineText } from './parse-rows.ts'

const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/** Behind what some writers put before everything else. */
export function startOf(head: Buffer): number {
  return head.subarray(0, 3).equals(byteOrderMark) ? byteOrderMark.length : 0
}

/** Rows of old Macs end at a carriage return alone. */
export function lineEndOf(head: Buffer): Pick<CsvDialect, 'lineEnd'> {
  if (!head.includes('\r')) return {}
  const text = head.toString('latin1')
  const [, first] = /^(?:"[^"]*"|[^"\r\n])*(\r*\n|\r)/.exec(text) ?? []
  if (first !== '\r') return {}
  const [bare = 0, feeds = 0] = [/\r(?![\r\n])/g, /\n/g].map((sign) => unquoted(text).match(sign)?.length ?? 0)
  return bare > feeds ? { lineEnd: '\r' } : {}
}

function unquoted(text: string): string {
  return text.replaceAll(/"[^"]*"/g, '')
}

/** The line in which Excel is told the delimiter, before the header. */
export function separatorLine(head: Buffer, start: number): { bytes: number; delimiter: string | undefined } {
  const [line = '', delimiter] = /^"?sep=(.)"?(?:\r*\n|\r)/i.exec(head.toString('utf8', start, start + 64)) ?? []
  return { bytes: Buffer.byteLength(line), delimiter }
}

/** Null where it does not end within so many bytes, or is none. */
export function firstLineIn(
  head: Buffer,
  askedBytes: number,
  dialect: CsvDialect,
  start = startOf(head),
): { text: string; end: number } | null {
  if (start === head.length) return null
  const finder = finderOf(dialect)
  finder.scan(head)
  const row = finder.next(start, head.length < askedBytes)
  if (typeof row === 'string') return null
  return { text: lineText(head.toString('utf8', start, row.end), dialect), end: row.end }
}
