import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Delivery,
  OperatorError,
  type OutgoingEvent,
  type Pacer,
  type Refusal,
  type Waiting,
} from '@heapferry/domain'
import type { Answer, Transport } from './transport.ts'

export interface SinkOptions {
  transport: Transport
  /** Asked before every request, and told of every answer that means "later". */
  pacer: Pacer
  /** Told after every answer that means "later", and null when an answer gets through again. */
  onWaiting?: (waiting: Waiting | null) => void
  /** The first wait after "later"; doubled each time up to `longestWaitMs`, with jitter. */
  firstWaitMs?: number
  longestWaitMs?: number
  /** How long a request in flight may still take when the signal comes. */
  graceMs?: number
}

// PostHog takes 20 MB a request; smaller ones lose less when they have to be repeated.
const maxRequestEvents = 1000
const maxRequestBytes = 4_000_000
// So many events refused before the first was taken: not bad events but a wrong address, or a wrong version.
const maxRefusedBeforeFirstStored = 100
const longestTimerMs = 2 ** 31 - 1

/** An `EventSink` that asks for no origin: PostHog tells events by their uuids. */
export interface PostHogSink {
  send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Delivery>
}

/** A part of the events of a call: `start` inclusive, `end` exclusive. */
interface Span {
  start: number
  end: number
}

/**
 * Sends in order until PostHog has answered for every event: the same request again while it says later, halves of it
 * where it refuses, down to the events that are to blame. How many events a request holds and when it may start is the
 * pacer's decision.
 */
export function createSink({
  transport,
  pacer,
  onWaiting = () => {},
  firstWaitMs = 500,
  longestWaitMs = 30_000,
  graceMs = 3000,
}: SinkOptions): PostHogSink {
  let waitingSinceMs: number | null = null
  let hasStored = false

  async function send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Delivery> {
    // One signal stops many sends side by side; Node takes more than ten of them for a leak.
    setMaxListeners(0, signal)
    const refused: Refusal[] = []
    const pending = requestSpans(events).toReversed()
    for (let rest = pending.pop(); rest; rest = pending.pop()) {
      const { start } = rest
      const answered = await answerFor(events.slice(start, rest.end), signal)
      if (answered.kind === 'interrupted') return answered
      const { answer } = answered
      const end = start + answered.events
      if (end < rest.end) pending.push({ start: end, end: rest.end })
      switch (answer.kind) {
        case 'stored':
          hasStored = true
          break
        case 'operator':
          throw operatorErrorOf(answer)
        case 'refused':
        case 'too_large':
          if (end - start === 1) refused.push({ index: start, detail: answer.detail })
          else pending.push(...halvesOf({ start, end }).toReversed())
          if (!hasStored && refused.length >= maxRefusedBeforeFirstStored) throw refusedEverything(answer.detail)
          break
      }
    }
    return { kind: 'acknowledged', refused }
  }

  /** Any answer but "later", and for how many of the events, from the first on; or the interruption of waiting for one. */
  async function answerFor(
    events: readonly OutgoingEvent[],
    signal: AbortSignal,
  ): Promise<
    { kind: 'answered'; answer: Exclude<Answer, { kind: 'later' }>; events: number } | { kind: 'interrupted' }
  > {
    let retryAtMs = 0
    for (let attempt = 0; ; attempt += 1) {
      if (!(await waitUntil(retryAtMs, signal))) return interrupted()
      const allowed = await pacer.take(events, signal)
      if (allowed === null) return interrupted()
      const answer = await withinGrace(transport.send(events.slice(0, allowed)), signal, graceMs)
      if (answer === null) return interrupted()
      if (answer.kind !== 'later') {
        stopWaiting()
        return { kind: 'answered', answer, events: allowed }
      }
      const nowMs = Date.now()
      await pacer.later(answer)
      retryAtMs = nowMs + Math.max(answer.afterMs ?? 0, jittered(Math.min(firstWaitMs * 2 ** attempt, longestWaitMs)))
      waitingSinceMs ??= nowMs
      onWaiting({ sinceMs: waitingSinceMs, retryAtMs, detail: answer.detail })
    }
  }

  function interrupted(): { kind: 'interrupted' } {
    stopWaiting()
    return { kind: 'interrupted' }
  }

  function stopWaiting(): void {
    if (waitingSinceMs === null) return
    waitingSinceMs = null
    onWaiting(null)
  }

  return { send }
}

/** One event larger than a whole request may be goes alone: PostHog decides about it. */
function requestSpans(events: readonly OutgoingEvent[]): Span[] {
  const spans: Span[] = []
  let start = 0
  let bytes = 0
  for (const [index, { json }] of events.entries()) {
    const eventBytes = json.length + 1
    if (index > start && (index - start === maxRequestEvents || bytes + eventBytes > maxRequestBytes)) {
      spans.push({ start, end: index })
      start = index
      bytes = 0
    }
    bytes += eventBytes
  }
  if (start < events.length) spans.push({ start, end: events.length })
  return spans
}

function halvesOf({ start, end }: Span): [Span, Span] {
  const middle = start + Math.ceil((end - start) / 2)
  return [
    { start, end: middle },
    { start: middle, end },
  ]
}

/** Half of it fixed, half of it random: never at once, never all together. */
function jittered(ms: number): number {
  return Math.round(ms / 2 + Math.random() * (ms / 2))
}

/** False when the signal came first. */
async function waitUntil(momentMs: number, signal: AbortSignal): Promise<boolean> {
  for (let leftMs = 0; !signal.aborted; ) {
    leftMs = momentMs - Date.now()
    if (leftMs <= 0) return true
    await sleepUnlessAborted(Math.min(leftMs, longestTimerMs), signal)
  }
  return false
}

async function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
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

function operatorErrorOf({ status, detail }: Extract<Answer, { kind: 'operator' }>): OperatorError {
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
        `PostHog's /batch/ is not at this address (${detail})`,
        'Check POSTHOG_HOST: us, eu, or the address that your SDKs send events to.',
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
