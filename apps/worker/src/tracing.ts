import type { RunId } from '@heapferry/domain'
import type { QueueTelemetry } from '@heapferry/queue'

/** Of a span: names places and counts, never a row. */
type Attributes = Readonly<Record<string, string | number>>

/** What is told to OpenTelemetry of the work on chunks. What is awaited inside of a span becomes its children. */
export interface Tracing {
  /** For BullMQ; undefined where nothing is told. */
  queue: QueueTelemetry | undefined
  /** @param work may tell more of the span when it knows more */
  span<T>(name: string, attributes: Attributes, work: (tell: (more: Attributes) => void) => Promise<T>): Promise<T>
  /** So many rows more were brought to their ends. */
  rows(count: number, of: { run: RunId; table: string }): void
}

export const untraced: Tracing = {
  queue: undefined,
  span: (_name, _attributes, work) => work(() => {}),
  rows() {},
}
