import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Delivery,
  OperatorError,
  type OutgoingEvent,
  type Pacer,
  type Refusal,
  type Tally,
  type Waiting,
} from '@heapferry/domain'
import type { Answer, EventResult, Transport } from './transport.ts'

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

// PostHog takes 20 MB a request; smaller ones lose less when they have to be repeated.
const maxRequestEvents = 1000
const maxRequestBytes = 4_000_000
// So many events refused before the first was taken: not bad events but a wrong address, or a wrong version.
const maxRefusedBeforeFirstStored = 100
const maxOtherWarnings = 100
const longestTimerMs = 2 ** 31 - 1

/** An `EventSink` that asks for no origin: PostHog tells events by their uuids. */
export interface PostHogSink {
  send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Delivery>
}

/** Events of a call that go out in one request, by their indexes. */
interface Part {
  indexes: readonly number[]
  /** PostHog has asked for them again. */
  putOff?: PutOff
}

interface PutOff {
  attempts: number
  retryAtMs: number
}

/** How the events of a call have ended so far, but for those that are simply stored. */
interface Ended {
  refused: Refusal[]
  warned: Tally['warned']
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
  let waitingSinceMs: number | null = null
  let hasStored = false
  const otherWarnings = new Set<string>()

  async function send(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<Delivery> {
    // One signal stops many sends side by side; Node takes more than ten of them for a leak.
    setMaxListeners(0, signal)
    const ended: Ended = { refused: [], warned: {} }
    const pending = requestParts(events).toReversed()
    for (let part = pending.pop(); part; part = pending.pop()) {
      const answered = await answerFor(eventsOf(part, events), signal, part.putOff)
      if (answered.kind === 'interrupted') return answered
      const { answer } = answered
      const asked = { ...part, indexes: part.indexes.slice(0, answered.events) }
      if (answered.events < part.indexes.length) pending.push({ indexes: part.indexes.slice(answered.events) })
      switch (answer.kind) {
        case 'stored':
          hasStored = true
          break
        case 'each': {
          // Retry-After is about these events alone here: others are taken meanwhile.
          const again = settle(asked, answer.results, ended)
          if (again) pending.push({ indexes: again.indexes, putOff: later({ ...answer, ...again }, asked.putOff) })
          break
        }
        case 'operator':
          throw operatorErrorOf(answer)
        case 'refused':
        case 'too_large':
          if (asked.indexes.length > 1) pending.push(...halvesOf(asked).toReversed())
          else ended.refused.push(...asked.indexes.map((index) => ({ index, detail: answer.detail })))
          break
      }
      const refusal = ended.refused[maxRefusedBeforeFirstStored - 1]
      if (refusal && !hasStored) throw refusedEverything(refusal.detail)
    }
    return { kind: 'acknowledged', ...ended }
  }

  /** Any answer but "later", and for how many of the events, from the first on; or the interruption of waiting for one. */
  async function answerFor(
    events: readonly OutgoingEvent[],
    signal: AbortSignal,
    putOff?: PutOff,
  ): Promise<
    { kind: 'answered'; answer: Exclude<Answer, { kind: 'later' }>; events: number } | { kind: 'interrupted' }
  > {
    let request = events
    for (;;) {
      if (!(await waitUntil(putOff?.retryAtMs ?? 0, signal))) return interrupted()
      const allowed = await pacer.take(events, signal)
      if (allowed === null) return interrupted()
      // The same array is the same request to a transport.
      if (allowed !== request.length) request = events.slice(0, allowed)
      const answer = await withinGrace(transport.send(request), signal, graceMs)
      if (answer === null) return interrupted()
      if (answer.kind !== 'later') {
        if (answer.kind !== 'each' || answer.results.every(({ kind }) => kind !== 'retry')) stopWaiting()
        return { kind: 'answered', answer, events: allowed }
      }
      await pacer.later(answer)
      putOff = later(answer, putOff)
    }
  }

  /** Until when to wait after an answer that means "later". */
  function later({ afterMs, detail }: { afterMs: number | null; detail: string }, before: PutOff | undefined): PutOff {
    const attempts = (before?.attempts ?? 0) + 1
    const nowMs = Date.now()
    const waitMs = jittered(Math.min(firstWaitMs * 2 ** (attempts - 1), longestWaitMs))
    const retryAtMs = nowMs + Math.max(afterMs ?? 0, waitMs)
    waitingSinceMs ??= nowMs
    onWaiting({ sinceMs: waitingSinceMs, retryAtMs, detail })
    return { attempts, retryAtMs }
  }

  /** Notes how each event has ended; answers which of them PostHog wants again. */
  function settle(
    { indexes }: Part,
    results: readonly EventResult[],
    { refused, warned }: Ended,
  ): { indexes: readonly number[]; detail: string } | null {
    const again: number[] = []
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
          warned[result.warning] = (warned[result.warning] ?? 0) + 1
          if (result.warning === 'other') tellOther(result.detail)
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
    if (again.length === 0) return null
    return { indexes: again, detail: `PostHog wants ${again.length} of ${indexes.length} events again: ${reason}` }
  }

  function tellOther(words: string): void {
    if (otherWarnings.has(words) || otherWarnings.size >= maxOtherWarnings) return
    otherWarnings.add(words)
    onOtherWarning(words)
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

/**
 * One event larger than a whole request may be goes alone: PostHog decides about it. Two rows with one `event_id` that
 * differ are two events with one uuid, which no request may hold.
 */
function requestParts(events: readonly OutgoingEvent[]): Part[] {
  const parts: Part[] = []
  let indexes: number[] = []
  let bytes = 0
  const inPart = new Map<string, Uint8Array>()
  for (const [index, { uuid, json }] of events.entries()) {
    const eventBytes = json.length + 1
    const twin = inPart.get(uuid)
    const isFull = indexes.length === maxRequestEvents || bytes + eventBytes > maxRequestBytes
    if (indexes.length > 0 && (isFull || (twin && Buffer.compare(twin, json) !== 0))) {
      parts.push({ indexes })
      indexes = []
      bytes = 0
      inPart.clear()
    }
    indexes.push(index)
    bytes += eventBytes
    inPart.set(uuid, json)
  }
  if (indexes.length > 0) parts.push({ indexes })
  return parts
}

function eventsOf({ indexes }: Part, events: readonly OutgoingEvent[]): OutgoingEvent[] {
  return indexes.map((index) => events[index]).filter((event) => event !== undefined)
}

function halvesOf({ indexes }: Part): [Part, Part] {
  const middle = Math.ceil(indexes.length / 2)
  return [{ indexes: indexes.slice(0, middle) }, { indexes: indexes.slice(middle) }]
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
