import { afterEach, expect, onTestFinished, test } from 'vitest'
import { OperatorError, type OutgoingEvent, type Pacer, type Waiting } from '@heapferry/domain'
import { type FakePostHog, isAbout, startFakePostHog } from '@heapferry/fake-posthog'
import {
  batchTransport,
  createSink,
  openTransport,
  type SinkOptions,
  type Transport,
  type TransportOptions,
  v1Transport,
} from '@heapferry/posthog'
import { setClock } from '../support/set-clock.ts'
import { outgoingEvent, outgoingEvents, uuidsOf } from './outgoing-events.ts'
import { posthogLike } from './posthog-like.ts'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const never = new AbortController().signal
const unpaced: Pacer = { take: ({ length }) => Promise.resolve(length), later: () => Promise.resolve() }
const taken = { kind: 'acknowledged', refused: [], warned: {} }

type Open = (options: TransportOptions) => Transport | Promise<Transport>

async function start(options: Partial<SinkOptions> = {}, open: Open = batchTransport) {
  const posthog = await startFakePostHog()
  const transport = await open({ host: posthog.url, apiKey: 'phc_test', timeoutMs: 5000 })
  cleanups.push(
    () => posthog.stop(),
    () => transport.close(),
  )
  const waits: (Waiting | null)[] = []
  const onWaiting = (waiting: Waiting | null) => waits.push(waiting)
  const sink = createSink({ transport, pacer: unpaced, onWaiting, firstWaitMs: 4, longestWaitMs: 20, ...options })
  return { posthog, sink, waits }
}

function expectStored(posthog: FakePostHog, events: readonly OutgoingEvent[]): void {
  expect([...posthog.stored.keys()]).toEqual(uuidsOf(events))
}

test('acknowledged means that every event is stored, in order', async () => {
  const { posthog, sink, waits } = await start()
  const events = outgoingEvents(50)
  expect(await sink.send(events, never)).toEqual(taken)
  expectStored(posthog, events)
  expect(waits).toEqual([])
})

test('nothing to send is acknowledged without a request', async () => {
  const { posthog, sink } = await start()
  expect(await sink.send([], never)).toEqual(taken)
  expect(posthog.batches).toEqual([])
})

test('a request holds at most 1000 events', async () => {
  const { posthog, sink } = await start()
  const events = outgoingEvents(2001)
  await sink.send(events, never)
  expect(posthog.batches.map((batch) => batch.events)).toEqual([1000, 1000, 1])
  expectStored(posthog, events)
})

test('a request holds at most 4 MB of JSON, counted in bytes', async () => {
  const { posthog, sink } = await start()
  const text = 'ä'.repeat(200_000)
  const events = Array.from({ length: 21 }, (_, n) => outgoingEvent(n, { properties: { text } }))
  await sink.send(events, never)
  expect(posthog.batches.map((batch) => batch.events)).toEqual([9, 9, 3])
  expectStored(posthog, events)
})

test('an event larger than a whole request goes alone, and is refused only by PostHog', async () => {
  const { posthog, sink } = await start()
  const large = outgoingEvent(1, { properties: { text: 'x'.repeat(5_000_000) } })
  const events = [outgoingEvent(0), large, outgoingEvent(2)]
  expect(await sink.send(events, never)).toEqual({
    kind: 'acknowledged',
    refused: [{ index: 1, detail: expect.stringContaining('413') }],
    warned: {},
  })
  expectStored(posthog, [outgoingEvent(0), outgoingEvent(2)])
  expect(posthog.batches.map((batch) => batch.outcome)).toEqual([200, 413, 200])
})

test('one event too large among 200 is refused alone', async () => {
  const { posthog, sink } = await start()
  const events = outgoingEvents(200)
  events[70] = outgoingEvent(70, { properties: { text: 'x'.repeat(1_000_000) } })
  expect(await sink.send(events, never)).toMatchObject({ kind: 'acknowledged', refused: [{ index: 70 }] })
  expectStored(posthog, events.toSpliced(70, 1))
})

test.each([[[0]], [[999]], [[417]], [[3, 4, 900]]])(
  'of 1000 events those at %j are refused and all others stored, in order',
  async (poisoned) => {
    const { posthog, sink } = await start()
    const events = outgoingEvents(1000)
    posthog.fault({ kind: 'refuse_event', uuids: uuidsOf(events.filter((_, index) => poisoned.includes(index))) })
    expect(await sink.send(events, never)).toEqual({
      kind: 'acknowledged',
      refused: poisoned.map((index) => ({ index, detail: '400: invalid event could not be processed' })),
      warned: {},
    })
    expectStored(
      posthog,
      events.filter((_, index) => !poisoned.includes(index)),
    )
    // Two requests per halving, ten halvings per event.
    expect(posthog.batches.length).toBeLessThanOrEqual(1 + 20 * poisoned.length)
  },
)

test('where PostHog refuses all and has taken none, nobody’s events are rejected for it', async () => {
  const { posthog, sink } = await start()
  posthog.fault({ kind: 'status', status: 400 })
  await expect(sink.send(outgoingEvents(1000), never)).rejects.toThrow(OperatorError)
  await expect(sink.send(outgoingEvents(3), never)).resolves.toMatchObject({ refused: [{}, {}, {}] })
})

test('once PostHog has taken an event, any number of others may be refused', async () => {
  const { posthog, sink } = await start()
  posthog.fault({ kind: 'refuse_event', event: 'bad' })
  const good = outgoingEvent(0)
  const bad = Array.from({ length: 150 }, (_, n) => outgoingEvent(n + 1, { event: 'bad' }))
  const delivery = await sink.send([good, ...bad], never)
  expect(delivery).toMatchObject({ refused: bad.map((_, index) => ({ index: index + 1 })) })
  expectStored(posthog, [good])
})

test('an outage is waited for without end, and reported from its first answer to its last', async () => {
  const { posthog, sink, waits } = await start()
  posthog.fault({ kind: 'status', status: 500, next: 25 })
  const before = Math.floor(performance.now())
  expect(await sink.send(outgoingEvents(10), never)).toEqual(taken)
  expectStored(posthog, outgoingEvents(10))
  expect(posthog.requests).toEqual({ '500': 25, '200': 1 })

  expect(waits).toHaveLength(26)
  expect(waits.at(-1)).toBeNull()
  const sinces = new Set(waits.slice(0, -1).map((wait) => wait?.sinceMs))
  expect(sinces.size).toBe(1)
  expect(waits[0]?.sinceMs).toBeGreaterThanOrEqual(before)
  expect(waits[0]?.retryAtMs).toBeGreaterThan(before)
  expect(waits[0]?.detail).toBe('500: fault on demand')
})

test('waits double up to the longest, and are never shorter than half of that', async () => {
  const { posthog, sink } = await start({ firstWaitMs: 10, longestWaitMs: 40 })
  posthog.fault({ kind: 'status', status: 503, next: 5 })
  await sink.send(outgoingEvents(1), never)
  const arrivals = posthog.batches.map((batch) => batch.receivedAtMs)
  const gaps = arrivals.slice(1).map((at, index) => at - (arrivals[index] ?? 0))
  for (const [index, leastMs] of [5, 10, 20, 20, 20].entries()) expect(gaps[index]).toBeGreaterThanOrEqual(leastMs - 1)
})

test('a request holds the events that the pacer allows, and each refusal still names its event', async () => {
  const allowed = [3, 5, 1, 4, 2]
  const take: Pacer['take'] = (events) => Promise.resolve(Math.min(events.length, allowed.shift() ?? 1000))
  const { posthog, sink } = await start({ pacer: { ...unpaced, take } })
  const events = outgoingEvents(12)
  posthog.fault({ kind: 'refuse_event', uuids: uuidsOf(events.slice(4, 5)) })
  expect(await sink.send(events, never)).toMatchObject({ kind: 'acknowledged', refused: [{ index: 4 }] })
  expectStored(posthog, events.toSpliced(4, 1))
  // The second request held five of the nine that were left; it was refused, and its halves were allowed bit by bit.
  expect(posthog.batches.slice(0, 3).map((batch) => batch.events)).toEqual([3, 5, 1])
  expect([...posthog.stored.values()].every(({ times }) => times === 1)).toBe(true)
})

test('a call says when all of its events are out, while their answers are still awaited', async () => {
  let takes = 0
  const take: Pacer['take'] = ({ length }) => {
    // Longer than this test may take.
    if (++takes === 3) posthog.fault({ kind: 'latency', ms: 600_000 })
    return Promise.resolve(Math.min(length, 4))
  }
  const { posthog, sink } = await start({ pacer: { ...unpaced, take }, graceMs: 0 })
  const abort = new AbortController()
  const takesWhenLeft: number[] = []
  const sent = sink.send(outgoingEvents(12), abort.signal, () => takesWhenLeft.push(takes))
  await expect.poll(() => takesWhenLeft, { interval: 5 }).toEqual([3])
  abort.abort()
  expect(await sent).toEqual({ kind: 'interrupted' })
})

test('nothing is taken of the pace before it is known how events are sent', async () => {
  const choices: string[] = []
  const knownWhenTaken: number[] = []
  const take: Pacer['take'] = ({ length }) => {
    knownWhenTaken.push(choices.length)
    return Promise.resolve(length)
  }
  const open = (options: TransportOptions) => openTransport('auto', options, (chosen) => choices.push(chosen))
  const { posthog, sink } = await start({ pacer: { ...unpaced, take } }, open)
  posthog.fault({ kind: 'status', status: 503, next: 2 })
  expect(await Promise.all([1, 2, 3].map((n) => sink.send([outgoingEvent(n)], never)))).toEqual([taken, taken, taken])
  expect(knownWhenTaken).toEqual([1, 1, 1])
})

test('the pacer is asked before every request, and told of every answer that means later', async () => {
  const log: string[] = []
  const pacer: Pacer = {
    take: (events) => Promise.resolve(log.push(`take ${events.length}`)).then(() => 2),
    later: ({ status, afterMs }) => Promise.resolve(log.push(`${status} ${afterMs}`)).then(() => {}),
  }
  const { posthog, sink } = await start({ pacer })
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 0, next: 1 })
  posthog.fault({ kind: 'status', status: 503, next: 2 })
  await sink.send(outgoingEvents(3), never)
  expect(log).toEqual(['take 3', '429 0', 'take 3', '503 null', 'take 3', 'take 1'])
})

test('nothing is sent when the signal comes while the pacer holds back', async () => {
  const { posthog, sink } = await start({ pacer: { ...unpaced, take: () => Promise.resolve(null) } })
  expect(await sink.send(outgoingEvents(3), never)).toEqual({ kind: 'interrupted' })
  expect(posthog.batches).toEqual([])
})

test('lost answers, resets and errors in any order lose nothing', async () => {
  const { posthog, sink } = await start()
  posthog.fault({ kind: 'answer_lost', probability: 0.3, seed: 1 })
  posthog.fault({ kind: 'reset', probability: 0.3, seed: 2 })
  posthog.fault({ kind: 'status', status: 503, probability: 0.3, seed: 3 })
  const events = outgoingEvents(3000)
  const parts = Array.from({ length: 30 }, (_, part) => events.slice(part * 100, part * 100 + 100))
  const deliveries = await Promise.all(parts.map((part) => sink.send(part, never)))
  expect(deliveries).toEqual(parts.map(() => taken))
  expect(new Set(posthog.stored.keys())).toEqual(new Set(uuidsOf(events)))
  for (const outcome of ['answer_lost', 'reset', '503']) expect(posthog.requests[outcome]).toBeGreaterThan(0)
  expect([...posthog.stored.values()].some((event) => event.times > 1)).toBe(true)
})

test.each([
  [401, 'POSTHOG_API_KEY'],
  [402, 'billing limit'],
  [404, 'POSTHOG_HOST'],
  [422, 'POSTHOG_HOST'],
])('%i is for a person, who is told what to do', async (status, hint) => {
  const { posthog, sink } = await start()
  posthog.fault({ kind: 'status', status })
  const error: unknown = await sink.send(outgoingEvents(5), never).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(OperatorError)
  expect(error).toHaveProperty('hint', expect.stringContaining(hint))
  expect(posthog.batches).toHaveLength(1)
})

test('waiting is reported until the moment that Retry-After named', async () => {
  const { posthog, sink, waits } = await start()
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 1, next: 1 })
  const before = performance.now()
  await sink.send(outgoingEvents(1), never)
  expect(waits).toHaveLength(2)
  expect(waits[0]?.retryAtMs).toBeGreaterThanOrEqual(before + 999)
})

test('a clock that is set back an hour meanwhile makes no wait longer', async () => {
  const { posthog, sink, waits } = await start()
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 1, next: 1 })
  const sent = sink.send(outgoingEvents(1), never)
  await expect.poll(() => waits.length, { interval: 5 }).toBe(1)
  setClock(-3_600_000)
  expect(await sent).toMatchObject({ kind: 'acknowledged' })
})

test('a signal ends a wait at once', async () => {
  const { posthog, sink, waits } = await start()
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 3600 })
  const abort = new AbortController()
  const sent = sink.send(outgoingEvents(1), abort.signal)
  await expect.poll(() => waits.length, { interval: 5 }).toBe(1)
  abort.abort()
  // PostHog wants an hour.
  expect(await sent).toEqual({ kind: 'interrupted' })
  expect(waits.at(-1)).toBeNull()
})

test('a signal that was there before sends nothing', async () => {
  const { posthog, sink } = await start()
  expect(await sink.send(outgoingEvents(1), AbortSignal.abort())).toEqual({ kind: 'interrupted' })
  expect(posthog.batches).toEqual([])
})

test('a request in flight may still be answered after the signal', async () => {
  const { posthog, sink } = await start({ graceMs: 3000 })
  posthog.fault({ kind: 'latency', ms: 200 })
  const abort = new AbortController()
  const sent = sink.send(outgoingEvents(1), abort.signal)
  abort.abort()
  expect(await sent).toEqual(taken)
})

test('a request in flight is given up when its grace is over', async () => {
  const { posthog, sink } = await start({ graceMs: 100 })
  // Longer than this test may take.
  posthog.fault({ kind: 'latency', ms: 600_000 })
  const abort = new AbortController()
  const sent = sink.send(outgoingEvents(1), abort.signal)
  const before = performance.now()
  abort.abort()
  expect(await sent).toEqual({ kind: 'interrupted' })
  expect(performance.now() - before).toBeGreaterThanOrEqual(99)
})

test('a call of several requests stops between them', async () => {
  const { posthog, sink } = await start()
  posthog.fault({ kind: 'latency', ms: 50 })
  const abort = new AbortController()
  const sent = sink.send(outgoingEvents(2500), abort.signal)
  await expect.poll(() => posthog.batches.length, { interval: 5 }).toBe(1)
  abort.abort()
  expect(await sent).toEqual({ kind: 'interrupted' })
  expect(posthog.stored.size).toBeLessThan(2500)
})

/** The same with a transport that answers for every event. */
function startV1(options: Partial<SinkOptions> = {}) {
  return start(options, v1Transport)
}

test('events that PostHog drops are refused in its words, and no other request is made for them', async () => {
  const { posthog, sink } = await startV1()
  const events = outgoingEvents(1000)
  const bad = [3, 4, 900]
  posthog.fault({
    kind: 'refuse_event',
    uuids: uuidsOf(events.filter((_, index) => bad.includes(index))),
    details: 'event_restriction_drop',
  })
  expect(await sink.send(events, never)).toEqual({
    kind: 'acknowledged',
    refused: bad.map((index) => ({ index, detail: expect.stringContaining('event_restriction_drop') })),
    warned: {},
  })
  expectStored(
    posthog,
    events.filter((_, index) => !bad.includes(index)),
  )
  expect(posthog.batches).toHaveLength(1)
})

test('only the events that PostHog wants again are sent again, and not before Retry-After', async () => {
  const { posthog, sink, waits } = await startV1()
  const events = outgoingEvents(1200)
  posthog.fault({ kind: 'retry_event', everyNth: 7, next: 1 })
  expect(await sink.send(events, never)).toEqual(taken)
  expect(new Set(posthog.stored.keys())).toEqual(new Set(uuidsOf(events)))
  expect([...posthog.stored.values()].every(({ times }) => times === 1)).toBe(true)

  const [first, again] = posthog.batches
  const wanted = events.slice(0, 1000).filter(({ uuid }) => isAbout({ everyNth: 7 }, { event: '', uuid }))
  expect(posthog.batches.map((batch) => batch.events)).toEqual([1000, wanted.length, 200])
  expect((again?.receivedAtMs ?? 0) - (first?.receivedAtMs ?? 0)).toBeGreaterThanOrEqual(999)
  expect(waits).toEqual([
    expect.objectContaining({
      detail: expect.stringMatching(/^PostHog wants \d+ of 1000 events again: not_persisted$/),
    }),
    null,
  ])
})

/** A sink whose PostHog answers `retry` for this event so many times, with that Retry-After. */
async function wantingAgain({ uuid }: OutgoingEvent, times: number, headers: Record<string, string> = {}) {
  let left = times
  const { url, asked } = await posthogLike(({ body }) => {
    const { batch }: { batch: { uuid: string }[] } = JSON.parse(body)
    const results = Object.fromEntries(batch.map((event) => [event.uuid, { result: 'ok' }]))
    if (uuid in results && left-- > 0) results[uuid] = { result: 'retry' }
    return { headers, body: { results } }
  })
  const transport = v1Transport({ host: url, apiKey: 'phc_test' })
  onTestFinished(() => transport.close())
  const waits: (Waiting | null)[] = []
  const sink = createSink({
    transport,
    pacer: unpaced,
    onWaiting: (wait) => waits.push(wait),
    firstWaitMs: 4,
    longestWaitMs: 20,
  })
  return { sink, waits, asked }
}

test('an event that PostHog wants again and again is one wait', async () => {
  const events = outgoingEvents(10)
  const { sink, waits, asked } = await wantingAgain(outgoingEvent(3), 4)
  expect(await sink.send(events, never)).toEqual(taken)
  expect(asked).toHaveLength(5)
  expect(waits).toHaveLength(5)
  expect(waits.at(-1)).toBeNull()
  expect(new Set(waits.slice(0, -1).map((wait) => wait?.sinceMs)).size).toBe(1)
})

test('events that PostHog wants again much later hold up no other call, and a signal ends their wait', async () => {
  const { sink, waits } = await wantingAgain(outgoingEvent(3), Infinity, { 'retry-after': '3600' })
  const abort = new AbortController()
  const sent = sink.send(outgoingEvents(10), abort.signal)
  await expect.poll(() => waits.length, { interval: 5, timeout: 10_000 }).toBe(1)
  expect(await sink.send([outgoingEvent(11)], never)).toEqual(taken)
  abort.abort()
  expect(await sent).toEqual({ kind: 'interrupted' })
})

const atMostSeven: Pacer['take'] = ({ length }) => Promise.resolve(Math.min(length, 7))

test('what the pacer holds back is sent after what PostHog wants again, and each answer still is of its event', async () => {
  const { posthog, sink } = await startV1({ pacer: { ...unpaced, take: atMostSeven } })
  const events = outgoingEvents(40)
  posthog.fault({ kind: 'refuse_event', uuids: uuidsOf(events.slice(16, 18)) })
  posthog.fault({ kind: 'retry_event', uuids: uuidsOf(events.slice(2, 5)), next: 1 })
  expect(await sink.send(events, never)).toMatchObject({ refused: [{ index: 16 }, { index: 17 }] })
  expect([...posthog.stored.keys()]).toEqual(
    uuidsOf([...events.slice(0, 2), ...events.slice(5, 7), ...events.slice(2, 5), ...events.slice(7)]).filter(
      (uuid) => !uuidsOf(events.slice(16, 18)).includes(uuid),
    ),
  )
  expect(posthog.batches.map((batch) => batch.events)).toEqual([7, 3, 7, 7, 7, 7, 5])
})

test('a request that is put off is the same request the next time, its attempts counted', async () => {
  let left = 2
  const { url, asked } = await posthogLike(({ body }) => {
    const { batch }: { batch: { uuid: string }[] } = JSON.parse(body)
    if (left-- > 0) return { status: 503 }
    return { body: { results: Object.fromEntries(batch.map(({ uuid }) => [uuid, { result: 'ok' }])) } }
  })
  const transport = v1Transport({ host: url, apiKey: 'phc_test' })
  onTestFinished(() => transport.close())
  const sink = createSink({ transport, pacer: { ...unpaced, take: atMostSeven }, firstWaitMs: 4 })
  expect(await sink.send(outgoingEvents(10), never)).toEqual(taken)
  expect(asked.map(({ headers }) => headers['posthog-attempt'])).toEqual(['1', '2', '3', '1'])
  expect(new Set(asked.map(({ headers }) => headers['posthog-request-id'])).size).toBe(2)
})

test('over the billing limit the whole call is a matter for a person, though some of its events are stored', async () => {
  const { posthog, sink } = await startV1()
  const events = outgoingEvents(1500)
  posthog.fault({ kind: 'billing_limit', everyNth: 2 })
  const error: unknown = await sink.send(events, never).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(OperatorError)
  expect(error).toMatchObject({
    message: expect.stringContaining('billing_limit_exceeded'),
    hint: expect.stringContaining('billing limit'),
  })
  expect(posthog.batches).toHaveLength(1)
  expect(posthog.stored.size).toBeGreaterThan(300)

  posthog.clearFaults()
  expect(await sink.send(events, never)).toEqual(taken)
  expect(new Set(posthog.stored.keys())).toEqual(new Set(uuidsOf(events)))
})

test('events that PostHog remarks on are stored and counted, and a remark that is new is told once', async () => {
  const told: string[] = []
  const { posthog, sink } = await startV1({ onOtherWarning: (words) => told.push(words) })
  posthog.fault({ kind: 'warn_event', event: 'event 0', next: 1 })
  posthog.fault({ kind: 'warn_event', event: 'event 1', details: 'something_new', next: 1 })
  expect(await sink.send(outgoingEvents(14), never)).toEqual({
    ...taken,
    warned: { person_processing_disabled: 2, other: 2 },
  })
  expect(posthog.stored.size).toBe(14)
  expect(told).toEqual(['something_new'])
})

test('an id that PostHog takes for nobody’s is remarked on', async () => {
  const { sink } = await startV1()
  const events = [outgoingEvent(0), outgoingEvent(1, { distinct_id: 'backend' })]
  expect(await sink.send(events, never)).toEqual({ ...taken, warned: { person_processing_disabled: 1 } })
})

test('rows that were exported twice are sent, and two rows with one event_id that differ are two events', async () => {
  const { posthog, sink } = await startV1()
  const [a, b, c] = [outgoingEvent(0), outgoingEvent(1), outgoingEvent(2)]
  const other = outgoingEvent(0, { event: 'renamed' })
  expect(await sink.send([a, b, { ...a }, other, c], never)).toEqual(taken)
  expect(posthog.batches.map((batch) => [batch.outcome, batch.events])).toEqual([
    [200, 2],
    [200, 2],
  ])
  expect([...posthog.stored.keys()]).toEqual([a.uuid, b.uuid, `${a.uuid}#2`, c.uuid])
})

test('where PostHog drops all and has taken none, nobody’s events are rejected for it', async () => {
  const { posthog, sink } = await startV1()
  posthog.fault({ kind: 'refuse_event', everyNth: 1 })
  await expect(sink.send(outgoingEvents(1000), never)).rejects.toThrow(OperatorError)
  await expect(sink.send(outgoingEvents(3), never)).resolves.toMatchObject({ refused: [{}, {}, {}] })
})

test('lost answers, wanted events and errors in any order lose and double nothing', async () => {
  const { posthog, sink } = await startV1()
  posthog.fault({ kind: 'answer_lost', probability: 0.2, seed: 1 })
  posthog.fault({ kind: 'status', status: 503, probability: 0.2, seed: 2 })
  posthog.fault({ kind: 'retry_event', everyNth: 10, probability: 0.2, seed: 3 })
  const events = outgoingEvents(2000)
  const parts = Array.from({ length: 20 }, (_, part) => events.slice(part * 100, part * 100 + 100))
  const deliveries = await Promise.all(parts.map((part) => sink.send(part, never)))
  expect(deliveries).toEqual(parts.map(() => taken))
  expect(new Set(posthog.stored.keys())).toEqual(new Set(uuidsOf(events)))
  expect(posthog.batches.some((batch) => batch.events < 100 && batch.outcome === 200)).toBe(true)
})
