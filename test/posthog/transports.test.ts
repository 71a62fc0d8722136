import { expect, test } from 'vitest'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { batchTransport, sdkTransport, v1Transport } from '@heapferry/posthog'
import { retryAfterMs } from '../../packages/posthog/src/transport.ts'
import { outgoingEvent, outgoingEvents } from './outgoing-events.ts'
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

test('the sdk transport fails loudly where the SDK would replace a uuid', async () => {
  const posthog = await startFakePostHog()
  const transport = sdkTransport({ host: posthog.url, apiKey: 'phc_test' })
  await expect(transport.send([outgoingEvent(1, { uuid: 'not-a-uuid' })])).rejects.toThrow('sent other events')
  await transport.close()
  await posthog.stop()
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
