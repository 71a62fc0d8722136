import { setMaxListeners } from 'node:events'
import {
  type Delivery,
  OperatorError,
  type OutgoingEvent,
  type Pacer,
  type Refusal,
  type Tally,
  type Waiting,
} from '@heapferry/domain'
import { Backoff, waitUntil } from './backoff.ts'
import { eventsOf, halvesOf, type RequestPart, requestParts } from './request-parts.ts'
import type { EventResult, Later, Transport, TransportAnswer } from './transport.ts'

export interface SinkOptions {
  transport: Transport
  /** Asked before every request, and told of every answer that means "later". */
  pacer: Pacer
  /** Told after every answer that means "later", and null when an answer gets through again. */
  onWaiting?: (waiting: Waiting | null) => void
  /** Told once of each remark of PostHog's that is counted as `other`. */
  onOtherWarning?: (words: string) => void
  /** The first wait after "later"; doubled each time up to `longestWaitMs`, with jitter. */
  firstWaitMs?: number
  longestWaitMs?: number
  /** How long a request in flight may still take when the signal comes. */
  graceMs?: number
}

// So many events refused before the first was taken: not bad events but a wrong address, or a wrong version.
const maxRefusedBeforeFirstStored = 100
const maxOtherWarnings = 100

/** An `EventSink` that asks for no origin: PostHog tells events by their uuids. */
export interface PostHogSink {
  /** @param onLeft called when all of the events are out, as some may be once more, and only answers are awaited */
  send(events: readonly OutgoingEvent[], signal: AbortSignal, onLeft?: () => void): Promise<Delivery>
}

/**
 * Sends in order until PostHog has answered for every event: the same request again while it says later, only those
 * events again that it wants again, and halves of a request that it refuses, down to the events that are to blame. How
 * many events a request holds and when it may start is the pacer's decision.
 */
export function createSink({
  transport,
  pacer,
  onWaiting = () => {},
  onOtherWarning = () => {},
  firstWaitMs = 500,
  longestWaitMs = 30_000,
  graceMs = 3000,
}: SinkOptions): PostHogSink {
  const backoff = new Backoff({ firstWaitMs, longestWaitMs, onWaiting })
  const remarks = new Set<string>()
  let hasStored = false

  function tellOnce(words: string): void {
    if (remarks.has(words) || remarks.size >= maxOtherWarnings) return
    remarks.add(words)
    onOtherWarning(words)
  }

  async function send(
    events: readonly OutgoingEvent[],
    signal: AbortSignal,
    onLeft: () => void = () => {},
  ): Promise<Delivery> {
    // One signal stops many sends side by side; Node takes more than ten of them for a leak.
    setMaxListeners(0, signal)
    const refused: Refusal[] = []
    const warned: Tally['warned'] = {}
    const pending = requestParts(events).toReversed()
    for (let part = pending.pop(); part; part = pending.pop()) {
      const sending: Sending = { transport, pacer, backoff, graceMs, signal }
      if (pending.length === 0) sending.onLeft = onLeft
      const answered = await answerFor(part, events, sending)
      if (answered === null) {
        backoff.end()
        return { kind: 'interrupted' }
      }
      const { answer, asked, rest } = answered
      if (rest.indexes.length > 0) pending.push(rest)
      switch (answer.kind) {
        case 'stored':
          hasStored = true
          break
        case 'each': {
          const settled = settle(asked, answer.results)
          hasStored ||= settled.hasStored
          refused.push(...settled.refused)
          for (const { warning, detail } of settled.warnings) {
            warned[warning] = (warned[warning] ?? 0) + 1
            if (warning === 'other') tellOnce(detail)
          }
          const { indexes, detail } = settled.again
          // Retry-After is about these events alone here: others are taken meanwhile.
          if (indexes.length > 0) {
            pending.push({ indexes, putOff: backoff.putOff({ afterMs: answer.afterMs, detail }, asked.putOff) })
          }
          break
        }
        case 'operator':
          throw operatorErrorOf(answer)
        case 'refused':
        case 'too_large':
          if (asked.indexes.length > 1) pending.push(...halvesOf(asked).toReversed())
          else refused.push(...asked.indexes.map((index) => ({ index, detail: answer.detail })))
          break
      }
      const refusal = refused[maxRefusedBeforeFirstStored - 1]
      if (refusal && !hasStored) throw refusedEverything(refusal.detail)
    }
    return { kind: 'acknowledged', refused, warned }
  }

  return { send }
}

interface Sending {
  transport: Transport
  pacer: Pacer
  backoff: Backoff
  graceMs: number
  signal: AbortSignal
  /** Called when all of the part is out. */
  onLeft?: () => void
}

interface Answered {
  answer: Exclude<TransportAnswer, Later>
  /** The events that it is about: as many of the part, from the first on, as the pacer let go. */
  asked: RequestPart
  rest: RequestPart
}

/** Sends a part, again and again while the answer is "later"; null when the signal ended the waiting. */
async function answerFor(
  part: RequestPart,
  events: readonly OutgoingEvent[],
  { transport, pacer, backoff, graceMs, signal, onLeft }: Sending,
): Promise<Answered | null> {
  const ofPart = eventsOf(part, events)
  let request = ofPart
  let { putOff } = part

  async function later(answer: Later): Promise<void> {
    await pacer.later(answer)
    putOff = backoff.putOff(answer, putOff)
  }

  for (;;) {
    if (!(await waitUntil(putOff?.retryAtMs ?? 0, signal))) return null
    const readiness = await withinGrace(transport.ready(request), signal, graceMs)
    if (readiness === null) return null
    if (readiness.kind === 'later') {
      await later(readiness)
      continue
    }
    const allowed = await pacer.take(ofPart, signal)
    if (allowed === null) return null
    // The same array is the same request to a transport.
    if (allowed !== request.length) request = ofPart.slice(0, allowed)
    const sent = transport.send(request)
    if (allowed === ofPart.length) onLeft?.()
    const answer = await withinGrace(sent, signal, graceMs)
    if (answer === null) return null
    if (answer.kind === 'later') {
      await later(answer)
      continue
    }
    if (answer.kind !== 'each' || answer.results.every(({ kind }) => kind !== 'retry')) backoff.end()
    const asked = { ...part, indexes: part.indexes.slice(0, allowed) }
    return { answer, asked, rest: { indexes: part.indexes.slice(allowed) } }
  }
}

interface Settled {
  /** Whether PostHog has taken any. */
  hasStored: boolean
  refused: Refusal[]
  warnings: Extract<EventResult, { kind: 'warning' }>[]
  /** Those that PostHog wants again, if any. */
  again: { indexes: readonly number[]; detail: string }
}

/** What an answer for every event says of the events of a part. */
function settle({ indexes }: RequestPart, results: readonly EventResult[]): Settled {
  const refused: Refusal[] = []
  const warnings: Settled['warnings'] = []
  const again: number[] = []
  let hasStored = false
  let reason = ''
  for (const [at, index] of indexes.entries()) {
    const result = results[at]
    if (!result) throw new Error(`${results.length} answers came for ${indexes.length} events`)
    switch (result.kind) {
      case 'ok':
        hasStored = true
        break
      case 'warning':
        hasStored = true
        warnings.push(result)
        break
      case 'drop':
        refused.push({ index, detail: result.detail })
        break
      case 'retry':
        again.push(index)
        reason = result.detail
        break
    }
  }
  const detail = `PostHog wants ${again.length} of ${indexes.length} events again: ${reason}`
  return { hasStored, refused, warnings, again: { indexes: again, detail } }
}

/** Null when the signal came and `graceMs` after it there was still no answer. */
function withinGrace<T>(answer: Promise<T>, signal: AbortSignal, graceMs: number): Promise<T | null> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const onAbort = () => {
      timer = setTimeout(() => resolve(null), graceMs)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    answer.then(resolve, reject).finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    })
  })
}

function operatorErrorOf({ status, detail }: Extract<TransportAnswer, { kind: 'operator' }>): OperatorError {
  switch (status) {
    case 401:
    case 403:
      return new OperatorError(
        `PostHog refused the project key (${detail})`,
        'Check POSTHOG_API_KEY ("phc_…") and that POSTHOG_HOST is the region of its project.',
      )
    case 402:
      return new OperatorError(
        `PostHog takes no more events for this project (${detail})`,
        'Raise or lift the billing limit of the project, then resume.',
      )
    case 404:
      return new OperatorError(
        `PostHog does not take events at this address (${detail})`,
        'Check POSTHOG_HOST: us, eu, or the address that your SDKs send events to. Not every PostHog has what HEAPFERRY_TRANSPORT=v1 asks for; auto finds out.',
      )
    default:
      return new OperatorError(
        `PostHog answered in a way that sending again will not change (${detail})`,
        'Check POSTHOG_HOST and any proxy in front of it, then resume.',
      )
  }
}

function refusedEverything(detail: string): OperatorError {
  return new OperatorError(
    `PostHog refused the first ${maxRefusedBeforeFirstStored} events and took none (${detail})`,
    'Check POSTHOG_HOST and any proxy in front of it: no event is rejected for this.',
  )
}
