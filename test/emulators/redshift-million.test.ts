import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { schema, sourceOf, unloadByHand } from './heap-in-postgres.ts'
import { startPostgres } from './start-postgres.ts'

/** Three windows. docs/benchmarks.md has what a million takes: HEAPFERRY_TEST_ROWS=1000000. */
const rows = Number(process.env.HEAPFERRY_TEST_ROWS ?? 300_000)

const longMs = 1_200_000
const server = redisForTests()

test('many rows of a warehouse, its producer killed twice and a worker once, are the same events as from CSV', {
  timeout: 1_800_000,
}, async () => {
  const postgres = await startPostgres()
  const folder = await temporaryFolder()
  await postgres.query(`
      drop schema if exists ${schema} cascade;
      create schema ${schema};
      set search_path to ${schema};
      create table users (user_id bigint, identity varchar, email varchar);
      insert into users select n, 'person-' || n, 'p' || n || '@example.com' from generate_series(1, 1000) n;
      create table pageviews as select n::bigint as event_id, (1 + n % 2000)::bigint as user_id, (n / 20)::bigint as session_id,
        timestamp '2023-01-01' + n * interval '7.000001 seconds' as time, 'web'::varchar as library, 'desktop'::varchar as device_type,
        'Mac OS X'::varchar as platform, 'Safari 17'::varchar as browser, 'DE'::varchar as country, 'Berlin'::varchar as city,
        'Land'::varchar as region, '203.0.113.' || n % 250 as ip, 'https://www.google.com/'::varchar as referrer,
        'google'::varchar as utm_source, null::varchar as utm_medium, null::varchar as utm_campaign, null::varchar as utm_term,
        null::varchar as utm_content, 'www.example.com'::varchar as domain, '/a/' || n % 5000 as path, '?q=' || n as query,
        null::varchar as hash, 'Page ' || n % 5000 as title, n % 3 = 0 as is_new, n * 1.5::double precision as score
        from generate_series(1, ${rows}) n`)
  const mapping = path.join(folder, 'heapferry.yaml')
  // From CSV numbers and booleans are text, from a warehouse they are not; and without more to know, rows are sent as they come.
  await writeFile(
    mapping,
    'enrich: none\nfirst_touch: skip\ntables: { pageviews: { properties: { is_new: drop, score: drop } } }\n',
  )
  const at = (home: string) => ({
    env: { HEAPFERRY_HOME: path.join(folder, home), REDIS_URL: server.server.url, PGPASSWORD: 'any' },
    cwd: folder,
  })
  const to = (home: string) => ['--to', `jsonl:${path.join(folder, home, 'events')}`]
  const flags = (home: string) => [...to(home), '--run', 'r', '--mapping', mapping]
  const sealed = async (): Promise<number> => {
    const stage = await readFile(path.join(folder, 'ours/runs/r/stage/stage.json'), 'utf8').catch(() => '')
    return [...stage.matchAll(/"path":"pageviews\//g)].length
  }
  const written = async (): Promise<number> =>
    (await readdir(path.join(folder, 'ours/events'), { recursive: true }).catch(() => [])).length

  const worker = () => heapferry(['worker', ...to('ours')], at('ours'))
  let working = worker()
  for (const windows of [1, Math.max(2, Math.floor(rows / 200_000))]) {
    const producer = heapferry(['enqueue', sourceOf(postgres), ...flags('ours')], at('ours'))
    await until(`${windows} windows are sealed`, async () => (await sealed()) >= windows, longMs)
    producer.child.kill('SIGKILL')
    expect((await producer.ended).signal).toBe('SIGKILL')
  }
  await until('the worker has written', async () => (await written()) > 0, longMs)
  working.child.kill('SIGKILL')
  expect((await working.ended).signal).toBe('SIGKILL')
  working = worker()
  const before = await sealed()
  const last = heapferry(['enqueue', sourceOf(postgres), ...flags('ours')], at('ours'))
  const used = { cpuS: 0, residentMb: 0 }
  const watching = setInterval(() => void look(last.child.pid ?? 0, used), 200)
  expect((await last.ended).code).toBe(0)
  clearInterval(watching)
  const windows = await sealed()
  process.stdout.write(
    `The producer after the second kill: ${windows - before} of ${windows} windows, ${JSON.stringify(used)}\n`,
  )
  const isSent = async () => (await heapferryHere(['status', 'r', '--json'], at('ours'))).stdout.includes('"completed"')
  await until('all is sent', isSent, longMs)
  working.child.kill('SIGTERM')
  await working.ended

  const ours = await digestsBelow(path.join(folder, 'ours/events'))
  await unloadByHand(postgres, path.join(folder, 'csv'), ['users', 'pageviews'])
  await postgres.close()
  await server.redis.flushall()
  const byHand = await heapferry(
    ['run', path.join(folder, 'csv'), ...flags('hand'), '--workers', '1', '--no-dashboard'],
    at('hand'),
  ).ended
  expect(byHand.code).toBe(0)
  const theirs = await digestsBelow(path.join(folder, 'hand/events'))
  expect(theirs.size).toBeGreaterThanOrEqual(rows)
  expect(ours.size).toBe(theirs.size)
  expect([...ours].every((line) => theirs.has(line))).toBe(true)
})

/** Of the events that a run wrote as JSON lines, each once: a million of them do not fit. */
async function digestsBelow(folder: string): Promise<Set<string>> {
  const digests = new Set<string>()
  for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue
    const bytes = await readFile(path.join(file.parentPath, file.name))
    const text = (file.name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
    for (const line of text.split('\n'))
      if (line !== '') digests.add(createHash('sha1').update(line).digest('base64').slice(0, 16))
  }
  return digests
}

/** What a process has used, as the kernel counts it. */
async function look(pid: number, used: { cpuS: number; residentMb: number }): Promise<void> {
  const [stat = '', status = ''] = await Promise.all(
    ['stat', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
  )
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  used.cpuS = Math.max(used.cpuS, (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100)
  used.residentMb = Math.max(used.residentMb, Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024))
}
