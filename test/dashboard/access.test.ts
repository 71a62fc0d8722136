import { OperatorError } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { ask, open } from './support.ts'

const server = redisForTests()
const login = { user: 'ada', password: 'correct horse: battery' }
const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
})

test.each(['0.0.0.0', '::', '192.0.2.1', 'dashboard.example.com', '127.0.0.1.example.com'])(
  'at %s nothing is served without a login',
  async (host) => {
    const refusal = await open(server.redis, { host }).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(OperatorError)
    expect(refusal).toMatchObject({ hint: expect.stringContaining('HEAPFERRY_DASHBOARD_PASSWORD') })
  },
)

test('with a login it listens on every address, and says one that can be connected to', async () => {
  const url = await open(server.redis, { host: '0.0.0.0', login })
  expect(url).toMatch(/^http:\/\/localhost:\d+$/)
  expect(
    (await ask(`${url.replace('localhost', '127.0.0.1')}/`, { headers: basic('ada', login.password) })).status,
  ).toBe(200)
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

test.each(['/', '/runs/x', '/api/runs/x', '/queues', '/queues/api/queues', '/queues/static/favicon.ico', '/style.css'])(
  'where there is a login, %s wants it',
  async (path) => {
    const url = await open(server.redis, { login })
    const without = await ask(url + path)
    expect(without.status).toBe(401)
    expect(without.headers['www-authenticate']).toMatch(/^Basic realm=/)
    expect((await ask(url + path, { headers: basic('ada', login.password) })).status).not.toBe(401)
  },
)

test('half a login is none', async () => {
  const url = await open(server.redis, { login })
  const tries = [basic('ada', 'wrong'), basic('eve', login.password), basic('', ''), { authorization: 'Basic' }]
  for (const headers of tries) expect((await ask(url, { headers })).status).toBe(401)
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
])('without a login a request to "%s" is answered with %i', async (host, status) => {
  const url = await open(server.redis)
  expect((await ask(url, { headers: { host } })).status).toBe(status)
})

test('with a login any name of this machine will do', async () => {
  const url = await open(server.redis, { login })
  const headers = { host: 'dashboard.example.com', ...basic('ada', login.password) }
  expect((await ask(url, { headers })).status).toBe(200)
})

test.each([
  [{ 'sec-fetch-site': 'cross-site' }, 403],
  [{ 'sec-fetch-site': 'same-site' }, 403],
  [{ 'sec-fetch-site': 'none' }, 403],
  [{ 'sec-fetch-site': 'same-origin', origin: 'http://own' }, 200],
  [{ origin: 'http://evil.example.com' }, 403],
  [{ origin: 'http://127.0.0.1:1' }, 403],
  [{ origin: 'null' }, 403],
  [{ origin: 'http://own' }, 200],
  [{}, 200],
])('a write that says %j is answered with %i, with or without a login', async (headers, status) => {
  for (const wanted of [null, login]) {
    const url = await open(server.redis, { login: wanted, allowActions: true })
    const { host } = new URL(url)
    const sent = 'origin' in headers ? { ...headers, origin: headers.origin.replace('own', host) } : headers
    const options = { method: 'PUT', headers: { ...basic('ada', login.password), ...sent } }
    expect((await ask(`${url}/queues/api/queues/resume`, options)).status).toBe(status)
  }
})

test('no page may be framed, or ask another host for anything', async () => {
  const url = await open(server.redis)
  for (const path of ['/', '/queues/', '/nowhere']) {
    const policy = String((await ask(url + path)).headers['content-security-policy'])
    expect(policy).toContain("default-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/https?:|\*|upgrade-insecure-requests|script-src/)
  }
})
