import type { RejectReason } from '@heapferry/domain'
import type { RowSpan } from './row-finder.ts'

/** Why a row cannot be read at all, as its finder saw it. */
export function problemOf(span: RowSpan): { reason: RejectReason; detail: string } | null {
  switch (span.state) {
    case 'plain':
    case 'quoted':
    case 'blank':
      return null
    case 'unclosed_quote':
      return { reason: 'not_decodable', detail: 'a quote is opened and never closed' }
    case 'stray_quote':
      return { reason: 'not_decodable', detail: 'text follows a closing quote' }
    case 'too_large':
      return { reason: 'row_too_large', detail: `the row has ${span.end - span.start} bytes` }
    case 'damaged':
      return { reason: 'file_damaged', detail: span.damage ?? 'the file is damaged here' }
  }
}
