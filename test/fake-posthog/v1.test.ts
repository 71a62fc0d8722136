import { randomUUID } from 'node:crypto'
import { deflateSync, gzipSync } from 'node:zlib'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { request } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'

async function start(options: Parameters<typeof startFakePostHog>[0] = {}): Promise<FakePostHog> {
  const posthog = await startFakePostHog({ keep: 'events', ...options })
  onTestFinished(() => posthog.stop())
  return posthog
}

const uuid = '018a0000-0000-7000-8000-000000000001'
const good = {
  uuid,
  event: 'Bought',
  distinct_id: '42',
  timestamp: '2023-08-16T11:37:01.463Z',
  options: { disable_skew_correction: true },
  properties: { a: 1 },
}

const path = '/i/v1/analytics/events'

function headersOf(changes: Record<string, string | undefined> = {}): Record<string, string> {
  const headers: Record<string, string | undefined> = {
    authorization: 'Bearer phc_test',
    'content-type': 'application/json',
    'posthog-sdk-info': 'tests',
    'posthog-attempt': '1',
    'posthog-request-id': randomUUID(),
    'posthog-request-timestamp': new Date().toISOString(),
    'user-agent': 'tests',
    ...changes,
  }
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}

async function post(posthog: FakePostHog, body: unknown, changes: Record<string, string | undefined> = {}) {
  const bytes = Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await request(posthog.url + path, { method: 'POST', body: bytes, headers: headersOf(changes) })
  const text = await answer.body.text()
  const json: unknown = text === '' ? null : JSON.parse(text)
  return { status: answer.statusCode, headers: answer.headers, json }
}

function batchOf(...batch: unknown[]) {
  return { created_at: '2026-11-01T00:00:00Z', historical_migration: true, batch }
}

const Results = z.object({ results: z.record(z.string(), z.unknown()) })

async function resultOf(posthog: FakePostHog, change: object): Promise<unknown> {
  const { json } = await post(posthog, batchOf({ ...good, ...change }))
  return Results.parse(json).results[uuid]
}

test('an event is stored as it was sent, and answered by its uuid', async () => {
  const posthog = await start()
  const answer = await post(posthog, batchOf(good))
  expect(answer).toMatchObject({ status: 200, json: { results: { [uuid]: { result: 'ok' } } } })
  expect(answer.headers['retry-after']).toBeUndefined()
  expect(posthog.stored.get(uuid)).toMatchObject({
    event: 'Bought',
    distinct_id: '42',
    timestamp: '2023-08-16T11:37:01.463Z',
    properties: { a: 1, $ignore_sent_at: true },
  })
  expect(posthog.batches).toMatchObject([{ endpoint: 'v1', outcome: 200, events: 1, historicalMigration: true }])
})

test.each([
  [{ authorization: undefined }, 401, 'missing_authorization'],
  [{ authorization: 'Basic abc' }, 400, 'invalid_header_value'],
  [{ authorization: 'Bearer phx_personal' }, 401, 'invalid_api_token'],
  [{ 'posthog-attempt': undefined }, 400, 'missing_required_headers'],
  [{ 'posthog-attempt': '0' }, 400, 'invalid_header_value'],
  [{ 'posthog-request-id': 'seven' }, 400, 'invalid_header_value'],
  [{ 'posthog-request-timestamp': '2026-11-01 00:00:00' }, 400, 'invalid_header_value'],
  [{ 'posthog-sdk-info': undefined }, 400, 'missing_required_headers'],
  [{ 'user-agent': undefined }, 400, 'missing_required_headers'],
  [{ 'content-type': 'text/plain' }, 415, 'unsupported_content_type'],
  [{ 'content-encoding': 'lz4' }, 415, 'unsupported_encoding'],
])('with the headers %o the whole request is a %i %s', async (changes, status, error) => {
  const posthog = await start()
  expect(await post(posthog, batchOf(good), changes)).toMatchObject({ status, json: { error } })
  expect(posthog.stored.size).toBe(0)
})

test.each<[string, unknown, number, string]>([
  ['without a byte', '', 400, 'empty_body'],
  ['that is no JSON', '{', 400, 'request_parsing_error'],
  ['without created_at', { batch: [good] }, 400, 'request_parsing_error'],
  ['whose created_at is no RFC 3339', { ...batchOf(good), created_at: '2026-11-01' }, 400, 'invalid_batch'],
  ['without events', batchOf(), 400, 'empty_batch'],
  ['with an event whose name is a number', batchOf(good, { ...good, event: 7 }), 400, 'request_parsing_error'],
  ['with an event without timestamp', batchOf({ ...good, timestamp: undefined }), 400, 'request_parsing_error'],
  ['with half a surrogate pair', batchOf({ ...good, distinct_id: '\ud83d' }), 400, 'request_parsing_error'],
  ['with an empty uuid', batchOf({ ...good, uuid: ' ' }), 400, 'missing_event_uuid'],
  ['with a uuid that is none', batchOf({ ...good, uuid: 'seven' }), 400, 'invalid_event_uuid'],
  [
    'with one uuid twice',
    batchOf(good, { ...good, uuid: uuid.toUpperCase(), event: 'Sold' }),
    400,
    'duplicate_event_uuid',
  ],
  ['over 10 MiB', Buffer.alloc(10 * 1024 * 1024 + 1, ' '), 413, 'payload_too_large'],
])('a body %s is refused as a whole', async (_, body, status, error) => {
  const posthog = await start()
  expect(await post(posthog, body)).toMatchObject({ status, json: { error } })
  expect(posthog.stored.size).toBe(0)
})

test('gzip is unpacked where the header says so; what is none, and more than 50 MiB, is refused', async () => {
  const posthog = await start()
  const gzip = { 'content-encoding': 'gzip' }
  expect(await post(posthog, gzipSync(JSON.stringify(batchOf(good))), gzip)).toMatchObject({ status: 200 })
  expect(await post(posthog, deflateSync('{}'), gzip)).toMatchObject({ status: 400 })
  const large = gzipSync(Buffer.alloc(50 * 1024 * 1024 + 1, ' '), { level: 1 })
  expect(await post(posthog, large, gzip)).toMatchObject({ status: 413 })
})

test.each([
  [{ event: '' }, 'missing_event_name'],
  [{ event: 'é'.repeat(101) }, 'event_name_too_long'],
  [{ event: '$performance_event' }, 'dropped_performance_event'],
  [{ distinct_id: ' \n' }, 'missing_distinct_id'],
  [{ distinct_id: 'é'.repeat(101) }, 'distinct_id_too_large'],
  [{ timestamp: 'yesterday' }, 'invalid_event_timestamp'],
  [{ timestamp: '2023-08-16 11:37:01Z' }, 'invalid_event_timestamp'],
  [{ timestamp: '2023-02-30T00:00:00Z' }, 'invalid_event_timestamp'],
  [{ properties: [] }, 'malformed_event_properties'],
  [{ properties: null }, 'malformed_event_properties'],
  [{ options: [] }, 'invalid_options'],
  [{ options: { process_person_profile: 'perhaps' } }, 'invalid_options'],
])('an event with %o is dropped alone', async (change, details) => {
  const posthog = await start()
  const other = { ...good, uuid: randomUUID() }
  const { json } = await post(posthog, batchOf({ ...good, ...change }, other))
  expect(json).toEqual({ results: { [uuid]: { result: 'drop', details }, [other.uuid]: { result: 'ok' } } })
  expect([...posthog.stored.keys()]).toEqual([other.uuid])
})

test('an event over 1,000,000 bytes as JSON in JSON is dropped alone', async () => {
  const posthog = await start()
  const large = { text: '"'.repeat(250_000) }
  expect(await resultOf(posthog, { properties: large })).toEqual({ result: 'drop', details: 'event_too_big' })
  // What is left is for the rest of the event, and for some 350 bytes of an envelope.
  expect(await resultOf(posthog, { properties: { text: large.text.slice(200) } })).toEqual({ result: 'ok' })
  expect(await resultOf(posthog, { properties: { text: large.text.slice(100) } })).toMatchObject({ result: 'drop' })
})

test('a distinct_id loses the spaces around it, and may have 200 bytes', async () => {
  const posthog = await start()
  expect(await resultOf(posthog, { distinct_id: ` ${'é'.repeat(100)} ` })).toEqual({ result: 'ok' })
  expect(posthog.stored.get(uuid)?.distinct_id).toBe('é'.repeat(100))
})

test.each(['anonymous', 'System', ' NULL ', '[object Object]'])('the id %j is stored, with a remark', async (id) => {
  const posthog = await start()
  expect(await resultOf(posthog, { distinct_id: id })).toEqual({
    result: 'ok',
    details: 'person_processing_disabled',
  })
  expect(posthog.stored.size).toBe(1)
})

test('with the option a timestamp is stored as it is, and without it none is far in the future', async () => {
  const posthog = await start()
  const timestamp = new Date(Date.now() + 48 * 3600_000).toISOString()
  await post(posthog, batchOf({ ...good, timestamp }, { ...good, uuid: randomUUID(), timestamp, options: {} }))
  const [kept, clamped] = [...posthog.stored.values()].map((event) => event.timestamp)
  expect(kept).toBe(timestamp)
  expect(Date.parse(clamped ?? '')).toBeLessThanOrEqual(Date.now())
})

test('half a surrogate pair in properties is taken: v1 does not read them', async () => {
  const posthog = await start()
  expect(await resultOf(posthog, { properties: { text: '\ud83d' } })).toEqual({ result: 'ok' })
  for (const change of [{ event: '\ud83d' }, { options: { product_tour_id: '\udc00' } }, { session_id: '\ud83d' }]) {
    expect(await post(posthog, batchOf({ ...good, ...change }))).toMatchObject({ status: 400 })
  }
})

test('without the option a timestamp is shifted by the difference of the clocks', async () => {
  const posthog = await start()
  const hourAgo = new Date(Date.now() - 3600_000).toISOString()
  await post(posthog, batchOf({ ...good, options: {} }), { 'posthog-request-timestamp': hourAgo })
  const shiftMs = Date.parse(posthog.stored.get(uuid)?.timestamp ?? '') - Date.parse(good.timestamp)
  expect(shiftMs).toBeGreaterThanOrEqual(3600_000)
  expect(shiftMs).toBeLessThanOrEqual(Date.now() - Date.parse(hourAgo))
})

test.each([
  ['posthog-rs/1.2', { $lib: 'posthog-rs', $lib_version: '1.2' }],
  ['tests 1.2', { $lib: 'web' }],
])('the sender %s leaves %o in every event', async (sdk, properties) => {
  const posthog = await start()
  const event = { ...good, options: {}, properties: { $lib: 'web' } }
  await post(posthog, batchOf(event), { 'posthog-sdk-info': sdk })
  expect(posthog.stored.get(uuid)?.properties).toEqual(properties)
})

test('a well-shaped token that no project has is answered ok, and everything is dropped', async () => {
  const posthog = await start({ apiKey: 'phc_right' })
  expect(await resultOf(posthog, {})).toEqual({ result: 'ok' })
  expect(posthog.stored.size).toBe(0)
})

test('over the billing limit v1 says so for every event, and /batch/ says nothing unless told to', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'billing_limit', event: 'Bought' })
  const other = { ...good, uuid: randomUUID(), event: 'Sold' }
  const { json } = await post(posthog, batchOf(good, other))
  const dropped = { result: 'drop', details: 'billing_limit_exceeded' }
  expect(json).toEqual({ results: { [uuid]: dropped, [other.uuid]: { result: 'ok' } } })

  const body = JSON.stringify({ api_key: 'phc_test', batch: [good, other] })
  const answer = await request(`${posthog.url}/batch/`, { method: 'POST', body })
  expect([answer.statusCode, await answer.body.text()]).toEqual([200, '{"status":"Ok"}'])
  expect([...posthog.stored.keys()]).toEqual([other.uuid])

  posthog.clearFaults()
  posthog.fault({ kind: 'billing_limit', told: true })
  const told = await request(`${posthog.url}/batch/`, { method: 'POST', body })
  expect(await told.body.json()).toEqual({ status: 'Ok', quota_limited: ['events'] })
  expect((await post(posthog, batchOf(good, other))).json).toEqual({
    results: { [uuid]: dropped, [other.uuid]: dropped },
  })
})

function named(event: string) {
  return { ...good, uuid: randomUUID(), event }
}

test('an event can be refused, wanted again, or remarked on; the others of its request are stored', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'refuse_event', event: 'A', details: 'event_restriction_drop' })
  posthog.fault({ kind: 'retry_event', event: 'B' })
  posthog.fault({ kind: 'warn_event', event: 'C' })
  const [a, b, c, d] = [named('A'), named('B'), named('C'), named('D')]
  const { json, headers } = await post(posthog, batchOf(a, b, c, d))
  expect(json).toEqual({
    results: {
      [a.uuid]: { result: 'drop', details: 'event_restriction_drop' },
      [b.uuid]: { result: 'retry', details: 'not_persisted' },
      [c.uuid]: { result: 'warning', details: 'person_processing_disabled' },
      [d.uuid]: { result: 'ok' },
    },
  })
  expect(headers['retry-after']).toBe('1')
  expect([...posthog.stored.keys()]).toEqual([c.uuid, d.uuid])
})

test('where v1 is missing it is a 404, and /batch/ goes on', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'v1_missing' })
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 404 })
  const body = JSON.stringify({ api_key: 'phc_test', batch: [good] })
  expect(await request(`${posthog.url}/batch/`, { method: 'POST', body })).toMatchObject({ statusCode: 200 })
})

test('a question without a body is answered, and is no batch', async () => {
  const posthog = await start()
  expect(await post(posthog, '')).toMatchObject({ status: 400, json: { error: 'empty_body' } })
  expect([posthog.batches, posthog.requests]).toEqual([[], {}])
})
