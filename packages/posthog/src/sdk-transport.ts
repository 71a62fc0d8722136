import type { OutgoingEvent, PostHogEvent } from '@heapferry/domain'
import { PostHog } from 'posthog-node'
import { Agent } from 'undici'
import { post, type Reply } from './post.ts'
import { answerOf, isReady, type Transport, type TransportAnswer, type TransportOptions } from './transport.ts'

interface Client {
  /** @throws Error when the SDK sends anything but these events */
  send(events: readonly OutgoingEvent[]): Promise<TransportAnswer>
}

/**
 * PostHog's own SDK, used as a mere sender: one flush is one request, and nothing waits in its queue, which drops
 * events on errors and on overflow. Costs about ten times the CPU of `batchTransport`.
 *
 * Properties arrive as given but for three: the SDK writes its own `$lib` and `$lib_version`, and because it always
 * sends `sent_at`, `$ignore_sent_at: true` is added to keep timestamps as they are.
 */
export function sdkTransport({ host, apiKey, timeoutMs = 60_000 }: TransportOptions): Transport {
  const dispatcher = new Agent()
  const idle: Client[] = []

  return {
    ready: async () => isReady,
    async send(events) {
      const client = idle.pop() ?? createClient({ host, apiKey, timeoutMs, dispatcher })
      const answer = await client.send(events)
      // After anything else the SDK may still hold the events, or have shrunk its batches for good.
      if (answer.kind === 'stored') idle.push(client)
      return answer
    },
    close: () => dispatcher.destroy(),
  }
}

function createClient({
  host,
  apiKey,
  timeoutMs,
  dispatcher,
}: Required<TransportOptions> & { dispatcher: Agent }): Client {
  let reply: Reply | null = null
  let sentUuids: unknown[] = []

  const client = new PostHog(apiKey, {
    host,
    historicalMigration: true,
    // With true, PostHog would not take a person's operating system from events.
    isServer: false,
    // The events say $geoip_disable themselves.
    disableGeoip: false,
    flushAt: Number.MAX_SAFE_INTEGER,
    flushInterval: 0,
    fetchRetryCount: 0,
    // Longer than our own, which decides.
    requestTimeout: timeoutMs + 5000,
    async fetch(url, { headers, body }) {
      // On 413 the SDK would go on with halves of the batch and drop what it cannot place. Splitting is the sink's.
      if (reply !== null) throw new Error('one request per batch')
      const bytes = body instanceof Blob ? new Uint8Array(await body.arrayBuffer()) : (body ?? '')
      const answered = await post(url, { dispatcher, headers, timeoutMs, body: bytes })
      reply = answered
      if (answered.kind === 'unanswered') throw new Error(answered.detail)
      return {
        status: answered.status,
        text: () => Promise.resolve(answered.body),
        json: () => Promise.resolve(JSON.parse(answered.body)),
      }
    },
  })
  client.on('flush', (messages: unknown) => {
    sentUuids = Array.isArray(messages) ? messages.map((message: { uuid?: unknown }) => message.uuid) : []
  })
  // The rejection of flush() says the same; without a listener the SDK prints.
  client.on('error', () => {})

  async function flush(): Promise<unknown> {
    try {
      await client.flush()
      return null
    } catch (error) {
      return error
    }
  }

  return {
    async send(events) {
      reply = null
      sentUuids = []
      for (const { json } of events) {
        const event: PostHogEvent = JSON.parse(Buffer.from(json).toString())
        client.capture({
          distinctId: event.distinct_id,
          event: event.event,
          properties: { ...event.properties, $ignore_sent_at: true },
          timestamp: new Date(event.timestamp),
          uuid: event.uuid,
        })
      }
      const failure = await flush()
      const answer: TransportAnswer | null = reply === null ? null : answerOf(reply, apiKey)
      if (answer === null) throw new Error('posthog-node sent nothing', { cause: failure })
      if (answer.kind !== 'stored') return answer
      if (failure !== null)
        throw new Error('posthog-node failed after PostHog had stored the batch', { cause: failure })
      const isSame = sentUuids.length === events.length && events.every(({ uuid }, i) => uuid === sentUuids[i])
      if (!isSame) throw new Error(`posthog-node sent other events than the ${events.length} it was given`)
      return answer
    },
  }
}
