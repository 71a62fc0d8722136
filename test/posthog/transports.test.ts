import { once } from 'node:events'
import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { batchTransport, sdkTransport, v1Transport } from '@heapferry/posthog'
import { retryAfterMs } from '../../packages/posthog/src/post.ts'
import { outgoingEvent, outgoingEvents, uuidsOf } from './outgoing-events.ts'
import { transportContract } from './transport-contract.ts'

transportContract('batch', batchTransport, { adds: {}, answersFor: 'requests' })
transportContract('v1', v1Transport, { adds: { $ignore_sent_at: true }, answersFor: 'events' })
transportContract('sdk', sdkTransport, {
  answersFor: 'requests',
  adds: { $lib: 'posthog-node', $lib_version: expect.any(String), $ignore_sent_at: true },
})

test('the batch transport never says when it sent', async () => {
  const posthog = await startFakePostHog()
  const transport = batchTransport({ host: posthog.url, apiKey: 'phc_test' })
  await transport.send(outgoingEvents(1))
  expect(posthog.batches).toMatchObject([{ outcome: 200, sentAt: null }])
  await transport.close()
  await posthog.stop()
})

test.each([
  ['batch', batchTransport],
  ['v1', v1Transport],
])(
  'the %s transport packs a body before it is sent, and fewer of its events as a body of their own',
  async (_, open) => {
    const posthog = await startFakePostHog()
    onTestFinished(() => posthog.stop())
    const transport = open({ host: posthog.url, apiKey: 'phc_test' })
    onTestFinished(() => transport.close())
    const events = outgoingEvents(5)
    const asGiven = [...events]
    expect(await transport.ready(events)).toEqual({ kind: 'ready' })
    expect(posthog.batches).toEqual([])
    // Nobody alters what was given; here it tells when the body was made.
    events.splice(0)
    expect(await transport.send(events)).toMatchObject({ kind: expect.stringMatching(/stored|each/) })
    expect([...posthog.stored.keys()]).toEqual(uuidsOf(asGiven))
    await transport.send(asGiven.slice(3))
    expect(posthog.batches.map((batch) => batch.events)).toEqual([5, 2])
  },
)

test('the sdk transport fails loudly where the SDK would replace a uuid', async () => {
  const posthog = await startFakePostHog()
  const transport = sdkTransport({ host: posthog.url, apiKey: 'phc_test' })
  await expect(transport.send([outgoingEvent(1, { uuid: 'not-a-uuid' })])).rejects.toThrow('sent other events')
  await transport.close()
  await posthog.stop()
})

test("a date in Retry-After is taken by the other side's clock, whatever ours says", async () => {
  const server = createServer((request, response) => {
    request.resume()
    response.sendDate = false
    response.setHeader('date', 'Wed, 16 Aug 2023 11:37:01 GMT')
    response.setHeader('retry-after', 'Wed, 16 Aug 2023 11:37:31 GMT')
    response.writeHead(429).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const transport = batchTransport({ host: `http://127.0.0.1:${address.port}`, apiKey: 'phc_test' })
  expect(await transport.send(outgoingEvents(1))).toMatchObject({ kind: 'later', afterMs: 30_000 })
  await transport.close()
  server.close()
})

test.each([
  ['7', 7000],
  ['0', 0],
  ['-3', 0],
  ['Wed, 16 Aug 2023 11:37:31 GMT', 30_000],
  ['Wed, 16 Aug 2023 11:00:00 GMT', 0],
  ['soon', null],
  ['', null],
  [null, null],
])('Retry-After %j means %j ms', (header, ms) => {
  expect(retryAfterMs(header, Date.parse('2023-08-16T11:37:01Z'))).toBe(ms)
})
