import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { connectRedis, openPrivateRedis, type Redis } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { recordRequests } from '../support/request-recorder.ts'
import { serverCandidates } from '../support/server-candidates.ts'

const apiKey = 'phc_secrets0000000000000000000000000000000000'
const time = '2023-01-02 03:04:05'
const salt = 'plantedsalt of the test for secrets'
// Whatever begins so must be nowhere but in the export.
const secret = /planted\w*/i

const mapping = `
identity: hash
properties:
  email: hash
  ssn: drop
  phone: drop
  query: drop
  referrer: hash
  landing_page: drop
  ip: drop
  last_modified: drop
  initial_email: { name: first_email_hash, as: hash }
tables:
  signup: { properties: { title: drop } }
`

/** Rows that end in every way there is, each with secrets in the columns that the mapping drops or hashes. */
const tables: Record<string, string[]> = {
  signup: [
    'event_id,user_id,time,email,ssn,title,note',
    ...Array.from(
      { length: 50 },
      (_, nth) => `${nth + 1},${nth + 1},${time},plantedA${nth}@x.com,plantedB${nth},plantedC,ok`,
    ),
    `101,1,,plantedD@x.com,plantedD,plantedD,no time`,
    `102,1,yesterday,plantedE@x.com,plantedE,plantedE,no real time`,
    `103,1,1970-01-01 00:00:00,plantedF@x.com,plantedF,plantedF,too old`,
    `104,4.7e+15,${time},plantedG@x.com,plantedG,plantedG,damaged user`,
    `1e9,1,${time},plantedH@x.com,plantedH,plantedH,damaged event`,
    `105,,${time},plantedI@x.com,plantedI,plantedI,nobody`,
    `106,0,${time},plantedJ@x.com,plantedJ,plantedJ,illegal`,
    `107,1,${time},plantedK@x.com,plantedK,plantedK,${'large '.repeat(200_000)}`,
    `108,1,${time},plantedL@x.com,plantedL,plantedL,too,many,cells`,
    `109,1,${time},plantedM@x.com,"plantedM"x,plantedM,text behind a quote`,
  ],
  pageviews: [
    'event_id,user_id,time,domain,path,query,referrer,landing_page,ip,title',
    `1,1,${time},www.example.com,/reset/,?token=plantedN,https://plantedO.com/x,plantedP.com/y,plantedQ,Reset`,
    `2,1,,www.example.com,/reset/,?token=plantedN,https://plantedO.com/x,plantedP.com/y,plantedQ,Reset`,
    `3,1,${time},,,?token=plantedN,https://plantedO.com/x,plantedP.com/y,plantedQ,Reset`,
  ],
  users: [
    'user_id,identity,joindate,last_modified,email,phone,initial_email,plan',
    `1,planted1@x.com,${time},plantedR,planted1@x.com,plantedS,plantedT@x.com,Pro`,
    `2,,,plantedU,planted2@x.com,plantedS,plantedT@x.com,no date`,
    `3,${'planted3'.repeat(30)},${time},plantedV,planted3@x.com,plantedS,,identity too long`,
    `4,planted4@x.com,${time},,planted4@x.com,plantedS,,in conflict`,
    `5,planted5@x.com,${time},,planted5@x.com,plantedS,,in conflict`,
    `6,planted6@x.com,${time},,planted6@x.com,plantedS,,migrated away`,
    `x,planted7@x.com,${time},,planted7@x.com,plantedS,,damaged`,
  ],
  user_migrations: ['from_user_id,to_user_id,time', `4,5,${time}`, `7,6,${time}`, `x,6,${time}`],
}

// Two runs, and eight commands after them.
const timeout = 600_000

test('what is dropped or hashed is nowhere: not in requests, Redis, its file, logs, the work store, the plan or any answer', {
  timeout,
}, async () => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'heapferry.yaml'), mapping)
  for (const [name, lines] of Object.entries(tables))
    await writeFile(path.join(folder, `${name}.csv`), `${lines.join('\n')}\n`)
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const recorder = await recordRequests(posthog.url)
  const server = await openPrivateRedis({ home: path.join(folder, 'redis-home'), serverCandidates })
  onTestFinished(() => server.close())
  const redis = await connectRedis(server.url, () => {})
  onTestFinished(() => redis.disconnect())
  const command = (...args: string[]) => {
    const env = {
      POSTHOG_HOST: recorder.url,
      POSTHOG_API_KEY: apiKey,
      REDIS_URL: server.url,
      HEAPFERRY_HASH_SALT: salt,
      HEAPFERRY_HOME: path.join(folder, 'home'),
      HEAPFERRY_DASHBOARD_PORT: '0',
      LOG_LEVEL: 'trace',
    }
    return heapferry(args, { cwd: folder, env }).ended
  }

  const { code, stdout, stderr } = await command('run', '*.csv', '--run', 'r', '--mapping', 'heapferry.yaml', '--json')
  expect([code, stderr]).toEqual([3, expect.any(String)])
  const status = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  expect(status.totals.rejected_by_reason).toEqual({
    missing_time: 2,
    unparsable_time: 2,
    time_out_of_range: 1,
    damaged_id: 4,
    missing_user_id: 1,
    illegal_distinct_id: 1,
    event_too_large: 1,
    not_decodable: 2,
    distinct_id_too_long: 1,
    identity_conflict: 1,
  })
  expect((await command('run', '*.csv', '--run', 'f', '--mapping', 'heapferry.yaml', '--to', 'jsonl:out')).code).toBe(3)
  const answers = [
    stdout + stderr,
    ...(await Promise.all(
      [
        ['status', 'r', '--json'],
        ['status', 'r'],
        ['rejected', 'r', '--json'],
        ['rejected', 'r'],
        ['report', 'r', '--json'],
        ['runs', '--json'],
        ['plan', '*.csv', '--mapping', 'heapferry.yaml', '--full', '--json'],
        ['plan', '*.csv', '--mapping', 'heapferry.yaml'],
      ].map(async (args) => {
        const ended = await command(...args)
        return ended.stdout + ended.stderr
      }),
    )),
  ]

  const places: Record<string, string[]> = {
    requests: recorder.bodies,
    'keys of Redis': await valuesOf(redis),
    'files of Redis': await textsBelow(path.join(folder, 'redis-home')),
    'logs and work store': await textsBelow(path.join(folder, 'home')),
    'files of events': await textsBelow(path.join(folder, 'out')),
    answers,
  }
  // Each of them holds what is to be seen there.
  expect(places.requests?.join()).toMatch(/"note":"ok"[^]*[0-9a-f]{64}/)
  expect(places['keys of Redis']?.join()).toContain('identity_conflict')
  expect(places['files of Redis']?.join()).toContain('identity_conflict')
  expect(places['logs and work store']?.join()).toMatch(/worker started[^]*[0-9a-f]{64}|[0-9a-f]{64}[^]*worker started/)
  expect(places['files of events']?.join()).toContain('"note":"ok"')
  expect(answers.join()).toContain('(hashed)')

  for (const [place, texts] of Object.entries(places))
    for (const text of texts) expect(secret.exec(text)?.[0], `a secret in the ${place}`).toBeUndefined()
})

/** Every value under every key, as text. */
async function valuesOf(redis: Redis): Promise<string[]> {
  const keys = await redis.keys('*')
  const values = keys.map(async (key) => {
    const type = await redis.type(key)
    switch (type) {
      case 'string':
        return redis.get(key)
      case 'hash':
        return redis.hgetall(key)
      case 'list':
        return redis.lrange(key, 0, -1)
      case 'set':
        return redis.smembers(key)
      case 'zset':
        return redis.zrange(key, '0', '-1')
      case 'stream':
        return redis.xrange(key, '-', '+')
      default:
        throw new Error(`${key} is a ${type}`)
    }
  })
  const all = await Promise.all(values)
  expect(all.length).toBeGreaterThan(10)
  return all.map((value, index) => `${keys[index]} ${JSON.stringify(value)}`)
}

async function textsBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
  expect(files.length).toBeGreaterThan(0)
  return Promise.all(
    files.map(async (file) => {
      const bytes = await readFile(file)
      return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1')
    }),
  )
}
