import { startFakePostHog } from '@heapferry/fake-posthog'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'

const personalKey = 'phx_fake'

test.each([
  'SELECT 1',
  "SELECT distinct_id, person_id FROM person_distinct_ids WHERE distinct_id IN ('a') OR 1 LIMIT 1",
])('a query that heapferry does not send is refused: %s', async (query) => {
  const { ask } = await started()
  const answer = await ask('/api/projects/2/query/', { query: { kind: 'HogQLQuery', query } })
  expect([answer.status, await answer.text()]).toEqual([
    400,
    expect.stringContaining('only the queries that heapferry'),
  ])
})

test('without force_blocking it answers what it has answered before', async () => {
  const { ask } = await started()
  const query = "SELECT distinct_id, person_id FROM person_distinct_ids WHERE distinct_id IN ('a') LIMIT 50000"
  const cached = async (refresh?: string): Promise<unknown> => {
    const answer = await ask('/api/projects/2/query/', { query: { kind: 'HogQLQuery', query }, refresh })
    return z.object({ is_cached: z.boolean() }).parse(await answer.json()).is_cached
  }
  expect([await cached(), await cached(), await cached('force_blocking')]).toEqual([false, true, false])
})

test('without a personal key it has no query API, and with one it wants what the queries ask for', async () => {
  const posthog = await startFakePostHog({ keep: 'events' })
  onTestFinished(() => posthog.stop())
  expect((await fetch(`${posthog.url}/api/projects/@current/`)).status).toBe(404)
  await expect(startFakePostHog({ keep: 'ids', queries: { personalKey } })).rejects.toThrow("keep: 'events'")
})

async function started() {
  const posthog = await startFakePostHog({ keep: 'events', queries: { personalKey } })
  onTestFinished(() => posthog.stop())
  const headers = { authorization: `Bearer ${personalKey}` }
  return {
    ask: (path: string, body: object) =>
      fetch(posthog.url + path, { method: 'POST', headers, body: JSON.stringify(body) }),
  }
}
