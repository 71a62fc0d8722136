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

test('people of events are counted with those who have no profile, each id of whom is somebody', async () => {
  const { ask, send } = await started()
  const sent = { event: 'seen', timestamp: '2023-01-02T00:00:00.000Z' }
  const properties = { $import_job_id: 'mine', $process_person_profile: false }
  await send(['1', '2', '2'].map((distinct_id, nth) => ({ ...sent, uuid: uuidOf(nth), distinct_id, properties })))
  const query =
    "SELECT event, uniqExact(person_id) AS people FROM events WHERE timestamp >= toDateTime('2023-01-01T00:00:00.000Z') " +
    "AND timestamp < toDateTime('2023-02-01T00:00:00.000Z') AND properties.$import_job_id = 'mine' " +
    'GROUP BY event ORDER BY event LIMIT 50000'
  const answer = await ask('/api/projects/2/query/', { query: { kind: 'HogQLQuery', query } })
  expect(await answer.json()).toMatchObject({ results: [['seen', 2]] })
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
    send: (batch: readonly object[]) =>
      fetch(`${posthog.url}/batch/`, {
        method: 'POST',
        body: JSON.stringify({ api_key: 'phc_fake0000000000000000000000000000000000000000', batch }),
      }),
    ask: (path: string, body: object) =>
      fetch(posthog.url + path, { method: 'POST', headers, body: JSON.stringify(body) }),
  }
}

function uuidOf(nth: number): string {
  return `018a0000-0000-7000-8000-${String(nth).padStart(12, '0')}`
}
