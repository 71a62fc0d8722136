import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { createLogger, fingerprintOf } from '@heapferry/config'
import { type Destination, RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { isRunComplete } from '@heapferry/migration'
import { redisLedger } from '@heapferry/queue'
import { startWorker } from '@heapferry/worker'
import { expect, onTestFinished, test, vi } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'
import { withoutFirstTouch } from '../support/without-first-touch.ts'

const server = redisForTests()
const apiKey = 'phc_sessions000000000000000000000000000000000000'
const credentials = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' }

/** A session over midnight in which its user is identified, and an event of a server. */
const tables = {
  'sessions.csv':
    'event_id,user_id,session_id,time,library,referrer,utm_source,browser\n' +
    '1,11,9000000000000001,2023-01-01 23:50:00,web,https://www.google.com/,google,Safari 17\n',
  'pageviews.csv':
    'event_id,user_id,session_id,time,library,domain,path,title\n' +
    '2,11,9000000000000001,2023-01-01 23:50:00,web,www.example.com,/a,A\n',
  'signup.csv':
    'event_id,user_id,session_id,time,library\n' +
    '3,11,9000000000000001,2023-01-01 23:55:00,web\n4,12,9000000000000001,2023-01-02 00:10:00,web\n',
  'charge.csv': 'event_id,user_id,session_id,time\n5,12,9000000000000009,2023-01-02 00:10:00\n',
  'user_migrations.csv': 'from_user_id,to_user_id,time\n11,12,2023-01-02 00:05:00\n',
}
const startOfSession = '01856fbd-fc40-'

test.each(['a folder', 'a bucket'])(
  'with a work store in %s a session keeps one id, and rows get what is known of it, in the run, in a retry and in the files of JSON lines',
  async (kind) => {
    const scene = await begun(kind === 'a bucket')
    scene.posthog.fault({ kind: 'refuse_event', event: 'signup' })
    await scene.enqueue('--mapping', 'heapferry.yaml', '--max-rejected', '100')
    scene.work()
    await scene.complete()
    expect(scene.eventsNamed('signup')).toEqual([])
    scene.posthog.clearFaults()
    expect(await scene.command('retry', scene.run)).toMatchObject({ code: 0 })

    const [anonymous, identified] = scene.eventsNamed('signup')
    expect(String(anonymous?.['$session_id'])).toMatch(new RegExp(`^${startOfSession}`))
    expect(identified?.['$session_id']).toBe(anonymous?.['$session_id'])
    expect(scene.eventsNamed('$pageview')[0]?.['$session_id']).toBe(anonymous?.['$session_id'])
    expect(identified).toMatchObject({
      $referring_domain: 'www.google.com',
      utm_source: 'google',
      $browser: 'Safari',
      $current_url: 'https://www.example.com/a',
      title: 'A',
      heap_derived: expect.arrayContaining(['$referrer', 'utm_source', '$browser', '$current_url', 'title']),
    })
    expect(scene.eventsNamed('charge')).toEqual([expect.objectContaining({ heap_session_id: '9000000000000009' })])
    expect(scene.eventsNamed('charge')[0]).not.toHaveProperty('$session_id')
    const verified = await scene.command('verify', scene.run, '--offline')
    expect([verified.code, verified.stderr]).toEqual([0, expect.anything()])

    const out = path.join(scene.folder, 'out')
    const files = await begun(kind === 'a bucket', ['--to', `jsonl:${out}`])
    await files.enqueue('--mapping', 'heapferry.yaml')
    files.work({ kind: 'json_lines', root: out })
    await files.complete()
    const written = await linesIn(out)
    for (const uuid of scene.posthog.stored.keys()) {
      const { $import_job_id: _, ...properties } = scene.posthog.stored.get(uuid)?.properties ?? {}
      expect(written.get(uuid)).toMatchObject(properties)
    }
    expect(written.size).toBe(scene.posthog.stored.size)
  },
)

test('a run that the version before began goes on by the same command, as it was', async () => {
  const scene = await begun(false)
  // That version had no table of what was first of people.
  const first = await scene.enqueue(...(await withoutFirstTouch(scene.folder)))
  expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('Indexed in the work store: 1 session,')])
  await scene.makeOfConversion2()
  const again = await scene.enqueue()
  expect([again.code, again.stderr]).toEqual([0, expect.not.stringContaining('Indexed')])
  scene.work()
  await scene.complete()
  const [anonymous, identified] = scene.eventsNamed('signup')
  expect(anonymous).not.toHaveProperty('heap_derived')
  expect(anonymous?.['$session_id']).not.toBe(identified?.['$session_id'])
  expect(String(identified?.['$session_id'])).toMatch(/^01856fc7-2400-/)
  expect(scene.eventsNamed('charge')[0]).toHaveProperty('$session_id')

  await writeFile(path.join(scene.folder, 'pages.yaml'), 'enrich: pages\n')
  const other = await scene.enqueue('--mapping', 'pages.yaml')
  expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('enrich: none → pages')])
})

let runs = 0

/** @param flags of every command that begins the run */
async function begun(inBucket: boolean, flags: readonly string[] = []) {
  const folder = await temporaryFolder()
  const run = RunId.parse(`sessions-${++runs}`)
  const posthog = await startFakePostHog({ apiKey, keep: 'events' })
  onTestFinished(() => posthog.stop())
  await mkdir(path.join(folder, 'export'))
  for (const [name, text] of Object.entries(tables)) await writeFile(path.join(folder, 'export', name), text)
  await writeFile(path.join(folder, 'heapferry.yaml'), 'enrich: [sessions, pages]\n')
  const bucket = inBucket ? await startS3StandIn() : null
  onTestFinished(() => bucket?.close())
  const store = bucket ? 's3://acme/work' : path.join(folder, 'home', 'runs')
  const s3 = bucket ? { endpoint: bucket.endpoint, pathStyle: true, requesterPays: false } : noS3
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_WORK_STORE: store,
    REDIS_URL: server.server.url,
    ...(bucket && { ...credentials, HEAPFERRY_S3_ENDPOINT: bucket.endpoint }),
  }
  const ledger = redisLedger(server.redis)
  const command = (...args: string[]) => heapferryHere(args, { cwd: folder, env })
  return {
    folder,
    run,
    posthog,
    command,
    enqueue: (...more: string[]) => command('enqueue', 'export', '--run', run, ...flags, ...more),
    work(destination: Destination = { kind: 'posthog', host: posthog.url, keyFingerprint: fingerprintOf(apiKey) }) {
      // What a command has set of its own it takes back, these included.
      for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)
      const worker = startWorker({
        name: 'a worker',
        redis: server.redis,
        ledger,
        destination,
        apiKey: destination.kind === 'posthog' ? apiKey : null,
        transport: 'auto',
        hashSalt: null,
        store,
        s3,
        only: run,
        logger: createLogger({ level: 'silent', role: 'worker' }),
      })
      onTestFinished(() => worker.close())
    },
    complete: () => until('the run is complete', async () => isRunComplete(await ledger.progress(run))),
    /** In the order of time. */
    eventsNamed: (name: string): Record<string, unknown>[] =>
      [...posthog.stored.values()]
        .filter(({ event }) => event === name)
        .toSorted((a, b) => (a.timestamp < b.timestamp ? -1 : 1))
        .map(({ properties }) => properties ?? {}),
    /** Redis and the grant have the run as the version before wrote it. */
    async makeOfConversion2(): Promise<void> {
      const key = `heapferry-ledger:run:${run}`
      await server.redis.hset(key, 'run', JSON.stringify(asItWas((await server.redis.hget(key, 'run')) ?? '')))
      await server.redis.hdel(key, 'sessions')
      const grant = path.join(store, '.grants', run)
      const { run: granted, files } = JSON.parse(await readFile(grant, 'utf8'))
      await writeFile(grant, JSON.stringify({ run: asItWas(JSON.stringify(granted)), files }))
    },
  }
}

/** Properties of all events of files of JSON lines, by uuid. */
async function linesIn(folder: string): Promise<Map<string, unknown>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const events = new Map<string, unknown>()
  for (const entry of entries) {
    if (!entry.name.endsWith('.jsonl.gz')) continue
    const text = gunzipSync(await readFile(path.join(entry.parentPath, entry.name))).toString()
    for (const line of text.trim().split('\n')) {
      const { uuid, properties } = JSON.parse(line)
      events.set(uuid, properties)
    }
  }
  return events
}

function asItWas(text: string): Record<string, unknown> {
  const { mapping, ...fields } = JSON.parse(text)
  const { enrich: _, first_touch: __, ...keys } = mapping
  return { ...fields, mapping: keys, conversion: 2 }
}
