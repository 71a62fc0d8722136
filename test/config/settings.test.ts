import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { environmentFor, loadSettings, requireProject, requireQueries, shownSettings } from '@heapferry/config'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

const key = 'phc_abcdefghijklmnopqrstuvwxyz'

test('flags beat the environment, which beats .env', async () => {
  const folder = await temporaryFolder()
  await writeFile(
    path.join(folder, '.env'),
    `POSTHOG_HOST=http://dotenv.example\nLOG_LEVEL=warn\nREDIS_URL=redis://127.0.0.1:1\n`,
  )
  const settings = loadSettings({ POSTHOG_HOST: 'eu' }, { POSTHOG_HOST: 'us', LOG_LEVEL: 'debug' }, folder)
  expect(settings).toMatchObject({
    POSTHOG_HOST: 'https://eu.i.posthog.com',
    LOG_LEVEL: 'debug',
    REDIS_URL: 'redis://127.0.0.1:1',
    HEAPFERRY_HOME: path.join(folder, '.heapferry'),
  })
})

test.each([
  ['us', 'https://us.i.posthog.com'],
  [' EU ', 'https://eu.i.posthog.com'],
  ['https://ph.example.com', 'https://ph.example.com'],
  ['https://example.com/ingest//', 'https://example.com/ingest'],
  ['http://127.0.0.1:8000/', 'http://127.0.0.1:8000'],
])('the host %j is %s', async (host, url) => {
  expect(loadSettings({ POSTHOG_HOST: host }, {}, await temporaryFolder()).POSTHOG_HOST).toBe(url)
})

test.each(['uk', 'posthog.example.com', 'ftp://example.com', 'https://example.com/?a=1'])(
  'the host %j is refused with what would do',
  async (host) => {
    const folder = await temporaryFolder()
    expect(() => loadSettings({ POSTHOG_HOST: host }, {}, folder)).toThrow(
      'POSTHOG_HOST: expected us, eu or an address',
    )
  },
)

test('every wrong setting is named at once, and the key is not shown', async () => {
  const env = {
    POSTHOG_HOST: 'mars',
    POSTHOG_API_KEY: 'phx_personal_secret',
    HEAPFERRY_DASHBOARD_PORT: '99999',
    REDIS_URL: 'http://x',
  }
  const folder = await temporaryFolder()
  const error = faultOf(() => loadSettings({}, env, folder))
  for (const name of Object.keys(env)) expect(error.message).toContain(`${name}: `)
  expect(error.message).not.toContain('phx_personal_secret')
})

test.each([
  ['redis://:secret@10.0.0.1:6379/1', 'redis://:***@10.0.0.1:6379/1'],
  ['rediss://user:sec:secret@redis.example.com', 'rediss://user:***@redis.example.com'],
  ['redis://10.0.0.1:6379?password=secret', 'redis://10.0.0.1:6379'],
  ['redis://10.0.0.1:6379', 'redis://10.0.0.1:6379'],
])('settings are shown without their secrets, also with the Redis %s', async (url, shown) => {
  const env = { POSTHOG_API_KEY: 'phc_secret', HEAPFERRY_DASHBOARD_PASSWORD: 'long enough secret', REDIS_URL: url }
  const all = shownSettings(loadSettings({}, env, await temporaryFolder()))
  expect(all).toMatchObject({ POSTHOG_API_KEY: '***', HEAPFERRY_DASHBOARD_PASSWORD: '***', REDIS_URL: shown })
  expect(JSON.stringify(all)).not.toContain('sec')
})

test('every secret may lie in a file that NAME_FILE names, as Docker and Kubernetes hand them over', async () => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'key'), `${key}\n`)
  await writeFile(path.join(folder, 'password'), 'p4ss: wörd\n')
  const env = {
    POSTHOG_API_KEY_FILE: path.join(folder, 'key'),
    REDIS_PASSWORD_FILE: 'password',
    REDIS_URL: 'redis://redis',
  }
  const settings = loadSettings({}, env, folder)
  expect(settings).toMatchObject({ POSTHOG_API_KEY: key, REDIS_URL: 'redis://:p4ss%3A%20w%C3%B6rd@redis' })
  // What is said outright comes first, and what workers get is the value.
  expect(loadSettings({}, { ...env, POSTHOG_API_KEY: `${key}x` }, folder).POSTHOG_API_KEY).toBe(`${key}x`)
  const handedOn = environmentFor(settings)
  expect(handedOn).toMatchObject({ POSTHOG_API_KEY: key, POSTHOG_API_KEY_FILE: undefined })
  expect(Object.values(handedOn)).not.toContain('undefined')
})

test.each([
  ['missing', /REDIS_PASSWORD_FILE names .*missing, which cannot be read: ENOENT/],
  ['empty', /REDIS_PASSWORD_FILE names .*empty, which is empty/],
])('a secret whose file is %s is told, and not taken for unset', async (file, told) => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'empty'), '\n')
  expect(() => loadSettings({}, { REDIS_PASSWORD_FILE: file }, folder)).toThrow(told)
})

test('an empty value counts as not set', async () => {
  expect(loadSettings({}, { POSTHOG_HOST: '', LOG_LEVEL: '' }, await temporaryFolder())).toMatchObject({
    LOG_LEVEL: 'info',
  })
})

test('a project needs host and key, and both are asked for at once', async () => {
  const settings = loadSettings({}, {}, await temporaryFolder())
  expect(faultOf(() => requireProject(settings)).message).toMatch(/POSTHOG_HOST[^]*POSTHOG_API_KEY/)
})

test('what is stored of a key tells keys apart and does not hold the key', async () => {
  const project = requireProject(
    loadSettings({}, { POSTHOG_HOST: 'us', POSTHOG_API_KEY: key }, await temporaryFolder()),
  )
  expect(project.destination.keyFingerprint).toMatch(/^[0-9a-f]{16}$/)
  expect(JSON.stringify(project.destination)).not.toContain(key)
})

const personalKey = 'phx_abcdefghijklmnopqrstuvwxyz'

test.each([
  ['https://us.i.posthog.com', {}, 'https://us.posthog.com'],
  ['https://eu.i.posthog.com', { POSTHOG_HOST: 'eu' }, 'https://eu.posthog.com'],
  ['https://ph.example.com', { POSTHOG_HOST: 'https://ph.example.com' }, 'https://ph.example.com'],
  ['https://proxy.example.com', { POSTHOG_APP_HOST: 'us' }, 'https://us.posthog.com'],
  ['https://proxy.example.com', { POSTHOG_APP_HOST: 'https://ph.example.com/' }, 'https://ph.example.com'],
])('what PostHog holds of a run that went to %s is asked, with %o, at %s', async (host, env, appHost) => {
  const settings = loadSettings({}, { ...env, POSTHOG_PERSONAL_API_KEY: personalKey }, await temporaryFolder())
  expect(requireQueries(settings, destinationOf(host))).toEqual({ appHost, personalKey })
})

test('a personal key is not sent to a host that only the ledger names, nor to another than the run went to', async () => {
  const folder = await temporaryFolder()
  const settings = loadSettings({}, { POSTHOG_PERSONAL_API_KEY: personalKey }, folder)
  const fault = faultOf(() => requireQueries(settings, destinationOf('https://attacker.example.com')))
  expect(fault.message).toContain('a personal key is only sent to a host that you name')
  const other = loadSettings({}, { POSTHOG_HOST: 'us', POSTHOG_PERSONAL_API_KEY: personalKey }, folder)
  expect(faultOf(() => requireQueries(other, destinationOf('https://eu.i.posthog.com'))).message).toContain(
    'The run went to https://eu.i.posthog.com, and POSTHOG_HOST (--host) is https://us.i.posthog.com',
  )
  const none = loadSettings({}, {}, folder)
  expect(faultOf(() => requireQueries(none, destinationOf('https://us.i.posthog.com'))).message).toContain(
    'POSTHOG_PERSONAL_API_KEY: not set',
  )
})

test('a personal key reaches neither logs nor worker processes', async () => {
  const settings = loadSettings({}, { POSTHOG_PERSONAL_API_KEY: personalKey }, await temporaryFolder())
  expect(JSON.stringify(shownSettings(settings))).not.toContain(personalKey)
  expect(JSON.stringify(environmentFor(settings))).not.toContain(personalKey)
})

test.each([
  ['redis://redis:6379', 'p@ss:w/rd %40', 'redis://:p%40ss%3Aw%2Frd%20%2540@redis:6379'],
  ['redis://:own@redis:6379', 'other', 'redis://:own@redis:6379'],
  ['redis://redis:6379?password=own', 'other', 'redis://redis:6379?password=own'],
])(
  '%s with the password %j beside it is %s, and workers get it in their address alone',
  async (url, password, whole) => {
    const settings = loadSettings({}, { REDIS_URL: url, REDIS_PASSWORD: password }, await temporaryFolder())
    expect(settings.REDIS_URL).toBe(whole)
    expect(JSON.stringify(shownSettings(settings))).not.toMatch(/p@ss|p%40ss|own|other/)
    expect(environmentFor(settings)).toMatchObject({ REDIS_URL: whole })
    expect(environmentFor(settings)['REDIS_PASSWORD']).toBeUndefined()
  },
)

test.each([
  ['redis+sentinel://:own@s1:26379,s2/2?name=mymaster', 'redis+sentinel://:***@s1:26379,s2/2?name=mymaster'],
  ['redis+sentinel://s1?name=m&sentinelPassword=sec', 'redis+sentinel://s1?name=m'],
  ['rediss+cluster://ada:own@[fd00::1]:7000,n2:7001', 'rediss+cluster://ada:***@[fd00::1]:7000,n2:7001'],
])('the address %s is shown as %s', async (url, shown) => {
  const settings = loadSettings({}, { REDIS_URL: url }, await temporaryFolder())
  expect(settings.REDIS_URL).toBe(url)
  expect(shownSettings(settings)['REDIS_URL']).toBe(shown)
})

test.each([
  ['redis://one:6379,two:6379', /REDIS_URL: several hosts are those of Sentinels/],
  ['redis+sentinel://one:26379', /REDIS_URL: what the Sentinels call the Redis is missing, such as \?name=/],
  ['redis+sentinel://one:26379,?name=m', /REDIS_URL: expected a URL/],
  ['redis+sharded://one', /REDIS_URL: expected a URL/],
  ['redis://one:six', /REDIS_URL: expected a URL/],
  ['one:6379', /REDIS_URL: expected a URL/],
])('the address %s is refused with what is wrong', async (url, fault) => {
  const folder = await temporaryFolder()
  expect(faultOf(() => loadSettings({}, { REDIS_URL: url }, folder)).message).toMatch(fault)
})

test('what is set beside the address of a Redis reaches whoever connects, and its secrets nobody else', async () => {
  const folder = await temporaryFolder()
  const beside = {
    REDIS_PASSWORD: 'sec:data',
    REDIS_SENTINEL_PASSWORD: 'sec&sentinels',
    REDIS_TLS_CA: 'ca.pem',
    REDIS_TLS_CERT: '/etc/own.crt',
    REDIS_TLS_KEY: '/etc/own.key',
  }
  const settings = loadSettings({}, { ...beside, REDIS_URL: 'rediss+sentinel://ada@s1,s2?name=m' }, folder)
  const files = new URLSearchParams({
    tlsCa: path.join(folder, 'ca.pem'),
    tlsCert: '/etc/own.crt',
    tlsKey: '/etc/own.key',
  })
  const whole = `rediss+sentinel://ada:sec%3Adata@s1,s2?name=m&sentinelPassword=sec%26sentinels&${String(files)}`
  expect(settings.REDIS_URL).toBe(whole)
  const environment = environmentFor(settings)
  expect(loadSettings({}, environment, await temporaryFolder()).REDIS_URL).toBe(whole)
  expect([environment['REDIS_PASSWORD'], environment['REDIS_SENTINEL_PASSWORD']]).toEqual([undefined, undefined])
  expect(JSON.stringify(shownSettings(settings))).not.toContain('sec')
})

test('a certificate for a Redis that is reached without TLS is refused: nothing would be encrypted', async () => {
  const folder = await temporaryFolder()
  const load = (url: string) => () => loadSettings({}, { REDIS_URL: url, REDIS_TLS_CA: 'ca.pem' }, folder)
  expect(faultOf(load('redis://:secret@redis:6379')).message).toMatch(/^REDIS_TLS_CA would do nothing/)
  expect(faultOf(load('redis://:secret@redis:6379')).message).not.toContain('secret')
  // Its own, of which a command tells its workers.
  expect(load('redis://:secret@127.0.0.1:6379')).not.toThrow()
})

test.each([
  ['127.0.0.1', ['127.0.0.1']],
  ['loopback, 10.0.0.0/8,fd00::/8', ['loopback', '10.0.0.0/8', 'fd00::/8']],
])('the proxies %j are trusted', async (text, proxies) => {
  const env = { HEAPFERRY_DASHBOARD_TRUSTED_PROXIES: text }
  expect(loadSettings({}, env, await temporaryFolder()).HEAPFERRY_DASHBOARD_TRUSTED_PROXIES).toEqual(proxies)
})

test.each(['true', '1', 'proxy.example.com', '10.0.0.0/33', '10.0.0.0/8/8', '10.0.0/8', 'loopback;10.0.0.1', ','])(
  'the proxies %j are refused: whoever asks could say who they are',
  async (text) => {
    const folder = await temporaryFolder()
    expect(() => loadSettings({}, { HEAPFERRY_DASHBOARD_TRUSTED_PROXIES: text }, folder)).toThrow(
      'expected addresses or subnets',
    )
  },
)

function destinationOf(host: string) {
  return { kind: 'posthog', host, keyFingerprint: '0123456789abcdef' } as const
}

function faultOf(act: () => unknown): Error {
  try {
    act()
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('nothing was thrown')
}
