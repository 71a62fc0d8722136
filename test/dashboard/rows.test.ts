import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { connectRedis, openPrivateRedis, redisLedger } from '@heapferry/queue'
import { type RetryHold, RunId } from '@heapferry/domain'
import { timelineText } from '@heapferry/migration'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'
import { ask, dashboardProcess, open } from './support.ts'

const apiKey = 'phc_rows000000000000000000000000000000000000000'
const planted = '<script>alert(1)</script>'
const passwords = { operator: 'operator-password', viewer: 'viewer-password' }
const asOperator = { authorization: `Bearer ${passwords.operator}` }
const asViewer = { authorization: `Bearer ${passwords.viewer}` }

test('operators see rejected rows by fault, the rows themselves and what rows become; viewers only the faults', async () => {
  const { redis, store } = await migrated()
  const url = await open(redis, { passwords, store })

  const faults = await ask(`${url}/runs/rows/rejected`, { headers: asViewer })
  expect(faults.status).toBe(200)
  expect(faults.text).toMatch(
    /<h2>2 <code>missing_user_id<\/code><\/h2>[^]*<strong>2<\/strong> of clicks<[^]*unparsable_time/,
  )
  expect(faults.text).not.toContain('/rejected/row')
  for (const address of [
    'rejected/row?file=clicks.csv&row=2&byte=0',
    'rejected.csv?table=clicks',
    'samples',
    'retry',
  ]) {
    expect([address, (await ask(`${url}/runs/rows/${address}`, { headers: asViewer })).status]).toEqual([address, 403])
  }

  const page = (await ask(`${url}/runs/rows/rejected`, { headers: asOperator })).text
  const link = /href="(\/runs\/rows\/rejected\/row\?[^"]*)"/.exec(page)?.[1]?.replaceAll('&amp;', '&') ?? ''
  const row = await ask(url + link, { headers: asOperator })
  expect([row.status, row.text.includes('&lt;script&gt;alert(1)'), row.text.includes('<script>alert')]).toEqual([
    200,
    true,
    false,
  ])

  expect(row.text).toContain('a rejected row: <code>missing_user_id</code>')

  const csv = await ask(`${url}/runs/rows/rejected.csv?table=clicks`, { headers: asOperator })
  expect(csv.headers['content-disposition']).toBe('attachment; filename=rejected-rows.csv')
  expect(csv.text.trim().split('\n')).toHaveLength(4)
  expect(csv.text).toContain(`missing_user_id,user_id is empty,clicks,clicks.csv,2,`)

  const samples = await ask(`${url}/runs/rows/samples`, { headers: asOperator })
  expect(samples.text).toContain('&quot;distinct_id&quot;: &quot;7&quot;')
  expect(samples.text).toContain('a rejected row: <code>missing_user_id</code>')

  // No file but those of the run is opened, whatever the address says.
  for (const file of ['../../etc/passwd', '/etc/passwd', 'elsewhere.csv', '..%2f..%2fetc%2fpasswd']) {
    const query = new URLSearchParams({ file, row: '1', byte: '0' })
    const answered = await ask(`${url}/runs/rows/rejected/row?${query.toString()}`, { headers: asOperator })
    expect([answered.status, answered.text.includes('There is no such row')]).toEqual([409, true])
  }

  // A place at which no row begins is the address's fault.
  for (const [nth, byte] of [
    ['2', '3'],
    ['2', '999999'],
    ['9007199254740991', '9007199254740991'],
  ]) {
    const answered = await ask(`${url}/runs/rows/rejected/row?file=clicks.csv&row=${nth}&byte=${byte}`, {
      headers: asOperator,
    })
    expect([byte, answered.status < 500]).toEqual([byte, true])
  }

  for (let time = 0; time < 2; time++) await ask(`${url}/runs/rows/report.html`, { headers: asViewer })
  const timeline = await redisLedger(redis).timeline(RunId.parse('rows'))
  expect(timeline.filter(({ kind }) => kind === 'downloaded')).toMatchObject([
    { by: 'operator (token)', what: 'rejected_rows', table: 'clicks' },
    { by: 'viewer (token)', what: 'report' },
  ])

  const report = await ask(`${url}/runs/rows/report.json`, { headers: asViewer })
  expect(JSON.parse(report.text)).toMatchObject({ format: 'heapferry-report-1', totals: { read: 4, rejected: 3 } })
})

test('of columns that the mapping drops or hashes operators see no value either, without any salt', async () => {
  const mapping = 'properties: { title: drop, note: hash }\n'
  const { redis, store } = await migrated({ mapping, env: { HEAPFERRY_HASH_SALT: 'a salt that the page has not' } })
  const url = await open(redis, { passwords, store })
  const page = (await ask(`${url}/runs/rows/rejected`, { headers: asOperator })).text
  const link = /href="(\/runs\/rows\/rejected\/row\?[^"]*)"/.exec(page)?.[1]?.replaceAll('&amp;', '&') ?? ''
  for (const address of [link, '/runs/rows/samples']) {
    const { status, text } = await ask(url + address, { headers: asOperator })
    expect([status, text]).toEqual([200, expect.stringMatching(/\(dropped\)[^]*\(hashed\)/)])
    expect(text).not.toMatch(/alert\(1\)|fine|noted/)
  }
})

test('rejected rows are sent again from the page, by a process of its own, and the timeline says who wanted it', async () => {
  const { redis, env, folder } = await migrated()
  const { url } = await dashboardProcess(folder, { ...env, HEAPFERRY_DASHBOARD_PASSWORD: passwords.operator })
  const question = await ask(`${url}/runs/rows/retry?table=clicks&reason=missing_user_id`, { headers: asOperator })
  expect(question.text).toContain('Retry rejected rows of rows?')
  const wanted = { method: 'POST', headers: asOperator }
  expect((await ask(`${url}/runs/rows/retry?table=clicks&reason=missing_user_id`, wanted)).status).toBe(303)

  const ledger = redisLedger(redis)
  const run = RunId.parse('rows')
  await until('the retry is over', async () => (await ledger.timeline(run)).some(({ kind }) => kind === 'retried'))
  const entries = (await ledger.timeline(run)).filter(({ kind }) => kind === 'retried' || kind === 'retry_wanted')
  expect(entries).toMatchObject([
    { kind: 'retry_wanted', by: 'operator (token)', table: 'clicks', reason: 'missing_user_id' },
    { kind: 'retried', rejected: 2 },
  ])
  expect((await ask(`${url}/runs/rows/retry?table=clicks&reason=row_too_large`, wanted)).status).toBe(409)

  await writeFile(path.join(folder, 'export', 'clicks.csv'), 'event_id,user_id,time\n1,7,2023-01-02\n')
  expect((await ask(`${url}/runs/rows/retry?table=clicks`, wanted)).status).toBe(303)
  await until('the page says that it failed', async () => {
    const { text } = await ask(`${url}/runs/rows`, { headers: asOperator })
    return /retry failed: it ended with exit code 1; \S+retry\S* tells why/.test(text)
  })
})

test('of eight who want rows retried at once, on two dashboards, one is served, and the others are told who is', async () => {
  const { redis } = await migrated()
  const holds: RetryHold[] = []
  const retry = (hold: RetryHold) => void holds.push(hold)
  const urls = [await open(redis, { passwords, retry }), await open(redis, { passwords, retry })]
  const wanted = { method: 'POST', headers: asOperator }
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, nth) => ask(`${urls[nth % 2]}/runs/rows/retry?table=clicks`, wanted)),
  )
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
    303,
    ...Array.from({ length: 7 }, () => 409),
  ])
  const refused = answers.find(({ status }) => status === 409)
  expect(refused?.text).toMatch(/operator \(token\) retries rows of rows since \d\d:\d\d:\d\d UTC/)
  expect(holds.length).toBe(1)
  const [hold] = holds
  if (!hold) throw new Error('nobody was served')

  const ledger = redisLedger(redis)
  await ledger.keepRetry(hold, { rows: 3, looked: 2 })
  const page = (await ask(`${urls[1]}/runs/rows`, { headers: asOperator })).text
  expect(page).toContain('Retry under way')
  expect(page).toContain('2 of 3 rows looked at')
  expect(page).toContain('data-live="yes"')
  const rejected = (await ask(`${urls[1]}/runs/rows/rejected`, { headers: asOperator })).text
  expect(rejected).toContain('2 of 3 rows looked at')
  expect(rejected).toContain('data-live="yes"')
  expect(rejected).not.toContain('Retry…')
  await ledger.endRetry(hold)
  const after = (await ask(`${urls[1]}/runs/rows`, { headers: asOperator })).text
  expect(after).not.toContain('Retry under way')
  expect(after).toContain('data-live="no"')
  expect(after).toContain('the retry by operator (token) ended: there was nothing to send')
  const told = (await ask(`${urls[1]}/runs/rows/rejected`, { headers: asOperator })).text
  expect(told).toContain('the retry by operator (token) ended: there was nothing to send')
  expect(told).toContain('Retry…')
})

test('a retry by the command is refused while another lives, and not because of one that was killed', async () => {
  const { redis, env, folder } = await migrated()
  const ledger = redisLedger(redis)
  const hold = { run: RunId.parse('rows'), token: 'elsewhere' }
  await ledger.takeRetry(hold, 'ada')
  const keeping = setInterval(() => void ledger.keepRetry(hold), 200)
  const command = ['retry', 'rows', '--table', 'clicks']
  const refused = await heapferryAnswer(command, { env, cwd: folder })
  clearInterval(keeping)
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/ada retries rows of rows already, since .* UTC/),
  ])
  // As seconds after it was killed.
  await redis.hset('heapferry-ledger:run:rows:retry', 'untilMs', 1)
  const served = await heapferryAnswer(command, { env, cwd: folder })
  expect([served.code, served.stdout]).toEqual([3, expect.stringContaining('3 rejected again')])
  expect((await ledger.timeline(hold.run)).map(timelineText)).toContain('the retry by ada was cut off')
})

async function migrated(more: { mapping: string; env: Record<string, string> } = { mapping: '', env: {} }) {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  const server = await openPrivateRedis({ home: path.join(folder, 'redis-home'), serverCandidates })
  const redis = await connectRedis(server.url, () => {})
  onTestFinished(async () => {
    redis.disconnect()
    await server.close()
    await posthog.stop()
  })
  await mkdir(path.join(folder, 'export'))
  const cells = ['1,7,2023-01-02 03:04:05,fine', `2,,2023-01-02 03:04:05,${planted}`, '3,,2023-01-02,b', '4,8,soon,c']
  const rows = ['event_id,user_id,time,title,note', ...cells.map((row) => `${row},noted`)]
  await writeFile(path.join(folder, 'export', 'clicks.csv'), `${rows.join('\n')}\n`)
  await writeFile(path.join(folder, 'heapferry.yaml'), more.mapping)
  const home = path.join(folder, 'home')
  const env = { POSTHOG_HOST: posthog.url, POSTHOG_API_KEY: apiKey, HEAPFERRY_HOME: home, REDIS_URL: server.url }
  const command = ['run', 'export', '--run', 'rows', '--mapping', 'heapferry.yaml']
  const { code } = await heapferryAnswer(command, { cwd: folder, env: { ...env, ...more.env } })
  expect(code).toBe(3)
  await writeFile(path.join(folder, 'export', 'elsewhere.csv'), 'secret\n1\n')
  return { folder, redis, env, store: path.join(home, 'runs') }
}
