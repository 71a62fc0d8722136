import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { request } from 'undici'
import { z } from 'zod'
import { type FakePostHog, type FaultInput, isAbout, startFakePostHog } from '@heapferry/fake-posthog'

const started: FakePostHog[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((posthog) => posthog.stop()))
})

async function start(options: Parameters<typeof startFakePostHog>[0] = {}): Promise<FakePostHog> {
  const posthog = await startFakePostHog({ keep: 'events', ...options })
  started.push(posthog)
  return posthog
}

const uuid = '018a0000-0000-7000-8000-000000000001'
const good = { uuid, event: 'Bought', distinct_id: '42', timestamp: '2023-08-16T11:37:01.463Z', properties: { a: 1 } }

async function post(
  posthog: FakePostHog,
  body: unknown,
  { path = '/batch/', headers = {} }: { path?: string; headers?: Record<string, string> } = {},
) {
  const bytes = Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await request(posthog.url + path, { method: 'POST', body: bytes, headers })
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
}

function batchOf(...batch: unknown[]) {
  return { api_key: 'phc_test', historical_migration: true, batch }
}

test('an event is stored as it was sent, and answered with PostHog’s Ok', async () => {
  const posthog = await start()
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 200, text: '{"status":"Ok"}' })
  const { uuid: _, ...rest } = good
  expect(posthog.stored.get(uuid)).toEqual({ ...rest, times: 1 })
  expect(posthog.batches[0]).toMatchObject({ outcome: 200, events: 1, historicalMigration: true, sentAt: null })
})

test('/batch without the slash is the same endpoint, and "token" the same as "api_key"', async () => {
  const posthog = await start()
  expect(await post(posthog, { token: 'phc_test', batch: [good] }, { path: '/batch' })).toMatchObject({ status: 200 })
  expect(posthog.stored.size).toBe(1)
})

test.each(['/i/v1/ai/events', '/capture/', '/'])('%s does not exist', async (path) => {
  expect(await post(await start(), batchOf(good), { path })).toMatchObject({ status: 404 })
})

test('the same event again is counted, not stored twice', async () => {
  const posthog = await start()
  await post(posthog, batchOf(good, good))
  await post(posthog, batchOf(good))
  expect(posthog.stored.get(uuid)?.times).toBe(3)
  expect(posthog.stored.size).toBe(1)
})

test.each([{ event: 'Sold' }, { distinct_id: '43' }, { timestamp: '2023-08-16T11:37:01.464Z' }])(
  'a known uuid with %o is a second row',
  async (change) => {
    const posthog = await start()
    await post(posthog, batchOf(good, { ...good, ...change }, { ...good, ...change }))
    expect([...posthog.stored.keys()]).toEqual([uuid, `${uuid}#2`])
    expect(posthog.stored.get(`${uuid}#2`)).toMatchObject({ ...change, times: 2 })
  },
)

test.each([
  ['no event name', { distinct_id: '1' }],
  ['an event name that is a number', { ...good, event: 7 }],
  ['an empty event name', { ...good, event: '' }],
  ['no distinct_id', { event: 'a' }],
  ['a null distinct_id', { ...good, distinct_id: null }],
  ['a blank distinct_id', { ...good, distinct_id: ' \n' }],
  ['two distinct_ids', { ...good, $distinct_id: '42' }],
  ['a uuid that is none', { ...good, uuid: 'not-a-uuid' }],
  ['a timestamp that is a number', { ...good, timestamp: 1692185821463 }],
  ['properties that are null', { ...good, properties: null }],
  ['properties that are an array', { ...good, properties: [] }],
  ['$set that is a string', { ...good, $set: 'x' }],
  ['an offset that is no integer', { ...good, offset: 1.5 }],
  ['an event that is an array', []],
])('%s in one event fails the whole batch', async (_, bad) => {
  const posthog = await start()
  expect(await post(posthog, batchOf(good, bad))).toMatchObject({ status: 400 })
  expect(posthog.stored.size).toBe(0)
})

test.each([
  ['broken JSON', '{"api_key":"phc_test","batch":[{]}'],
  ['half a surrogate pair', JSON.stringify(batchOf({ ...good, distinct_id: '\ud83d' }))],
  ['bytes that are not UTF-8', Buffer.from(JSON.stringify(batchOf({ ...good, distinct_id: 'é' })), 'latin1')],
  ['an empty batch', batchOf()],
  ['a batch that is an object', { api_key: 'phc_test', batch: {} }],
  ['historical_migration as text', { ...batchOf(good), historical_migration: 'true' }],
  ['no token', { batch: [good] }],
  ['two tokens', { ...batchOf(good), token: 'phc_test' }],
  ['broken gzip', Buffer.from([0x1f, 0x8b, 8, 1, 2, 3])],
])('%s is a 400', async (_, body) => {
  expect(await post(await start(), body)).toMatchObject({ status: 400 })
})

test('a whole surrogate pair and an escaped backslash before "ud83d" are taken', async () => {
  const posthog = await start()
  const body = JSON.stringify(batchOf({ ...good, distinct_id: 'X' })).replace('X', String.raw`\ud83d\ude00\\ud83d`)
  expect(await post(posthog, body)).toMatchObject({ status: 200 })
  expect(posthog.stored.get(uuid)?.distinct_id).toBe('😀\\ud83d')
})

test('gzip is taken by its first bytes, with the header or without it', async () => {
  const posthog = await start()
  const body = gzipSync(JSON.stringify(batchOf(good)))
  expect(await post(posthog, body)).toMatchObject({ status: 200 })
  expect(await post(posthog, body, { headers: { 'content-encoding': 'gzip' } })).toMatchObject({ status: 200 })
  expect(posthog.stored.get(uuid)?.times).toBe(2)
})

test('a body that says gzip and is not is a 400', async () => {
  const answer = await post(await start(), batchOf(good), { headers: { 'content-encoding': 'gzip' } })
  expect(answer).toMatchObject({ status: 400 })
})

test('a body over 20 MiB is a 413', async () => {
  const body = Buffer.alloc(20 * 1024 * 1024 + 1, ' ')
  expect(await post(await start(), body)).toMatchObject({ status: 413 })
  expect(await post(await start(), body.subarray(1))).toMatchObject({ status: 400 })
})

test('a body that unpacks to more than 100 MiB is a 413', async () => {
  const body = gzipSync(Buffer.alloc(100 * 1024 * 1024 + 1, ' '), { level: 1 })
  expect(await post(await start(), body)).toMatchObject({ status: 413 })
})

test('one event over 1,000,000 bytes as JSON in JSON is a 413, though the events before it are stored', async () => {
  const posthog = await start()
  // Each quote is \" in JSON and \\\" in JSON in JSON: 4 bytes.
  const large = (quotes: number) => ({ ...good, properties: { text: '"'.repeat(quotes) } })
  // What is left is for the rest of the event, and for some 350 bytes of an envelope.
  expect(await post(posthog, batchOf(large(249_830)))).toMatchObject({ status: 200 })
  expect(await post(posthog, batchOf({ ...large(249_900), uuid: randomUUID() }))).toMatchObject({ status: 413 })
  const first = { ...good, uuid: randomUUID() }
  const last = { ...good, uuid: randomUUID() }
  expect(await post(posthog, batchOf(first, large(250_000), last))).toMatchObject({ status: 413 })
  expect([...posthog.stored.keys()]).toEqual([uuid, first.uuid])
})

test.each([
  ['2023-08-16T11:37:01.463Z', '2023-08-16T11:37:01.463Z'],
  ['2023-08-16T11:37:01.463999Z', '2023-08-16T11:37:01.463Z'],
  ['2023-08-16T13:37:01+02:00', '2023-08-16T11:37:01.000Z'],
  ['2023-08-16T06:07:01.000-05:30', '2023-08-16T11:37:01.000Z'],
  ['2023-08-16T13:37:01+02', '2023-08-16T11:37:01.000Z'],
  ['2023-08-16 11:37:01.463000', '2023-08-16T11:37:01.463Z'],
  ['1692185821463', '2023-08-16T11:37:01.463Z'],
  ['1692185821', '2023-08-16T11:37:01.000Z'],
])('the timestamp %s is stored as %s', async (sent, stored) => {
  const posthog = await start()
  await post(posthog, batchOf({ ...good, timestamp: sent }))
  expect(posthog.stored.get(uuid)?.timestamp).toBe(stored)
})

test.each([
  'yesterday',
  '',
  null,
  undefined,
  '2023-02-30T00:00:00Z',
  '2023-08-16T24:00:00Z',
  new Date(Date.now() + 24 * 3600_000).toISOString(),
])('the timestamp %s becomes now', async (timestamp) => {
  const posthog = await start()
  const before = Date.now()
  expect(await post(posthog, batchOf({ ...good, timestamp }))).toMatchObject({ status: 200 })
  const stored = Date.parse(posthog.stored.get(uuid)?.timestamp ?? '')
  expect(stored).toBeGreaterThanOrEqual(before)
  expect(stored).toBeLessThanOrEqual(Date.now())
})

test('a timestamp 22 h ahead stays', async () => {
  const posthog = await start()
  const timestamp = new Date(Date.now() + 22 * 3600_000).toISOString()
  await post(posthog, batchOf({ ...good, timestamp }))
  expect(posthog.stored.get(uuid)?.timestamp).toBe(timestamp)
})

test('sent_at shifts every timestamp by the difference of the clocks', async () => {
  const posthog = await start()
  const sentAt = new Date(Date.now() - 3600_000).toISOString()
  await post(posthog, { ...batchOf(good), sent_at: sentAt })
  const shiftMs = Date.parse(posthog.stored.get(uuid)?.timestamp ?? '') - Date.parse(good.timestamp)
  expect(shiftMs).toBeGreaterThanOrEqual(3600_000)
  expect(shiftMs).toBeLessThanOrEqual(Date.now() - Date.parse(sentAt))
})

test('$ignore_sent_at keeps a timestamp as it is', async () => {
  const posthog = await start()
  const event = { ...good, properties: { $ignore_sent_at: true } }
  await post(posthog, { ...batchOf(event), sent_at: '2020-01-01T00:00:00Z' })
  expect(posthog.stored.get(uuid)?.timestamp).toBe(good.timestamp)
})

test.each([
  ['that is a number becomes text', 42, '42'],
  ['that is an object becomes its JSON', { a: 1 }, '{"a":1}'],
  ['keeps the spaces around it', ' 42 ', ' 42 '],
  ['loses its NULs', '4\u00002', '4\ufffd2'],
  ['is cut after 200 characters', 'é'.repeat(201), 'é'.repeat(200)],
  ['is counted in characters, not UTF-16 units', '😀'.repeat(150), '😀'.repeat(150)],
])('a distinct_id %s', async (_, sent, stored) => {
  const posthog = await start()
  await post(posthog, batchOf({ ...good, distinct_id: sent }))
  expect(posthog.stored.get(uuid)?.distinct_id).toBe(stored)
})

test('distinct_id may stand in $distinct_id or in the properties', async () => {
  const posthog = await start()
  await post(posthog, batchOf({ event: 'a', $distinct_id: '1' }, { event: 'b', properties: { distinct_id: '2' } }))
  expect([...posthog.stored.values()].map((event) => event.distinct_id)).toEqual(['1', '2'])
})

test('a uuid without hyphens or in capitals is the same uuid; an empty one is made up', async () => {
  const posthog = await start()
  const spellings = [uuid.toUpperCase(), uuid.replaceAll('-', ''), `urn:uuid:${uuid}`, '']
  await post(posthog, batchOf(...spellings.map((spelling) => ({ ...good, uuid: spelling }))))
  expect(posthog.stored.size).toBe(2)
  expect(posthog.stored.get(uuid)?.times).toBe(3)
})

test('a well-shaped token that no project has is answered 200, and everything is dropped', async () => {
  const posthog = await start({ apiKey: 'phc_right' })
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 200, text: '{"status":"Ok"}' })
  expect(posthog.stored.size).toBe(0)
  expect(await counts(posthog)).toMatchObject({ dropped: 1, stored: 0 })
})

test.each(['', 'phx_personal', 'phc_'.repeat(17), 'phc_é'])('the malformed token %j is a 401', async (token) => {
  expect(await post(await start(), { ...batchOf(good), api_key: token })).toMatchObject({ status: 401 })
})

test('/flags/ knows which token has a project', async () => {
  const posthog = await start({ apiKey: 'phc_right' })
  const path = '/flags/?v=2'
  expect(await post(posthog, { token: 'phc_right', distinct_id: 'x' }, { path })).toMatchObject({ status: 200 })
  expect(await post(posthog, { token: 'phc_wrong', distinct_id: 'x' }, { path })).toMatchObject({ status: 401 })
  expect(await post(posthog, {}, { path })).toMatchObject({ status: 401 })
})

async function counts(posthog: FakePostHog): Promise<unknown> {
  const answer = await request(`${posthog.url}/_fake/counts`)
  return answer.body.json()
}

test('another process can ask for the counts', async () => {
  const posthog = await start()
  const other = { ...good, uuid: randomUUID(), event: 'Sold', timestamp: '2023-08-17T00:00:00.000Z' }
  await post(posthog, batchOf(good, good, other))
  await post(posthog, batchOf())
  expect(await counts(posthog)).toEqual({
    requests: { '200': 1, '400': 1 },
    stored: 2,
    duplicates: 1,
    uuidClashes: 0,
    dropped: 0,
    byEvent: { Bought: 1, Sold: 1 },
    byDay: { '2023-08-16': 1, '2023-08-17': 1 },
    persons: 1,
    merges: 0,
    refusedMerges: { illegal_distinct_id: 0, already_identified: 0, alias_is_no_text: 0 },
  })
})

const Page = z.object({ events: z.array(z.object({ uuid: z.string() })), next: z.number().nullable() })

test('another process can page through the events', async () => {
  const posthog = await start()
  const events = Array.from({ length: 5 }, () => ({ ...good, uuid: randomUUID() }))
  await post(posthog, batchOf(...events))
  const seen: unknown[] = []
  const pages: unknown[] = []
  for (let offset: number | null = 0; offset !== null; ) {
    const answer = await request(`${posthog.url}/_fake/events?offset=${offset}&limit=2`)
    const page = Page.parse(await answer.body.json())
    seen.push(...page.events.map((event) => event.uuid))
    pages.push(page.events.length)
    offset = page.next
  }
  expect(seen).toEqual(events.map((event) => event.uuid))
  expect(pages).toEqual([2, 2, 1])
})

test('another process can set and clear faults, and is told what is wrong with one', async () => {
  const posthog = await start()
  const path = '/_fake/faults'
  expect(await post(posthog, { kind: 'status', status: 503 }, { path })).toMatchObject({ status: 200 })
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 503 })
  await request(posthog.url + path, { method: 'DELETE' })
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 200 })
  expect(await post(posthog, { kind: 'refuse_event' }, { path })).toMatchObject({
    status: 400,
    text: expect.stringContaining('at least one of event, uuids and everyNth'),
  })
})

test('429 carries Retry-After in seconds and stores nothing', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 7, next: 1 })
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 429, headers: { 'retry-after': '7' } })
  expect(posthog.stored.size).toBe(0)
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 200 })
})

test('a reset breaks the connection before anything is stored', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'reset', next: 1 })
  await expect(post(posthog, batchOf(good))).rejects.toThrow()
  expect(posthog.stored.size).toBe(0)
  expect(posthog.requests).toEqual({ reset: 1 })
})

test('a lost answer breaks the connection after everything is stored', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'answer_lost', next: 1 })
  await expect(post(posthog, batchOf(good))).rejects.toThrow()
  expect(posthog.stored.size).toBe(1)
  expect(posthog.requests).toEqual({ answer_lost: 1 })
})

test('latencies add up and combine with other faults', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'latency', ms: 60 })
  posthog.fault({ kind: 'latency', ms: 60 })
  posthog.fault({ kind: 'status', status: 500 })
  const before = performance.now()
  expect(await post(posthog, batchOf(good))).toMatchObject({ status: 500 })
  expect(performance.now() - before).toBeGreaterThanOrEqual(119)
})

test.each<[string, FaultInput]>([
  ['its name', { kind: 'refuse_event', event: 'Bought' }],
  ['its uuid', { kind: 'refuse_event', uuids: [uuid] }],
])('an event refused by %s fails every batch that holds it, and no other', async (_, fault) => {
  const posthog = await start()
  posthog.fault(fault)
  const other = { ...good, uuid: randomUUID(), event: 'Sold' }
  expect(await post(posthog, batchOf(other, good))).toMatchObject({ status: 400 })
  expect(await post(posthog, batchOf(other))).toMatchObject({ status: 200 })
  expect([...posthog.stored.keys()]).toEqual([other.uuid])
})

test('every nth event is refused by its uuid: about that many, always the same', () => {
  const events = Array.from({ length: 2000 }, () => ({ event: 'a', uuid: randomUUID() }))
  const refused = () => events.filter((event) => isAbout({ everyNth: 10 }, event))
  expect(refused()).toEqual(refused())
  expect(refused().length).toBeGreaterThan(120)
  expect(refused().length).toBeLessThan(280)
})

async function statuses(posthog: FakePostHog, count: number): Promise<number[]> {
  const seen: number[] = []
  for (let i = 0; i < count; i += 1) seen.push((await post(posthog, batchOf(good))).status)
  return seen
}

test('a probability falls the same way for the same seed', async () => {
  const [first, second] = [await start(), await start()]
  for (const posthog of [first, second]) posthog.fault({ kind: 'status', status: 500, probability: 0.5, seed: 3 })
  const seen = await statuses(first, 40)
  expect(seen).toEqual(await statuses(second, 40))
  expect(seen.filter((status) => status === 500).length).toBeGreaterThan(8)
  expect(seen.filter((status) => status === 200).length).toBeGreaterThan(8)
})

test('a fault for some time is over after it', async () => {
  const posthog = await start()
  posthog.fault({ kind: 'status', status: 500, forMs: 600 })
  expect(await statuses(posthog, 1)).toEqual([500])
  await expect.poll(() => statuses(posthog, 1), { timeout: 5000 }).toEqual([200])
})

test('stopping breaks off requests that are being made to wait', async () => {
  const posthog = await startFakePostHog()
  posthog.fault({ kind: 'latency', ms: 60_000 })
  const sent = post(posthog, batchOf(good)).catch((error: unknown) => error)
  await counts(posthog)
  await posthog.stop()
  expect(await sent).toBeInstanceOf(Error)
  expect(posthog.stored.size).toBe(0)
})
