import { randomUUID } from 'node:crypto'
import type { TransportName } from '@heapferry/domain'
import { Agent, type Dispatcher } from 'undici'
import { z } from 'zod'
import { batchTransport } from './batch-transport.ts'
import { post, type Reply } from './post.ts'
import { answerOf, isReady, type Later, parseJson, type Transport, type TransportOptions } from './transport.ts'
import { v1Headers, v1Path, v1Transport } from './v1-transport.ts'

/** Told how events are sent from now on, and why so. */
export type OnChosen = (transport: TransportName, reason: string) => void

// A hiccup is over when the sink asks again; a proxy that answers so for every address it does not know never stops.
const maxUnclear = 3
const questionTimeoutMs = 10_000
// PostHog itself never answers these to v1: something in front of it does, or a PostHog without v1.
const statusesWithoutV1 = [403, 404, 405]

/**
 * `v1` where the host has it, else `batch`, found out with the first events. Should v1 be gone later, the rest goes by
 * `batch`: what was answered with a 404 was not stored.
 */
export function autoTransport(options: TransportOptions, onChosen: OnChosen): Transport {
  const dispatcher = new Agent()
  const v1 = v1Transport(options)
  const batch = batchTransport(options)
  let chosen: Transport | null = null
  let unclear = 0
  let asking: Promise<Later | null> | null = null

  /** Null when it is known now. */
  async function ask(): Promise<Later | null> {
    try {
      const found = await findV1(options, dispatcher)
      switch (found.kind) {
        case 'there':
          choose(v1, found.reason)
          return null
        case 'not_there':
          choose(batch, found.reason)
          return null
        case 'unclear':
          unclear += 1
          if (unclear < maxUnclear) return found.answer
          choose(batch, found.reason)
          return null
        case 'away':
          return found.answer
      }
    } finally {
      asking = null
    }
  }

  function choose(transport: Transport, reason: string): void {
    if (chosen === transport) return
    chosen = transport
    onChosen(transport === v1 ? 'v1' : 'batch', reason)
  }

  /** Null when it is known how to send. */
  async function known(): Promise<Later | null> {
    if (chosen !== null) return null
    asking ??= ask()
    return asking
  }

  return {
    async ready(events) {
      return (await known()) ?? chosen?.ready(events) ?? isReady
    },
    async send(events) {
      const later = await known()
      if (later !== null) return later
      if (chosen === batch) return batch.send(events)
      const answer = await v1.send(events)
      if (answer.kind !== 'operator' || !statusesWithoutV1.includes(answer.status)) return answer
      choose(batch, `${v1Path} is not there any more (${answer.detail})`)
      return batch.send(events)
    },
    async close() {
      await Promise.all([v1.close(), batch.close(), dispatcher.destroy()])
    },
  }
}

type Found =
  | { kind: 'there'; reason: string }
  | { kind: 'not_there'; reason: string }
  /** It may be there another time; `/batch/` is there now. */
  | { kind: 'unclear'; reason: string; answer: Later }
  /** PostHog is away, or wants to be left alone for a while. */
  | { kind: 'away'; answer: Later }

const EmptyBody = z.object({ error: z.enum(['empty_body', 'empty_batch']) })

/**
 * Sends v1 a request with nothing in it. Only v1 refuses it in the words of v1, and it has read all headers before. (An
 * empty batch would do as well, but leaves a warning in the project; OPTIONS is answered alike for every address.)
 *
 * Whatever else comes means no, as v1 is an improvement and not a condition; but while `/batch/` does not answer either,
 * PostHog is away, which says nothing about v1.
 */
async function findV1(
  { host, apiKey, timeoutMs = questionTimeoutMs }: TransportOptions,
  dispatcher: Dispatcher,
): Promise<Found> {
  const nothing = { dispatcher, body: '', timeoutMs: Math.min(timeoutMs, questionTimeoutMs) }
  const headers = v1Headers({ apiKey, requestId: randomUUID(), attempt: 1 })
  const reply = await post(`${host}${v1Path}`, { ...nothing, headers })
  if (reply.kind === 'answered' && reply.status === 400 && EmptyBody.safeParse(parseJson(reply.body)).success) {
    return { kind: 'there', reason: `${v1Path} is there` }
  }
  const reason = `${v1Path} is not there (${reply.kind === 'answered' ? `status ${reply.status}` : reply.detail})`
  const answer = laterOf(reply, apiKey)
  if (answer === null) return { kind: 'not_there', reason }
  const ofBatch = laterOf(await post(`${host}/batch/`, { ...nothing, headers: {} }), apiKey)
  return ofBatch === null ? { kind: 'unclear', reason, answer } : { kind: 'away', answer: ofBatch }
}

/** Null for a reply that would be the same in a while. */
function laterOf(reply: Reply, apiKey: string): Later | null {
  // A page instead of an answer is not an outage here: there is another way to send.
  if (reply.kind === 'answered' && reply.status < 300) return null
  const answer = answerOf(reply, apiKey)
  return answer.kind === 'later' ? answer : null
}
