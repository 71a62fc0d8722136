import { afterEach, describe, expect, test } from 'vitest'
import { type FakePostHog, type FaultInput, startFakePostHog } from '@heapferry/fake-posthog'
import type { PostHogEvent } from '@heapferry/domain'
import type { Transport, TransportOptions } from '@heapferry/posthog'
import { outgoingEvent, outgoingEvents, uuidsOf } from './outgoing-events.ts'
import { posthogLike } from './posthog-like.ts'

const apiKey = 'phc_secretOfTheContract'
const ok = { kind: 'ok' }

/**
 * What every transport promises, against the rehearsal server. `adds`: properties it cannot help changing; `answersFor`:
 * whether it can tell what became of a single event.
 */
export function transportContract(
  name: string,
  open: (options: TransportOptions) => Transport,
  { adds, answersFor }: { adds: Record<string, unknown>; answersFor: 'requests' | 'events' },
): void {
  const cleanups: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
  })

  async function start(timeoutMs?: number): Promise<{ posthog: FakePostHog; transport: Transport }> {
    const posthog = await startFakePostHog({ keep: 'events', apiKey })
    cleanups.push(() => posthog.stop())
    return { posthog, transport: opened(posthog.url, timeoutMs) }
  }

  function opened(host: string, timeoutMs = 60_000): Transport {
    const transport = open({ host, apiKey, timeoutMs })
    cleanups.push(() => transport.close())
    return transport
  }

  async function answering(answer: { status?: number; body: string }): Promise<Transport> {
    const { url } = await posthogLike(() => answer)
    return opened(url)
  }

  describe(`the ${name} transport`, () => {
    test('stores exactly the set, in one request each time', async () => {
      const { posthog, transport } = await start()
      const events = outgoingEvents(2500)
      expect(await transport.send(events.slice(0, 1500))).toEqual({ kind: 'stored' })
      expect(await transport.send(events.slice(1500))).toEqual({ kind: 'stored' })
      expect([...posthog.stored.keys()]).toEqual(uuidsOf(events))
      expect(posthog.requests).toEqual({ '200': 2 })
    })

    test('keeps uuid, name, distinct_id, timestamp and properties as they are', async () => {
      const { posthog, transport } = await start()
      const persons = { $set: { 'e-mail': 'a@b.c', größe: 1.5 }, $set_once: { $initial_os: 'iOS' } }
      const events = [outgoingEvent(1), outgoingEvent(2, { event: '$identify', properties: persons })]
      await transport.send(events)
      for (const { json } of events) {
        const event: PostHogEvent = JSON.parse(Buffer.from(json).toString())
        const { uuid, ...sent } = event
        const properties = { ...sent.properties, ...adds }
        expect(posthog.stored.get(uuid)).toEqual({ ...sent, properties, times: 1 })
      }
    })

    test('says that it is a historical migration', async () => {
      const { posthog, transport } = await start()
      await transport.send(outgoingEvents(1))
      expect(posthog.batches[0]).toMatchObject({ historicalMigration: true })
    })

    test('the same events again are the same events', async () => {
      const { posthog, transport } = await start()
      await transport.send(outgoingEvents(20))
      await transport.send(outgoingEvents(20))
      expect([...posthog.stored.values()].map((event) => event.times)).toEqual(Array.from({ length: 20 }, () => 2))
    })

    test('sends side by side do not mix', async () => {
      const { posthog, transport } = await start()
      const events = outgoingEvents(400)
      // So that there is an idle connection or client to quarrel about.
      await transport.send(events.slice(0, 1))
      const parts = [0, 100, 200, 300].map((at) => events.slice(at, at + 100))
      const answers = await Promise.all(parts.map((part) => transport.send(part)))
      expect(answers).toEqual(parts.map(() => ({ kind: 'stored' })))
      expect(new Set(posthog.stored.keys())).toEqual(new Set(uuidsOf(events)))
      expect(posthog.batches.map((batch) => batch.events)).toEqual([1, 100, 100, 100, 100])
    })

    test.each<[string, FaultInput]>([
      ['a lost answer', { kind: 'answer_lost', next: 1 }],
      ['a reset connection', { kind: 'reset', next: 1 }],
      ['408', { kind: 'status', status: 408, next: 1 }],
      ['429', { kind: 'status', status: 429, next: 1 }],
      ['500', { kind: 'status', status: 500, next: 1 }],
      ['503', { kind: 'status', status: 503, next: 1 }],
    ])('%s means later, after exactly one request, and sending again succeeds', async (_, fault) => {
      const { posthog, transport } = await start()
      posthog.fault(fault)
      expect(await transport.send(outgoingEvents(10))).toMatchObject({ kind: 'later', afterMs: null })
      expect(posthog.batches).toHaveLength(1)
      expect(await transport.send(outgoingEvents(10))).toEqual({ kind: 'stored' })
      expect([...posthog.stored.keys()]).toEqual(uuidsOf(outgoingEvents(10)))
    })

    test('Retry-After is handed on', async () => {
      const { posthog, transport } = await start()
      posthog.fault({ kind: 'status', status: 429, retryAfterS: 7 })
      expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'later', afterMs: 7000, status: 429 })
    })

    test('no answer in time means later', async () => {
      const { posthog, transport } = await start(100)
      posthog.fault({ kind: 'latency', ms: 1000, next: 1 })
      const answer = await transport.send(outgoingEvents(1))
      expect(answer).toMatchObject({ kind: 'later', detail: expect.stringContaining('no answer within 100 ms') })
    })

    test('nobody listening means later', async () => {
      const { posthog, transport } = await start()
      await posthog.stop()
      cleanups.shift()
      expect(await transport.send(outgoingEvents(1))).toMatchObject({
        kind: 'later',
        detail: expect.stringContaining('ECONNREFUSED'),
      })
    })

    test('an event that is too large is said to be, after exactly one request', async () => {
      const { posthog, transport } = await start()
      const large = outgoingEvent(3, { properties: { text: 'x'.repeat(1_000_000) } })
      const answer = await transport.send([...outgoingEvents(3), large])
      expect(answer).toMatchObject(
        answersFor === 'events'
          ? { kind: 'each', results: [ok, ok, ok, { kind: 'drop', detail: expect.stringContaining('event_too_big') }] }
          : { kind: 'too_large', detail: expect.stringContaining('maximum event size') },
      )
      expect(posthog.batches).toHaveLength(1)
      expect(await transport.send(outgoingEvents(3))).toEqual({ kind: 'stored' })
    })

    test('a request that is too large is said to be', async () => {
      const { posthog, transport } = await start()
      posthog.fault({ kind: 'status', status: 413 })
      expect(await transport.send(outgoingEvents(3))).toMatchObject({ kind: 'too_large' })
    })

    test('an event that PostHog does not take is said to be refused, in its words', async () => {
      const { posthog, transport } = await start()
      posthog.fault({ kind: 'refuse_event', event: 'event 0' })
      expect(await transport.send(outgoingEvents(3))).toMatchObject(
        answersFor === 'events'
          ? { kind: 'each', results: [{ kind: 'drop', detail: expect.stringContaining('rejected') }, ok, ok] }
          : { kind: 'refused', detail: expect.stringContaining('invalid event could not be processed') },
      )
    })

    test('an event that is there twice is taken', async () => {
      const { posthog, transport } = await start()
      const [first, second] = outgoingEvents(2)
      if (!first || !second) throw new Error('no events')
      expect(await transport.send([first, second, { ...first }, second])).toEqual({ kind: 'stored' })
      expect([...posthog.stored.keys()]).toEqual(uuidsOf([first, second]))
    })

    test.each([401, 402, 403, 404, 422])('%i needs a person', async (status) => {
      const { posthog, transport } = await start()
      posthog.fault({ kind: 'status', status })
      expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'operator', status })
    })

    test('a 200 without PostHog’s acknowledgement is not success', async () => {
      const transport = await answering({ body: '<html>Welcome to the guest network</html>' })
      expect(await transport.send(outgoingEvents(1))).toMatchObject({
        kind: 'later',
        detail: expect.stringContaining('guest network'),
      })
    })

    if (answersFor === 'requests') {
      test('the status 1 of older PostHogs is success', async () => {
        const transport = await answering({ body: '{"status":1}' })
        expect(await transport.send(outgoingEvents(1))).toEqual({ kind: 'stored' })
      })

      test('a 200 that says the quota is used up needs a person', async () => {
        const transport = await answering({ body: '{"status":1,"quota_limited":["events"]}' })
        expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'operator', status: 402 })
      })
    }

    test.each([200, 400, 401, 413, 500])('the key is in no answer, even where %i repeats it', async (status) => {
      const transport = await answering({ status, body: `${apiKey} ${'x'.repeat(300)} ${apiKey}` })
      const answer = await transport.send(outgoingEvents(1))
      expect(JSON.stringify(answer)).not.toContain('secret')
      expect(answer).toHaveProperty('detail', expect.stringContaining('[project key]'))
      if ('detail' in answer) expect(answer.detail.length).toBeLessThanOrEqual(200)
    })

    test('closing breaks off what is in flight', async () => {
      const { posthog, transport } = await start()
      posthog.fault({ kind: 'latency', ms: 60_000 })
      const sent = transport.send(outgoingEvents(1))
      await new Promise((resolve) => setImmediate(resolve))
      await transport.close()
      expect(await sent).toMatchObject({ kind: 'later' })
    })
  })
}
