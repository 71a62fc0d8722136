import { afterEach, expect, test } from 'vitest'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { preflight } from '@heapferry/posthog'
import { posthogLike } from './posthog-like.ts'

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

test('a host that takes events and has no /flags/ is told as one where the key cannot be checked, and gets no event', async () => {
  const posthog = await startFakePostHog({ apiKey: 'phc_right', flags: false })
  started.push(posthog)
  const problems = await preflight({ host: posthog.url, apiKey: 'phc_right' })
  expect(problems).toEqual([
    {
      problem: `the project key could not be checked: ${posthog.url} takes events, and has no /flags/ (status 404)`,
      hint: expect.stringContaining('dropped without a word'),
      mayPass: false,
      unchecked: true,
    },
  ])
  expect(posthog.batches.map(({ events, outcome }) => [events, outcome])).toEqual([[0, 400]])
  expect(posthog.stored.size).toBe(0)
})

const refusal = { status: 400, body: 'request holds no event' }
const page = { status: 200, body: '<html>Welcome</html>' }

test.each([
  ['405 and its own refusal of nothing', { status: 405 }, refusal, true],
  ['a redirect and its own refusal of nothing', { status: 301 }, refusal, true],
  ['a page for every address but /batch/', page, refusal, true],
  ['404 and the acknowledgement of older PostHogs', { status: 404 }, { status: 200, body: { status: 1 } }, true],
  ['a page for every address', page, page, false],
  ['404 and a refusal of its own', { status: 404 }, { status: 400, body: 'bad request' }, false],
  ['404 and a refusal of the method', { status: 404 }, { status: 405 }, false],
  ['404 and an outage', { status: 404 }, { status: 503, body: refusal.body }, false],
])('a host that answers with %s', async (_, flags, batch, isUsable) => {
  const { url, asked } = await posthogLike(({ path }) => (path.startsWith('/flags/') ? flags : batch))
  const [problem] = await preflight({ host: url, apiKey: 'phc_right' })
  expect(problem?.unchecked).toBe(isUsable ? true : undefined)
  expect(problem?.problem).toContain(isUsable ? 'could not be checked' : 'does not answer like a PostHog')
  expect(asked.map(({ path }) => path)).toEqual(['/flags/?v=2', '/batch/'])
  expect(JSON.parse(asked[1]?.body ?? '')).toEqual({ api_key: 'phc_right', batch: [] })
})
