import type { Answers, Destination, EventSink, Pacer, TransportName, Waiting } from '@heapferry/domain'
import { createSink, openTransport } from '@heapferry/posthog'
import { openPlace, type S3Options } from '@heapferry/sources'
import { jsonLinesSink } from './json-lines-sink.ts'
import { measuredTransport } from './measured-transport.ts'
import { type Tracing, untraced } from './tracing.ts'

/** What it takes to reach destinations. */
export interface SinkAccess {
  /** Of the destination's project; null where it has none. */
  apiKey: string | null
  transport: TransportName | 'auto'
  s3: S3Options
  tracing?: Tracing
}

/** Told while events are sent. */
export interface SinkListener {
  onWaiting(waiting: Waiting | null): void
  /** How they are sent from now on, and why so. */
  onTransport(transport: TransportName, reason: string): void
  /** Once of each remark of PostHog's that is counted as `other`. */
  onOtherWarning(words: string): void
}

export interface OpenSink {
  sink: EventSink
  /** PostHog's answers since the last call; null where there were none. */
  answers(): Answers | null
  closeSink(): Promise<void>
}

/** Where the events of a run go, ready to take them. */
export async function openSink(
  destination: Destination,
  access: SinkAccess,
  pacer: Pacer,
  { onWaiting, onTransport, onOtherWarning }: SinkListener,
): Promise<OpenSink> {
  const { apiKey, s3, tracing = untraced } = access
  if (destination.kind === 'json_lines') {
    const place = await openPlace(destination.root, s3)
    return { sink: jsonLinesSink(place), answers: () => null, closeSink: async () => place.close() }
  }
  if (apiKey === null) throw new Error('a run of a PostHog project was taken without its key')
  const { host } = destination
  const transport = measuredTransport(await openTransport(access.transport, { host, apiKey }, onTransport), tracing)
  const sink = createSink({ transport, pacer, onWaiting, onOtherWarning })
  return {
    sink: { send: (events, signal, _origin, onLeft) => sink.send(events, signal, onLeft) },
    answers: transport.taken,
    closeSink: () => transport.close(),
  }
}
