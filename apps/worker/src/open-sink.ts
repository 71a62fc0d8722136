import type { Answers, Destination, EventSink, Pacer, Waiting } from '@heapferry/domain'
import { batchTransport, createSink, sdkTransport } from '@heapferry/posthog'
import { openPlace, type S3Options } from '@heapferry/sources'
import { jsonLinesSink } from './json-lines-sink.ts'
import { measuredTransport } from './measured-transport.ts'

/** What it takes to reach destinations. */
export interface SinkAccess {
  /** Of the destination's project; null where it has none. */
  apiKey: string | null
  transport: 'batch' | 'sdk'
  s3: S3Options
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
  onWaiting: (waiting: Waiting | null) => void,
): Promise<OpenSink> {
  const { apiKey, s3 } = access
  if (destination.kind === 'json_lines') {
    const place = await openPlace(destination.root, s3)
    return { sink: jsonLinesSink(place), answers: () => null, closeSink: async () => place.close() }
  }
  if (apiKey === null) throw new Error('a run of a PostHog project was taken without its key')
  const { host } = destination
  const chosen = access.transport === 'sdk' ? sdkTransport({ host, apiKey }) : batchTransport({ host, apiKey })
  const transport = measuredTransport(chosen)
  return {
    sink: createSink({ transport, pacer, onWaiting }),
    answers: transport.taken,
    closeSink: () => transport.close(),
  }
}
