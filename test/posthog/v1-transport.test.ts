import { startFakePostHog } from '@heapferry/fake-posthog'
import { type Transport, v1Transport } from '@heapferry/posthog'
import { expect, onTestFinished, test } from 'vitest'
import { outgoingEvent, outgoingEvents, uuidsOf } from './outgoing-events.ts'
import { posthogLike } from './posthog-like.ts'

const apiKey = 'phc_v1'

function opened(host: string): Transport {
  const transport = v1Transport({ host, apiKey, timeoutMs: 5000 })
  onTestFinished(() => transport.close())
  return transport
}

/** The answer to so many events whose results are given in order. */
async function answerTo(
  results: readonly (object | undefined)[],
  headers: Record<string, string> = {},
): Promise<Awaited<ReturnType<Transport['send']>>> {
  const events = outgoingEvents(results.length)
  const answers = Object.fromEntries(events.map(({ uuid }, index) => [uuid, results[index]]))
  const server = await posthogLike(() => ({ headers, body: { results: answers } }))
  return opened(server.url).send(events)
}

const uuidText = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

test('every header that PostHog requires is there, and the key is in no body', async () => {
  const server = await posthogLike(() => ({ status: 503 }))
  await opened(server.url).send(outgoingEvents(2))
  const [asked] = server.asked
  expect(asked?.path).toBe('/i/v1/analytics/events')
  expect(asked?.headers).toMatchObject({
    authorization: 'Bearer phc_v1',
    'content-type': 'application/json',
    'content-encoding': 'gzip',
    'posthog-attempt': '1',
    'posthog-request-id': expect.stringMatching(uuidText),
    'posthog-request-timestamp': expect.stringMatching(/^\d{4}-.*Z$/),
    'user-agent': expect.stringMatching(/^heapferry\/\d/),
  })
  expect(asked?.body).not.toContain(apiKey)
})

test('a body holds the events as they are, each with the option that keeps its timestamp, by both its names', async () => {
  const server = await posthogLike(() => ({ status: 503 }))
  const events = outgoingEvents(3)
  const beforeMs = Date.now()
  await opened(server.url).send(events)
  const { created_at: createdAt, ...body } = JSON.parse(server.asked[0]?.body ?? '')
  // The second is what older builds of v1 call the first.
  const options = { disable_skew_correction: true, disable_skew_adjustment: true }
  expect(Date.parse(createdAt)).toBeGreaterThanOrEqual(beforeMs)
  expect(Date.parse(createdAt)).toBeLessThanOrEqual(Date.now())
  expect(body).toEqual({
    historical_migration: true,
    batch: events.map(({ json }) => ({ ...JSON.parse(Buffer.from(json).toString()), options })),
  })
})

test('the library that Heap recorded stays in $lib', async () => {
  const posthog = await startFakePostHog({ keep: 'events' })
  onTestFinished(() => posthog.stop())
  const event = outgoingEvent(1, { properties: { $lib: 'ios' } })
  await opened(posthog.url).send([event])
  expect(posthog.stored.get(event.uuid)?.properties).toEqual({ $lib: 'ios', $ignore_sent_at: true })
})

test('the same events again are the same request: its bytes and id stay, its attempts are counted', async () => {
  const server = await posthogLike(() => ({ status: 503 }))
  const transport = opened(server.url)
  const [first, second] = [outgoingEvents(5), outgoingEvents(5).slice(1)]
  for (const events of [first, first, second, first]) {
    await transport.send(events)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const [one, two, other, three] = server.asked
  const headerOf = (name: string) => server.asked.map(({ headers }) => headers[name])
  expect(headerOf('posthog-attempt')).toEqual(['1', '2', '1', '3'])
  expect(one?.headers['posthog-request-id']).toBe(three?.headers['posthog-request-id'])
  expect(one?.headers['posthog-request-id']).not.toBe(other?.headers['posthog-request-id'])
  expect([two?.body, three?.body]).toEqual([one?.body, one?.body])
  expect(new Set(headerOf('posthog-request-timestamp')).size).toBe(4)
})

test('an event that is there twice goes out once, and its answer is that of both', async () => {
  const [a, b] = [outgoingEvent(1), outgoingEvent(2)]
  const server = await posthogLike(() => ({
    body: { results: { [a.uuid]: { result: 'drop', details: 'rejected' }, [b.uuid]: { result: 'ok' } } },
  }))
  const answer = await opened(server.url).send([a, b, { ...a }])
  expect(answer).toMatchObject({ results: [{ kind: 'drop' }, { kind: 'ok' }, { kind: 'drop' }] })
  const sent: { batch: { uuid: string }[] } = JSON.parse(server.asked[0]?.body ?? '')
  expect(sent.batch.map(({ uuid }) => uuid)).toEqual(uuidsOf([a, b]))
})

test('two events with one uuid in one request are a bug, and nothing is sent', async () => {
  const server = await posthogLike(() => ({}))
  const [a, other] = [outgoingEvent(1), outgoingEvent(1, { event: 'another' })]
  await expect(opened(server.url).send([a, other])).rejects.toThrow(a.uuid)
  expect(server.asked).toEqual([])
})

test('every answer for an event has its meaning, and the order of the events', async () => {
  const answer = await answerTo(
    [
      { result: 'ok' },
      { result: 'warning', details: 'person_processing_disabled' },
      { result: 'warning', details: 'something_new' },
      { result: 'warning' },
      { result: 'drop', details: 'event_name_too_long' },
      { result: 'drop', details: 'something_new' },
      { result: 'drop' },
      { result: 'retry', details: 'not_persisted' },
      undefined,
      { result: 'something_new' },
      { result: 'ok', details: 'person_processing_disabled' },
    ],
    { 'retry-after': '3' },
  )
  expect(answer).toEqual({
    kind: 'each',
    afterMs: 3000,
    results: [
      { kind: 'ok' },
      { kind: 'warning', warning: 'person_processing_disabled', detail: 'person_processing_disabled' },
      { kind: 'warning', warning: 'other', detail: 'something_new' },
      { kind: 'warning', warning: 'other', detail: '' },
      { kind: 'drop', detail: 'dropped by PostHog: its name is longer than 200 bytes (event_name_too_long)' },
      { kind: 'drop', detail: 'dropped by PostHog: something_new' },
      { kind: 'drop', detail: 'dropped by PostHog without a reason' },
      { kind: 'retry', detail: 'not_persisted' },
      { kind: 'retry', detail: 'PostHog did not say what became of it' },
      { kind: 'ok' },
      { kind: 'warning', warning: 'person_processing_disabled', detail: 'person_processing_disabled' },
    ],
  })
})

test.each(['billing_limit_exceeded', 'survey_responses_over_quota'])(
  'one event dropped for %s makes the request a matter for a person, whatever became of the others',
  async (details) => {
    const answer = await answerTo([{ result: 'ok' }, { result: 'drop', details }, { result: 'drop' }])
    expect(answer).toEqual({ kind: 'operator', status: 402, detail: details })
  },
)

test.each([402, 429])('a request refused with %i over the billing limit is a matter for a person', async (status) => {
  const body = { error: 'billing_limit_exceeded', error_description: 'billing limit exceeded', error_uri: '' }
  const server = await posthogLike(() => ({ status, headers: { 'retry-after': '1' }, body }))
  expect(await opened(server.url).send(outgoingEvents(2))).toEqual({
    kind: 'operator',
    status: 402,
    detail: `${status}: billing limit exceeded (billing_limit_exceeded)`,
  })
})

test.each([
  ['invalid_header_value', { kind: 'operator', status: 400 }],
  ['missing_required_headers', { kind: 'operator', status: 400 }],
  ['request_parsing_error', { kind: 'refused' }],
  ['missing_event_uuid', { kind: 'refused' }],
])('a request refused for %s is %o: only events can be found guilty', async (error, expected) => {
  const body = { error, error_description: 'no', error_uri: '' }
  const server = await posthogLike(() => ({ status: 400, body }))
  expect(await opened(server.url).send(outgoingEvents(2))).toEqual({ ...expected, detail: `400: no (${error})` })
})

test.each<[string, unknown]>([
  ['that of /batch/', { status: 'Ok' }],
  ['no object', { results: [] }],
  ['one without results for the events', { results: { x: 7 } }],
])('an acknowledgement that is %s is not success', async (_, body) => {
  const server = await posthogLike(() => ({ body }))
  expect(await opened(server.url).send(outgoingEvents(1))).toMatchObject({ kind: 'later' })
})

test('the key is in no answer for an event', async () => {
  const words = `${apiKey} ${'x'.repeat(300)}`
  for (const result of ['drop', 'retry', 'warning']) {
    const answer = await answerTo([{ result, details: words }])
    expect(JSON.stringify(answer)).not.toContain(apiKey)
    expect(JSON.stringify(answer)).toContain('[project key]')
  }
})
