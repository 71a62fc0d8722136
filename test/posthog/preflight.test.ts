import { afterEach, expect, test } from 'vitest'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { preflight } from '@heapferry/posthog'

const started: FakePostHog[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((posthog) => posthog.stop()))
})

async function start(): Promise<FakePostHog> {
  const posthog = await startFakePostHog({ apiKey: 'phc_right' })
  started.push(posthog)
  return posthog
}

test('a key with a project raises no problem and sends no event', async () => {
  const posthog = await start()
  expect(await preflight({ host: posthog.url, apiKey: 'phc_right' })).toEqual([])
  expect(posthog.batches).toEqual([])
})

test('a mistyped key is found, although /batch/ would answer 200 to it', async () => {
  const posthog = await start()
  const problems = await preflight({ host: posthog.url, apiKey: 'phc_wrongSecret' })
  expect(problems).toEqual([
    { problem: `no project at ${posthog.url} has this key`, hint: expect.any(String), mayPass: false },
  ])
  expect(JSON.stringify(problems)).not.toContain('wrongSecret')
})

test.each([
  ['', 'does not look like one'],
  ['hello-secret', 'does not look like one'],
  [`phc_secret${'x'.repeat(60)}`, 'does not look like one'],
  ['phx_secret', 'personal API key'],
  ['phc_secret\n', 'line breaks'],
])('the key %j is refused before anyone is asked, and not shown', async (apiKey, problem) => {
  const problems = await preflight({ host: 'http://127.0.0.1:1', apiKey })
  expect(problems).toEqual([{ problem: expect.stringContaining(problem), hint: expect.any(String), mayPass: false }])
  expect(JSON.stringify(problems)).not.toContain('secret')
})

test('a host where nobody answers is named', async () => {
  const posthog = await start()
  await posthog.stop()
  started.pop()
  expect(await preflight({ host: posthog.url, apiKey: 'phc_right' })).toMatchObject([
    { problem: expect.stringContaining(`cannot be reached at ${posthog.url}`), mayPass: true },
  ])
})

test('a host that is no PostHog is named', async () => {
  const posthog = await start()
  expect(await preflight({ host: `${posthog.url}/elsewhere`, apiKey: 'phc_right' })).toMatchObject([
    { problem: expect.stringContaining('does not answer like a PostHog (status 404') },
  ])
})
