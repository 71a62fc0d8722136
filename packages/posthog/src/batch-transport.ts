import { Agent } from 'undici'
import { post } from './post.ts'
import { madeOnce, requestBody } from './request-body.ts'
import { answerOf, isReady, type Transport, type TransportOptions } from './transport.ts'

/**
 * `POST /batch/`, which every PostHog has. The body is put together from the events' ready JSON. It never has `sent_at`:
 * PostHog would shift every timestamp by the difference between the clocks, differently each time, and a repeated event
 * with another timestamp is a second event.
 */
export function batchTransport({ host, apiKey, timeoutMs = 60_000 }: TransportOptions): Transport {
  const dispatcher = new Agent()
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  const head = Buffer.from(`{"api_key":${JSON.stringify(apiKey)},"historical_migration":true,"batch":[`)

  const bodyOf = madeOnce((events) => requestBody(head, events))

  return {
    async ready(events) {
      await bodyOf(events)
      return isReady
    },
    async send(events) {
      const body = await bodyOf(events)
      return answerOf(await post(`${host}/batch/`, { dispatcher, body, headers, timeoutMs }), apiKey)
    },
    close: () => dispatcher.destroy(),
  }
}
