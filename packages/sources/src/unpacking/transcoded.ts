import type { TextEncoding } from '@heapferry/domain'
import type { FileContent } from './content.ts'
import { DamagedContent } from './damaged-content.ts'

/**
 * The content as UTF-8, so that nobody else has to know another encoding: places are those of this text. Like what is
 * packed it is read from its beginning, because no character tells how many bytes those before it take in UTF-8. Halves of
 * characters become U+FFFD.
 */
export function transcoded(content: FileContent, encoding: TextEncoding): FileContent {
  return { blocks: (start, end = Number.POSITIVE_INFINITY) => textBlocks(content, encoding, start, end) }
}

async function* textBlocks(
  content: FileContent,
  encoding: TextEncoding,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder(encoding, { ignoreBOM: true })
  let at = 0
  const wanted = (text: string): Buffer => {
    const bytes = Buffer.from(text)
    const part = bytes.subarray(Math.max(0, start - at), Math.max(0, end - at))
    at += bytes.length
    return part
  }
  let bytes = 0
  // No character takes less in UTF-8 than half of what it takes in these encodings.
  const limit = end === Number.POSITIVE_INFINITY ? undefined : 2 * end
  for await (const block of content.blocks(0, limit)) {
    bytes += block.length
    const part = wanted(decoder.decode(block, { stream: true }))
    if (part.length > 0) yield part
    if (at >= end) return
  }
  if (encoding !== 'windows-1252' && bytes % 2 === 1)
    throw new DamagedContent('its UTF-16 text ends in the middle of a character')
  const rest = wanted(decoder.decode())
  if (rest.length > 0) yield rest
}

const byteOrderMarks: { mark: RegExp; encoding: TextEncoding }[] = [
  // Followed by two zeros it is that of UTF-32.
  { mark: /^fffe(?!0000)/, encoding: 'utf-16le' },
  { mark: /^feff/, encoding: 'utf-16be' },
]

/**
 * How a text is encoded, by its first bytes: by its byte order mark, or because each second byte of its ASCII is zero.
 * @returns undefined for UTF-8, and for what is no text
 */
export function encodingOf(head: Buffer): TextEncoding | undefined {
  const first = head.subarray(0, bytesAsked)
  const marked = byteOrderMarks.find(({ mark }) => mark.test(first.toString('hex')))
  if (marked) return marked.encoding
  const text = first.toString('latin1')
  if (/^(?:[\t\x20-\x7e]\0){4}/.test(text)) return 'utf-16le'
  return /^(?:\0[\t\x20-\x7e]){4}/.test(text) ? 'utf-16be' : undefined
}

// A header has more than four characters, and what is no text seldom has four such pairs.
const bytesAsked = 8
