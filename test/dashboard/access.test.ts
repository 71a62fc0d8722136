import { OperatorError } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { ask, open, seedRun } from './support.ts'

const server = redisForTests()
const passwords = { operator: 'correct horse: battery', viewer: 'just looking around' }
const bearer = (password: string) => ({ authorization: `Bearer ${password}` })
const operator = { operator: 'operator-password', viewer: 'viewer-password' }
const page = { accept: 'text/html' }

test.each(['0.0.0.0', '::', '192.0.2.1', 'dashboard.example.com', '127.0.0.1.example.com'])(
  'at %s nothing is served without a password',
  async (host) => {
    const refusal = await open(server.redis, { host }).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(OperatorError)
    expect(refusal).toMatchObject({ hint: expect.stringContaining('HEAPFERRY_DASHBOARD_PASSWORD') })
  },
)

test('one password for operators and viewers is refused: everyone would be an operator', async () => {
  const same = { operator: passwords.operator, viewer: passwords.operator }
  await expect(open(server.redis, { passwords: same })).rejects.toThrow('are the same')
})

test('with a password it listens on every address, and says one that can be connected to', async () => {
  const url = await open(server.redis, { host: '0.0.0.0', passwords: operator })
  expect(url).toMatch(/^http:\/\/localhost:\d+$/)
  const headers = bearer(operator.viewer)
  expect((await ask(`${url.replace('localhost', '127.0.0.1')}/`, { headers })).status).toBe(200)
})

test('a port in use is named together with the setting that changes it', async () => {
  const { port } = new URL(await open(server.redis))
  const refusal = await open(server.redis, { port: Number(port) }).catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(OperatorError)
  expect(refusal).toMatchObject({
    message: expect.stringContaining(`Port ${port} is in use`),
    hint: expect.stringContaining('HEAPFERRY_DASHBOARD_PORT'),
  })
})

test.each([
  '/',
  '/runs/x',
  '/live',
  '/live/runs/x',
  '/api/runs/x',
  '/api/runs/x/history',
  '/metrics',
  '/queues',
  '/queues/api/queues',
  '/queues/static/favicon.ico',
  '/chart.js',
])('where there is a password, %s wants it', async (path) => {
  const url = await open(server.redis, { passwords: operator })
  const without = await ask(url + path)
  expect(without.status).toBe(401)
  expect(without.headers['www-authenticate']).toMatch(/^Bearer realm=/)
  if (!path.startsWith('/live')) {
    expect((await ask(url + path, { headers: bearer(operator.viewer) })).status).not.toBe(401)
  }
})

test('people are led to the form, and from there to the page that they wanted', async () => {
  const url = await open(server.redis, { passwords })
  await seedRun(server.redis, 'wanted')
  const led = await ask(`${url}/runs/wanted`, { headers: page })
  expect([led.status, led.headers.location]).toEqual([303, '/login?next=%2Fruns%2Fwanted'])
  expect((await ask(url + String(led.headers.location), { headers: page })).text).toContain('value="/runs/wanted"')
  const { status, headers } = await signIn(url, { password: passwords.viewer, next: '/runs/wanted' })
  expect([status, headers.location]).toEqual([303, '/runs/wanted'])
  const cookie = cookieOf(headers)
  expect(headers['set-cookie']?.[0]).toMatch(/; HttpOnly; SameSite=Strict$/)
  expect((await ask(`${url}/runs/wanted`, { headers: { ...page, cookie } })).status).toBe(200)
})

test.each(['//evil.example.com', '/\\evil.example.com', 'https://evil.example.com', 'javascript:alert(1)', '/\n/evil'])(
  'the form leads to no other site, whatever the address says: %j',
  async (next) => {
    const url = await open(server.redis, { passwords })
    expect((await signIn(url, { password: passwords.viewer, next })).headers.location).toBe('/')
  },
)

test('a session ends when its person signs out, and a made-up one is none', async () => {
  const url = await open(server.redis, { passwords })
  const cookie = cookieOf((await signIn(url, { password: passwords.operator })).headers)
  expect((await ask(url, { headers: { cookie } })).status).toBe(200)
  expect((await ask(`${url}/logout`, { method: 'POST', headers: { cookie } })).status).toBe(303)
  expect((await ask(url, { headers: { cookie } })).status).toBe(401)
  expect((await ask(url, { headers: { cookie: `heapferry_session=${'A'.repeat(43)}` } })).status).toBe(401)
})

test('ten wrong passwords lock an address out, also for the right one, and leave sessions alone', async () => {
  const url = await open(server.redis, { passwords: operator })
  const cookie = cookieOf((await signIn(url, { password: operator.operator })).headers)
  for (let guess = 0; guess < 5; guess++) {
    expect((await signIn(url, { password: `guess ${guess}` })).status).toBe(401)
    expect((await ask(url, { headers: bearer(`guess${guess}`) })).status).toBe(401)
  }
  const locked = await signIn(url, { password: operator.operator })
  expect([locked.status, Number(locked.headers['retry-after']) > 500]).toEqual([429, true])
  expect((await ask(url, { headers: bearer(operator.operator) })).status).toBe(429)
  expect((await ask(url, { headers: { cookie } })).status).toBe(200)
})

test('the right password is never a guess, whatever it is used for', async () => {
  const url = await open(server.redis, { passwords: operator })
  const headers = bearer(operator.viewer)
  const asked = Array.from({ length: 30 }, () => ask(`${url}/runs/nobody`, { headers }))
  expect(new Set((await Promise.all(asked)).map(({ status }) => status))).toEqual(new Set([404]))
})

test('guesses that are all under way at once are counted like others', async () => {
  const url = await open(server.redis, { passwords: operator })
  const guesses = Array.from({ length: 40 }, (_, guess) => signIn(url, { password: `guess ${guess}` }))
  const statuses = (await Promise.all(guesses)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 401)).toHaveLength(10)
  expect(statuses.filter((status) => status === 429)).toHaveLength(30)
})

test('an open page is told nothing more once its person has signed out', async () => {
  const url = await open(server.redis, { passwords: operator })
  await seedRun(server.redis, 'left-open')
  const cookie = cookieOf((await signIn(url, { password: operator.viewer })).headers)
  const stream = await fetch(`${url}/live/runs/left-open`, { headers: { cookie } })
  await ask(`${url}/logout`, { method: 'POST', headers: { cookie } })
  // Has an end only when the server ends it.
  expect(await stream.text()).toContain('retry: 2000')
})

test('viewers look at everything and change nothing', async () => {
  const url = await open(server.redis, { passwords: operator })
  const run = await seedRun(server.redis, 'looked-at')
  await run.table('clicks', 10, [null])
  const headers = bearer(operator.viewer)
  const shown = await ask(`${url}/runs/looked-at`, { headers })
  expect([shown.status, shown.text.includes('/runs/looked-at/pause')]).toEqual([200, false])
  for (const action of ['pause', 'resume', 'cancel']) {
    expect((await ask(`${url}/runs/looked-at/${action}`, { headers })).status).toBe(403)
    expect((await ask(`${url}/runs/looked-at/${action}`, { method: 'POST', headers })).status).toBe(403)
  }
  expect(await run.ledger.intent(run.id)).toMatchObject({ kind: 'run' })
})

test('who pauses, resumes and cancels a run on its page stands in its timeline', async () => {
  const url = await open(server.redis, { passwords })
  const run = await seedRun(server.redis, 'changed')
  await run.table('clicks', 10, [null])
  const cookie = cookieOf((await signIn(url, { name: 'Ada', password: passwords.operator })).headers)
  const headers = { ...page, cookie }
  expect((await ask(`${url}/runs/changed`, { headers })).text).toContain('href="/runs/changed/pause"')
  expect((await ask(`${url}/runs/changed/pause`, { headers })).text).toContain('Pause changed?')
  for (const action of ['pause', 'resume', 'cancel']) {
    const { status } = await ask(`${url}/runs/changed/${action}`, { method: 'POST', headers })
    expect([action, status]).toEqual([action, 303])
  }
  expect((await run.ledger.timeline(run.id)).map(({ kind, ...entry }) => [kind, 'by' in entry && entry.by])).toEqual([
    ['created', 'ada'],
    ['paused', 'Ada'],
    ['resumed', 'Ada'],
    ['cancelled', 'Ada'],
  ])
  const late = await ask(`${url}/runs/changed/resume`, { method: 'POST', headers })
  expect([late.status, late.text]).toEqual([409, expect.stringContaining('someone else has changed it')])
})

test('a queue that was paused by other means than heapferry is resumed from the page too', async () => {
  const url = await open(server.redis, { passwords: operator })
  const run = await seedRun(server.redis, 'held')
  await run.table('clicks', 10, [null])
  await run.ledger.seal(run.id, 'identities', 0)
  await run.queue('events').queue.pause()
  const headers = bearer(operator.operator)
  expect((await ask(`${url}/runs/held`, { headers })).text).toContain('href="/runs/held/resume"')
  expect((await ask(`${url}/runs/held/resume`, { method: 'POST', headers })).status).toBe(303)
  expect(await run.queueState('events')).toMatchObject({ paused: false })
  expect((await ask(`${url}/runs/held`, { headers })).text).not.toContain('href="/runs/held/resume"')
})

test('an operator changes the pace on the page, and nonsense is told', async () => {
  const url = await open(server.redis, { passwords: operator })
  const run = await seedRun(server.redis, 'paced')
  const headers = { ...bearer(operator.operator), 'content-type': 'application/x-www-form-urlencoded' }
  const paced = (pace: string) =>
    ask(`${url}/runs/paced/pace`, { method: 'POST', headers, body: new URLSearchParams({ pace }).toString() })
  expect((await paced('2,500')).status).toBe(303)
  expect((await run.ledger.progress(run.id)).pace.limit).toBe(2500)
  for (const pace of ['0', '-1', 'fast', '1.5', '99999999999999999999']) {
    expect([pace, (await paced(pace)).status]).toEqual([pace, 400])
  }
  expect((await paced('')).status).toBe(303)
  expect((await run.ledger.progress(run.id)).pace.limit).toBeNull()
  const asViewer = { method: 'POST', headers: bearer(operator.viewer) }
  expect((await ask(`${url}/runs/paced/pace`, asViewer)).status).toBe(403)
})

test('without a password, on this machine, everyone may act, and the timeline says it was the dashboard', async () => {
  const url = await open(server.redis)
  const run = await seedRun(server.redis, 'open')
  await run.table('clicks', 10, [null])
  expect((await ask(`${url}/runs/open/pause`, { method: 'POST' })).status).toBe(303)
  expect((await run.ledger.timeline(run.id)).at(-1)).toMatchObject({ kind: 'paused', by: 'dashboard' })
})

test.each([
  ['localhost', 200],
  ['LOCALHOST:3700', 200],
  ['127.0.0.1:3700', 200],
  ['127.9.9.9', 200],
  ['[::1]:3700', 200],
  ['rebound.example.com', 403],
  ['127.0.0.1.example.com', 403],
  ['localhost@example.com', 403],
])('without a password a request to "%s" is answered with %i', async (host, status) => {
  const url = await open(server.redis)
  expect((await ask(url, { headers: { host } })).status).toBe(status)
})

test('with a password any name of this machine will do', async () => {
  const url = await open(server.redis, { passwords: operator })
  const headers = { host: 'dashboard.example.com', ...bearer(operator.viewer) }
  expect((await ask(url, { headers })).status).toBe(200)
})

test.each([
  [{ 'sec-fetch-site': 'cross-site' }, 403],
  [{ 'sec-fetch-site': 'same-site' }, 403],
  [{ 'sec-fetch-site': 'none' }, 403],
  [{ 'sec-fetch-site': 'same-origin', origin: 'http://own' }, 303],
  [{ origin: 'http://evil.example.com' }, 403],
  [{ origin: 'http://127.0.0.1:1' }, 403],
  [{ origin: 'null' }, 403],
  [{ origin: 'http://own' }, 303],
  [{}, 303],
])('a write that says %j is answered with %i, with or without a password', async (headers, status) => {
  for (const wanted of [null, operator]) {
    const url = await open(server.redis, { passwords: wanted })
    const run = await seedRun(server.redis, `written-${wanted === null ? 'open' : 'locked'}-${status}`)
    await run.table('clicks', 10, [null])
    await run.ledger.setIntent(run.id, { kind: 'run', by: 'ada', acceptedTables: [] })
    const { host } = new URL(url)
    const sent = 'origin' in headers ? { ...headers, origin: headers.origin.replace('own', host) } : headers
    const options = { method: 'POST', headers: { ...bearer(operator.operator), ...sent } }
    expect((await ask(`${url}/runs/${run.id}/pause`, options)).status).toBe(status)
    expect((await run.ledger.intent(run.id)).kind).toBe(status === 303 ? 'pause' : 'run')
  }
})

test('no page may be framed, or ask another host for anything', async () => {
  const url = await open(server.redis)
  for (const path of ['/', '/queues/', '/nowhere', '/metrics']) {
    const policy = String((await ask(url + path)).headers['content-security-policy'])
    expect(policy).toContain("default-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/https?:|\*|upgrade-insecure-requests|script-src/)
  }
})

async function signIn(url: string, form: { name?: string; password: string; next?: string }) {
  return ask(`${url}/login`, {
    method: 'POST',
    headers: { ...page, 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  })
}

function cookieOf(headers: NodeJS.Dict<string | string[]>): string {
  return String(headers['set-cookie']?.[0]).replace(/;.*$/, '')
}
