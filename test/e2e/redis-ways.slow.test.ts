import path from 'node:path'
import { countOf } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { writeSampleExport } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { makeCertificates, tlsSettings } from '../support/certificates.ts'
import { convertible } from '../support/convertible.ts'
import { type Crew, crew } from '../support/crew.ts'
import { moveSlot, startCluster, startClusterOfOne } from '../support/redis-cluster.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { killRedis, type RedisProcess, startAgain, startRedis } from '../support/redis-process.ts'
import { startSentinels } from '../support/redis-sentinels.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_ways00000000000000000000000000000000000000000'
/** docs/reliability.md has what came of 200,000: HEAPFERRY_TEST_ROWS=200000. */
const rows = Number(process.env.HEAPFERRY_TEST_ROWS ?? 30_000)
const aThirdOfTheSlots = 5461

test('a run goes through a fail-over of Sentinels that forgets its last moment, and a rolling restart, with every row once', async () => {
  const redis = await startSentinels()
  const url = `${redis.url}&sentinelPassword=${encodeURIComponent(redis.sentinelPassword)}`
  const migration = await migrating(url)
  await migration.untilSent(0.1)
  const before = await redis.primaryPort()
  const servers = new Map(redis.servers.map((server) => [server.port, server]))
  const primary = async (): Promise<RedisProcess> => {
    const server = servers.get(await redis.primaryPort())
    if (!server) throw new Error('the Sentinels name a stranger')
    return server
  }
  const killed = await primary()
  const others = redis.servers.filter(({ port }) => port !== killed.port)
  const { run } = migration.crew
  const sentAsIn = async ({ admin }: RedisProcess) =>
    sum(
      Object.entries(await admin.hgetall(`heapferry-ledger:run:${run}:totals`)).map(([field, count]) =>
        field.startsWith('sent|') ? Number(count) : 0,
      ),
    )
  // Sentinels would bring them back after eight seconds.
  const nobody = await freePort()
  for (const { admin } of others) await admin.replicaof('127.0.0.1', nobody)
  const seen = await sentAsIn(killed)
  await until('more is sent that no replica knows', async () => (await sentAsIn(killed)) >= seen + 300)
  const sent = await sentAsIn(killed)
  await killRedis(killed)
  const known = await Promise.all(others.map(sentAsIn))
  expect(Math.max(...known)).toBeLessThanOrEqual(sent - 200)
  await until('another is the primary', async () => (await redis.primaryPort()) !== before)
  await migration.untilSent(0.4)
  servers.set(killed.port, await startAgain(killed))
  await untilReplicas(await primary(), 2)

  // As it is done by hand: replicas first, then the primary, after another has taken over.
  const last = await primary()
  for (const server of [...servers.values()].filter(({ port }) => port !== last.port)) {
    await killRedis(server, 'SIGTERM')
    servers.set(server.port, await startAgain(server))
    await untilReplicas(last, 2)
  }
  await redis.sentinels[0]?.admin.call('SENTINEL', 'FAILOVER', 'own')
  await until('another has taken over', async () => (await redis.primaryPort()) !== last.port)
  await killRedis(last, 'SIGTERM')
  servers.set(last.port, await startAgain(last))
  await migration.endsWhole()
})

test('a run goes through the loss of its primary in a cluster, its slot being moved, and a rolling restart, with every row once', async () => {
  const cluster = await startCluster()
  const migration = await migrating(cluster.url)
  const slot = Number(await cluster.nodes[0]?.admin.cluster('KEYSLOT', `{${migration.crew.run}}`))
  await migration.untilSent(0.1)
  const killed = await cluster.primaryOf(slot)
  await killRedis(killed)
  await until('its replica has taken over', async () => (await cluster.primaryOf(slot)).port !== killed.port)
  await migration.untilSent(0.3)
  await cluster.startAgain(killed)

  const from = await cluster.primaryOf(slot)
  const to = await cluster.primaryOf((slot + aThirdOfTheSlots) % (3 * aThirdOfTheSlots))
  await moveSlot(slot, { from, to, nodes: cluster.nodes })
  // A replica hears of it from its primary.
  await until('the slot is moved', async () => (await cluster.primaryOf(slot)).port === to.port)
  await migration.untilSent(0.6)

  for (const node of cluster.nodes.slice()) {
    await killRedis(node, 'SIGTERM')
    await cluster.startAgain(node)
  }
  await migration.endsWhole()
})

test('a run goes over TLS with a certificate of its own, as a user who may do no more than the documentation gives', async () => {
  const certificates = await makeCertificates()
  const port = await freePort()
  const { admin } = await startRedis(tlsSettings(certificates, port, 'yes'))
  await admin.acl('SETUSER', 'heapferry', 'on', '>secret', '~heapferry*', '+@all', '-@dangerous', '+info')
  const { ca, client } = certificates
  const files = `tlsCa=${ca}&tlsCert=${client.cert}&tlsKey=${client.key}`
  const migration = await migrating(`rediss://heapferry:secret@127.0.0.1:${port}?${files}`)
  await migration.untilSent(0.1)
  await migration.endsWhole()
})

test('in a cluster every command answers and every page is there', async () => {
  const { url } = await startClusterOfOne()
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const port = await freePort()
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: String(port),
    REDIS_URL: url,
  }
  const source = path.join(folder, 'export')
  await writeSampleExport({ folder: source, seed: 3, people: 50, pageviewRows: 1500, eventRows: 1500, traps: true })
  const answers: [number, ...string[]][] = [
    [3, 'run', source, '--run', 'all', '--no-dashboard', '--max-rejected', '100'],
    [0, 'status', 'all'],
    [0, 'runs'],
    [0, 'rejected', 'all'],
    [3, 'retry', 'all', '--reason', 'time_out_of_range'],
    [0, 'retry', 'all', '--reason', 'held_back'],
    [0, 'verify', 'all', '--offline'],
    [0, 'report', 'all'],
    [0, 'enqueue', source, '--run', 'other', '--pace', '10'],
    [0, 'pause', 'other'],
    [0, 'pace', 'other', '20'],
    [0, 'resume', 'other'],
    [0, 'cancel', 'other'],
  ]
  for (const [code, ...args] of answers) {
    const { code: got, stderr } = await heapferryHere(args, { cwd: folder, env })
    expect({ args, got, stderr }).toEqual({ args, got: code, stderr: expect.not.stringMatching(/slot|CROSSSLOT|bug/) })
  }
  heapferry(['dashboard'], { cwd: folder, env })
  const page = (at: string) => fetch(`http://127.0.0.1:${port}${at}`)
  await until('the dashboard answers', async () => (await page('/healthz').catch(() => null))?.status === 200)
  const pages = ['/', '/runs/all', '/runs/other', '/machines', '/metrics', '/readyz', '/queues/']
  for (const at of [...pages, '/queues/api/queues', '/queues/queue/all-events'])
    expect({ at, status: (await page(at)).status }).toEqual({ at, status: 200 })
  expect(await (await page('/queues/api/queues')).text()).toContain('"other-events"')
})

async function untilReplicas({ admin }: RedisProcess, count: number): Promise<void> {
  const online = /state=online/g
  await until('its replicas follow', async () => (await admin.info('replication')).match(online)?.length === count)
}

async function migrating(redisUrl: string) {
  const all = await crew({}, redisUrl)
  const { folder, posthog, ledger, run } = all
  const source = path.join(folder, 'export')
  const share = Math.floor(rows / 3)
  const shares = { people: share / 20, pageviewRows: 2 * share, eventRows: share }
  await writeSampleExport({ folder: source, seed: 17, ...shares, traps: true })
  // Slow answers and a pace, so that what happens to Redis finds work in flight.
  posthog.fault({ kind: 'latency', ms: 500 })
  all.start(source, 2, ['--pace', String(Math.ceil(rows / 75))])
  const isUnderWay = async () => expect(await all.isComplete()).toBe(false)
  return {
    crew: all,
    /** Until a share of the rows has been sent. */
    async untilSent(part: number): Promise<void> {
      await until(`${part} of the rows are sent`, async () => (await sentOf(all)) > part * rows, 300_000)
      await isUnderWay()
    },
    /** The run ends by itself, and everything that is counted and stored is as if nothing had happened. */
    async endsWhole(): Promise<void> {
      await isUnderWay()
      posthog.clearFaults()
      await ledger.setPace(run, null, 'ada')
      await until('the run is complete', all.isComplete, 300_000)
      await all.stop()
      expect(all.lastWords).toEqual([])
      expect(all.replaced).toEqual({ producer: 0, worker: 0 })
      const expected = await convertible(source, { run, home: all.home })
      const stored = [...posthog.stored].map(
        ([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }] as const,
      )
      expect(new Map(stored)).toEqual(expected.events)
      const { tables, phases } = await ledger.progress(run)
      expect(tables.reduce((sum, { tally }) => sum + tally.sent, 0)).toBe(expected.convertibleRows)
      expect(tables.reduce((sum, { planned }) => sum + planned, 0)).toBe(expected.rows)
      const rejected = new Map<string, number>()
      for await (const row of ledger.rejectedRows(run)) rejected.set(row.table, (rejected.get(row.table) ?? 0) + 1)
      const byDay = await ledger.sentTables(run)
      for (const { table, planned, tally } of tables) {
        const counted = byDay.find((one) => one.table === table)?.events.flatMap(({ days }) => [...days.values()]) ?? []
        expect({ table, ended: tally.sent + countOf(tally.skipped) + countOf(tally.rejected) }).toEqual({
          table,
          ended: tally.read,
        })
        expect({ table, planned, listed: rejected.get(table) ?? 0, byDay: sum(counted) }).toEqual({
          table,
          planned: tally.read,
          listed: countOf(tally.rejected),
          byDay: tally.sent,
        })
      }
      for (const { phase } of phases)
        expect(await ledger.queueState(run, phase)).toMatchObject({ waiting: 0, active: 0, failed: 0 })
      const arrivals = sum([...posthog.stored.values()].map(({ times }) => times))
      console.log(`${expected.rows} rows; ${arrivals} events arrived, ${expected.convertibleRows} were sent`)
    },
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

async function sentOf({ ledger, run }: Crew): Promise<number> {
  if ((await ledger.run(run)) === null) return 0
  return sum((await ledger.progress(run)).tables.map(({ tally }) => tally.sent))
}
