import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createLogger } from '@heapferry/config'
import { OperatorError } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
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
  '/machines',
  '/live/machines',
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

test('after ten wrong passwords guesses of an address are told 429; the right one is taken all the same', async () => {
  const url = await open(server.redis, { passwords: operator })
  const cookie = cookieOf((await signIn(url, { password: operator.operator })).headers)
  for (let guess = 0; guess < 5; guess++) {
    expect((await signIn(url, { password: `guess ${guess}` })).status).toBe(401)
    expect((await ask(url, { headers: bearer(`guess${guess}`) })).status).toBe(401)
  }
  const late = await signIn(url, { password: 'guess 11' })
  expect([late.status, Number(late.headers['retry-after']) > 500]).toEqual([429, true])
  expect((await ask(url, { headers: bearer('guess12') })).status).toBe(429)
  // Strangers who share an address with operators, as behind a proxy, must not keep them out.
  expect((await ask(url, { headers: bearer(operator.operator) })).status).toBe(200)
  expect((await ask(url, { headers: { cookie } })).status).toBe(200)
  expect((await signIn(url, { password: operator.operator })).status).toBe(303)
})

test('behind a proxy that is trusted each client is counted alone, behind another one all are', async () => {
  const behind = await open(server.redis, { passwords: operator, trustedProxies: ['loopback'] })
  for (let guess = 0; guess < 10; guess++) expect(await guessed(behind, '192.0.2.1')).toBe(401)
  expect(await guessed(behind, '192.0.2.1')).toBe(429)
  expect(await guessed(behind, '192.0.2.2')).toBe(401)
  // What a client adds itself stands before what the proxy has added.
  expect(await guessed(behind, '198.51.100.7, 192.0.2.1')).toBe(429)

  const strange = await open(server.redis, { passwords: operator, trustedProxies: ['10.0.0.0/8'] })
  for (let guess = 0; guess < 10; guess++) expect(await guessed(strange, `192.0.2.${guess}`)).toBe(401)
  expect(await guessed(strange, '192.0.2.77')).toBe(429)
})

test.each([
  'heapferry',
  'Heapferry',
  ' HEAP-FERRY ',
  'heapferry\u200b',
  'ｈｅａｐｆｅｒｒｙ',
  'he\u0430pferry',
  'dashboard',
  'viewer',
  'operator (token)',
  'system',
])('nobody signs in as %j, whom the timeline would take for heapferry itself or a role', async (name) => {
  const url = await open(server.redis, { passwords: operator })
  const { status, headers, text } = await signIn(url, { name, password: operator.operator })
  expect([status, headers['set-cookie'], text]).toEqual([
    400,
    undefined,
    expect.stringContaining('Nobody can sign in as'),
  ])
})

test.each(['Ada', 'Zoë Heap', 'Ирина', 'operator', ''])('%j is a name like any other', async (name) => {
  const url = await open(server.redis, { passwords: operator })
  expect((await signIn(url, { name, password: operator.operator })).status).toBe(303)
})

test('a viewer who signs in under ever new names does not fill the timeline', async () => {
  const url = await open(server.redis, { passwords: operator })
  const run = await seedRun(server.redis, 'filled')
  await run.table('clicks', 10, [null])
  for (let nth = 0; nth < 120; nth++) {
    const cookie = cookieOf((await signIn(url, { name: `Ada ${nth}`, password: operator.viewer })).headers)
    expect((await ask(`${url}/runs/filled/report.json`, { headers: { cookie } })).status).toBe(200)
  }
  expect((await run.ledger.timeline(run.id)).filter(({ kind }) => kind === 'downloaded')).toHaveLength(100)
  await ask(`${url}/runs/filled/report.json`, { headers: bearer(operator.operator) })
  expect((await run.ledger.timeline(run.id)).at(-1)).toMatchObject({ kind: 'downloaded', by: 'operator (token)' })
})

test.each([
  '/',
  '/runs/kept-nowhere',
  '/runs/kept-nowhere/rejected',
  '/runs/kept-nowhere/samples',
  '/runs/kept-nowhere/rejected/row?file=clicks.csv&row=1&byte=0',
  '/runs/kept-nowhere/rejected.csv',
  '/runs/kept-nowhere/report.html',
  '/runs/kept-nowhere/retry',
  '/api/runs/kept-nowhere',
  '/queues/api/queues',
])('%s is kept by no browser and no proxy', async (path) => {
  const url = await open(server.redis, { passwords: operator })
  const run = await seedRun(server.redis, 'kept-nowhere')
  await run.table('clicks', 10, [null])
  const { headers } = await ask(url + path, { headers: bearer(operator.operator) })
  expect(headers['cache-control']).toBe('no-store')
})

test('what a client does wrong is its fault: 4xx, and no word of it in the log', async () => {
  const folder = await temporaryFolder()
  const file = join(folder, 'dashboard.log')
  const logger = createLogger({ level: 'info', role: 'dashboard', file })
  const url = await open(server.redis, { passwords: operator, logger, retry: () => {} })
  const run = await seedRun(server.redis, 'asked')
  await run.table('clicks', 10, [null])
  const right = bearer(operator.operator)
  const form = { ...right, 'content-type': 'application/x-www-form-urlencoded' }
  const wrong: [string, Parameters<typeof ask>[1]][] = [
    ['/runs/%ff', { headers: right }],
    ['/runs/%E0%A4%A/pause', { headers: right, method: 'POST' }],
    ['/queues/queue/%', { headers: right }],
    ['/queues/static/%ff', { headers: right }],
    ['/queues/api/queues/%ff/jobs', { headers: right }],
    ['/runs/asked/rejected.csv?reason=none', { headers: right }],
    ['/runs/asked/rejected.csv?table=a&table=b', { headers: right }],
    ['/runs/asked/retry?reason=none', { headers: right }],
    ['/runs/asked/retry?table[]=a&table=b&table=c', { headers: right, method: 'POST' }],
    ['/runs/asked/rejected/row?row=x', { headers: right }],
    ['/runs/asked/rejected/row?file=clicks.csv&row=1e999&byte=-1', { headers: right }],
    ['/runs/asked/pace', { headers: form, method: 'POST', body: `pace=${'1'.repeat(20_000)}` }],
    ['/runs/asked/pace', { headers: { ...form, 'content-encoding': 'gzip' }, method: 'POST', body: 'pace=1' }],
    ['/runs/asked/pace', { headers: { ...form, 'content-encoding': 'lzma' }, method: 'POST', body: 'pace=1' }],
    [
      '/runs/asked/pace',
      {
        headers: { ...form, 'content-type': `${form['content-type']}; charset=utf-7` },
        method: 'POST',
        body: 'pace=1',
      },
    ],
    [
      '/runs/asked/pace',
      { headers: { ...right, 'content-type': 'application/json' }, method: 'POST', body: '{"pace":' },
    ],
    ['/runs/asked/pace', { headers: form, method: 'POST', body: `${'a=1&'.repeat(2000)}pace=%` }],
    [
      '/login',
      { headers: { ...form, cookie: 'heapferry_session=%E0%A4%A; ;=;' }, method: 'POST', body: 'password=%E0%A4%A' },
    ],
    ['/', { headers: { cookie: 'heapferry_session=%E0%A4%A; heapferry_session' } }],
    ['/uplot.js', { headers: { ...right, range: 'bytes=999999999-' } }],
  ]
  for (const [address, options] of wrong) {
    const { status } = await ask(url + address, options)
    expect([address, status >= 400 && status < 500]).toEqual([address, true])
  }
  expect(await readFile(file, 'utf8').catch(() => '')).toBe('')
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

/** A wrong password from a client that a proxy names. */
async function guessed(url: string, client: string): Promise<number> {
  return (await ask(url, { headers: { ...bearer('wrong'), 'x-forwarded-for': client } })).status
}

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
