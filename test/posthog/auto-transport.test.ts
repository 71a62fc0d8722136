import { startFakePostHog } from '@heapferry/fake-posthog'
import { openTransport } from '@heapferry/posthog'
import { expect, onTestFinished, test } from 'vitest'
import { outgoingEvents, uuidsOf } from './outgoing-events.ts'
import { type Asked, posthogLike } from './posthog-like.ts'

const apiKey = 'phc_auto'
const stored = { kind: 'stored' }

async function opened(host: string) {
  const choices: string[] = []
  const transport = await openTransport('auto', { host, apiKey, timeoutMs: 5000 }, (chosen, reason) => {
    choices.push(`${chosen}: ${reason}`)
  })
  onTestFinished(() => transport.close())
  return { transport, choices }
}

async function started() {
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  return { posthog, ...(await opened(posthog.url)) }
}

test('where v1 is there it is used, found out once and without an event', async () => {
  const { posthog, transport, choices } = await started()
  const events = outgoingEvents(40)
  const parts = [0, 10, 20, 30].map((at) => events.slice(at, at + 10))
  expect(await Promise.all(parts.map((part) => transport.send(part)))).toEqual([stored, stored, stored, stored])
  expect(posthog.batches.map(({ endpoint }) => endpoint)).toEqual(['v1', 'v1', 'v1', 'v1'])
  expect(choices).toEqual(['v1: /i/v1/analytics/events is there'])
})

test('where v1 is missing, batch is used', async () => {
  const { posthog, transport, choices } = await started()
  posthog.fault({ kind: 'v1_missing' })
  expect(await transport.send(outgoingEvents(3))).toEqual(stored)
  expect(posthog.batches).toMatchObject([{ endpoint: 'batch', outcome: 200, events: 3 }])
  expect(choices).toEqual(['batch: /i/v1/analytics/events is not there (status 404)'])
})

test.each([403, 404, 405])('where %i comes in the middle, all the rest goes by batch, once', async (status) => {
  const { posthog, transport, choices } = await started()
  const events = outgoingEvents(60)
  const parts = [0, 20, 40].map((at) => events.slice(at, at + 20))
  expect(await transport.send(parts[0] ?? [])).toEqual(stored)
  // The two requests that are under way find it gone; those of /batch/ that follow do not.
  posthog.fault({ kind: 'status', status, next: 2 })
  expect(await Promise.all(parts.slice(1).map((part) => transport.send(part)))).toEqual([stored, stored])
  expect([...posthog.stored.values()].map(({ times }) => times)).toEqual(events.map(() => 1))
  expect(new Set(posthog.stored.keys())).toEqual(new Set(uuidsOf(events)))
  expect(choices).toEqual([
    'v1: /i/v1/analytics/events is there',
    expect.stringContaining(`batch: /i/v1/analytics/events is not there any more (${status}`),
  ])
})

test('while PostHog is away nothing is chosen, and Retry-After is handed on', async () => {
  const { posthog, transport, choices } = await started()
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 7 })
  for (let asked = 0; asked < 5; asked += 1) {
    expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'later', afterMs: 7000, status: 429 })
  }
  expect(choices).toEqual([])
  posthog.clearFaults()
  expect(await transport.send(outgoingEvents(1))).toEqual(stored)
  expect(choices).toEqual(['v1: /i/v1/analytics/events is there'])
})

test('a hiccup of the first question does not decide', async () => {
  const { posthog, transport, choices } = await started()
  posthog.fault({ kind: 'reset', next: 1 })
  expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'later' })
  expect(await transport.send(outgoingEvents(1))).toEqual(stored)
  expect(choices).toEqual(['v1: /i/v1/analytics/events is there'])
})

const isV1 = ({ path }: Asked) => path === '/i/v1/analytics/events'

test('a host that answers 503 to v1 and takes /batch/ is used by batch after some questions', async () => {
  const { url } = await posthogLike((asked) =>
    isV1(asked) ? { status: 503 } : asked.body === '' ? { status: 400 } : { body: { status: 'Ok' } },
  )
  const { transport, choices } = await opened(url)
  expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'later', status: 503 })
  expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'later', status: 503 })
  expect(await transport.send(outgoingEvents(1))).toEqual(stored)
  expect(choices).toEqual(['batch: /i/v1/analytics/events is not there (status 503)'])
})

test.each<[string, { status?: number; body?: unknown }]>([
  ['a friendly page', { body: '<html>Welcome</html>' }],
  ['success', { body: { results: {} } }],
  ['a refusal without words', { status: 400 }],
  ['a refusal of the headers', { status: 400, body: { error: 'invalid_header_value' } }],
  ['a demand to log in', { status: 401 }],
  ['a redirect', { status: 308 }],
])('%s in answer to the question is no clear yes: batch', async (_, answer) => {
  const { url, asked } = await posthogLike((one) => (isV1(one) ? answer : { body: { status: 'Ok' } }))
  const { transport, choices } = await opened(url)
  expect(await transport.send(outgoingEvents(1))).toEqual(stored)
  expect(asked.map(({ path }) => path)).toEqual(['/i/v1/analytics/events', '/batch/'])
  expect(choices).toEqual([expect.stringMatching(/^batch: /)])
})

test('there is one question for all that send at once, and it holds no event', async () => {
  const { url, asked } = await posthogLike((one) => (isV1(one) ? { status: 404 } : { body: { status: 'Ok' } }))
  const { transport } = await opened(url)
  await Promise.all([1, 2, 3, 4].map((count) => transport.send(outgoingEvents(count))))
  expect(asked.filter(isV1)).toHaveLength(1)
  expect(asked[0]).toMatchObject({ body: '', headers: { 'content-length': '0', 'posthog-attempt': '1' } })
})
