import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BatchSummary, Endpoint, TakenRequest } from './endpoints.ts'
import type { Fault, FaultBox } from './fault.ts'
import { type HttpReply, readBody, respond } from './http-reply.ts'

/** A request to `/batch/` or v1, in order of arrival; the latest 10,000 are kept. A body without a byte is none. */
export interface ReceivedBatch extends BatchSummary {
  endpoint: Endpoint['name']
  receivedAtMs: number
  /** The answer's status, or what happened instead of an answer. */
  outcome: number | 'reset' | 'answer_lost'
  /** 0 where the body was not understood, or not even looked at. */
  events: number
  bytes: number
}

const batchesKept = 10_000

/** What every request to one of the two endpoints goes through, and what is remembered of it. */
export class Receiver {
  /** By outcome. */
  readonly requests: Record<string, number> = {}
  readonly batches: ReceivedBatch[] = []
  readonly #faults: FaultBox
  readonly #stopping: AbortSignal
  #underWay = 0

  constructor(faults: FaultBox, stopping: AbortSignal) {
    this.#faults = faults
    this.#stopping = stopping
  }

  /** Requests that have not been answered yet. */
  get underWay(): number {
    return this.#underWay
  }

  async receive(endpoint: Endpoint, request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#underWay += 1
    try {
      await this.#answer(endpoint, request, response)
    } finally {
      this.#underWay -= 1
    }
  }

  async #answer(endpoint: Endpoint, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const receivedAtMs = Date.now()
    const met = this.#faults.meet(receivedAtMs)
    const body = await readBody(request, endpoint.maxBytes)
    const latencyMs = latencyMsOf(met)
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: this.#stopping })

    const end = await endOf(endpoint, { body, headers: request.headers, nowMs: receivedAtMs, met })
    const outcome = end.kind === 'answered' ? end.reply.status : end.kind
    if (body?.length !== 0) {
      const { summary = nothingUnderstood } = end
      this.#remember({ endpoint: endpoint.name, receivedAtMs, outcome, bytes: body?.length ?? 0, ...summary })
    }
    switch (end.kind) {
      case 'answered':
        respond(response, end.reply)
        break
      case 'reset':
        request.socket.resetAndDestroy()
        break
      case 'answer_lost':
        request.socket.destroy()
        break
    }
  }

  #remember(batch: ReceivedBatch): void {
    this.requests[batch.outcome] = (this.requests[batch.outcome] ?? 0) + 1
    this.batches.push(batch)
    if (this.batches.length > batchesKept) this.batches.shift()
  }
}

const nothingUnderstood: BatchSummary = { events: 0, historicalMigration: false, sentAt: null }

type RequestEnd = { summary?: BatchSummary } & (
  | { kind: 'answered'; reply: HttpReply }
  | { kind: 'reset' | 'answer_lost' }
)

/** How a request ends; only one that no earlier fault has ended gets as far as the events. */
async function endOf({ name, take, replyOfStatus }: Endpoint, request: TakenRequest): Promise<RequestEnd> {
  const { met } = request
  if (met.some(({ kind }) => kind === 'reset')) return { kind: 'reset' }
  if (name === 'v1' && met.some(({ kind }) => kind === 'v1_missing')) {
    return { kind: 'answered', reply: { status: 404, body: '' } }
  }
  const fault = met.find((one) => one.kind === 'status')
  if (fault) return { kind: 'answered', reply: replyOfStatus(fault.status, fault.retryAfterS) }

  const taken = await take(request)
  const isLost = taken.reply.status === 200 && met.some(({ kind }) => kind === 'answer_lost')
  return isLost ? { ...taken, kind: 'answer_lost' } : { ...taken, kind: 'answered' }
}

function latencyMsOf(met: readonly Fault[]): number {
  return met.reduce((sum, fault) => (fault.kind === 'latency' ? sum + fault.ms : sum), 0)
}
