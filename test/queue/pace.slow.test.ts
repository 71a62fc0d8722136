import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultPace, noPace, type OutgoingEvent, type Pace, type Pacer, RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { batchTransport, createSink } from '@heapferry/posthog'
import { connectRedis, redisPacer, redisLedger } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { outgoingEvents } from '../posthog/outgoing-events.ts'
import { runOf } from '../support/chunk.ts'
import { redisForTests } from '../support/redis.ts'
import { type Arrival, latenessFromNow, tooLateMs, usedShare, worstSecond } from '../support/throughput.ts'
import { until } from '../support/until.ts'

const server = redisForTests()
const many = outgoingEvents(1000)
const never = new AbortController().signal
let runs = 0

test.for([40, 2000, 20_000])(
  'of %i events/s eight senders take no more within any second, and 95 %',
  async (budget, context) => {
    const { run } = await created(budget)
    const lateness = latenessFromNow()
    const taken = await takenAsRedisSaw(run, () => sending({ run, senders: 8, forMs: 3000 }))
    const lateMs = lateness()
    expect(worstSecond(taken)).toBeLessThanOrEqual(budget)
    const used = usedShare(taken, budget)
    context.skip(used < 0.95 && lateMs > tooLateMs, `this machine is too busy: senders were late by ${lateMs} ms`)
    expect(used).toBeGreaterThanOrEqual(0.95)
  },
)

test('a pace that is lowered or raised holds after a second, and no sender takes part of the old one', async () => {
  const { ledger, run } = await created(4000)
  const startedMs = Date.now()
  const taken = await takenAsRedisSaw(run, async () => {
    const sent = sending({ run, senders: 8, forMs: 6000 })
    await sleep(1000)
    await ledger.setPace(run, 200, 'ada')
    await sleep(2500)
    await ledger.setPace(run, 2000, 'ada')
    await sent
  })
  const between = (fromMs: number, toMs: number) =>
    taken.filter(({ atMs }) => atMs - startedMs >= fromMs && atMs - startedMs < toMs)
  expect(worstSecond(between(2100, 3400))).toBeLessThanOrEqual(200)
  expect(usedShare(between(2100, 3400), 200)).toBeGreaterThan(0.5)
  expect(worstSecond(between(4600, 6000))).toBeLessThanOrEqual(2000)
  expect(usedShare(between(4600, 6000), 2000)).toBeGreaterThan(0.5)
})

test('a batch is a fortieth of a second of the pace, at least one event and at most 1000', async () => {
  const { ledger, run } = await created(1)
  const pacer = await sender(run)
  const batchAt = async (pace: Pace) => {
    await ledger.setPace(run, pace, 'ada')
    return pacer.take(many, never)
  }
  expect([await batchAt(1), await batchAt(4000), await batchAt(100_000), await batchAt(null)]).toEqual([
    1, 100, 1000, 1000,
  ])
  expect([await pacer.take(many.slice(0, 3), never), pacer.largestBatch()]).toEqual([3, 1000])
})

test('who waits for a slow pace goes on within two seconds when it is lifted, and at once when it is to stop', async () => {
  const { ledger, run } = await created(1)
  const [first, second] = [await sender(run), await sender(run)]
  const stop = new AbortController()
  await first.take(many, never)
  await first.take(many, never)
  expect(second.holdsBack()).toBe(false)
  const waiting = Promise.all([first.take(many, stop.signal), second.take(many, stop.signal)])
  await until('both are held back', () => first.holdsBack() && second.holdsBack())
  const beforeMs = performance.now()
  stop.abort()
  expect(await waiting).toEqual([null, null])
  expect(performance.now() - beforeMs).toBeLessThan(500)

  const goingOn = second.take(many, never)
  await ledger.setPace(run, null, 'ada')
  expect(await goingOn).toBeGreaterThan(0)
  expect(performance.now() - beforeMs).toBeLessThan(2000)
})

test('a Redis that was emptied keeps the pace that senders know', async () => {
  const { run } = await created(2000)
  const taken = await takenAsRedisSaw(run, async () => {
    const sent = sending({ run, senders: 4, forMs: 3000 })
    await sleep(1500)
    await server.redis.flushall()
    await sent
  })
  const after = taken.slice(taken.length / 2)
  expect(usedShare(taken, 2000)).toBeGreaterThan(0.5)
  expect(worstSecond(after.slice(after.length / 3))).toBeLessThanOrEqual(2000)
  // A worker that takes its first chunk just then has seen the run before.
  expect(await redisPacer(server.redis, RunId.parse('forgotten'), 4000).take(many, never)).toBe(100)
})

test('Retry-After to one sender holds all of them; then one goes first, and the others a second later', async () => {
  const { run } = await created(null)
  const [first, second, third] = [await sender(run), await sender(run), await sender(run)]
  await first.later({ afterMs: 700, status: 429 })
  const toldMs = performance.now()
  const moments = await Promise.all(
    [first, second, third].map(async (pacer) => {
      await pacer.take(many, never)
      return performance.now() - toldMs
    }),
  )
  const [earliest, ...others] = moments.toSorted((a, b) => a - b)
  expect(earliest).toBeGreaterThanOrEqual(690)
  expect(others).toHaveLength(2)
  for (const moment of others) expect(moment - (earliest ?? 0)).toBeGreaterThanOrEqual(990)
})

test('workers whose answers come from one PostHog start no request before the moment that Retry-After named', async () => {
  const posthog = await startFakePostHog()
  onTestFinished(() => posthog.stop())
  const { run } = await created(null, posthog.url)
  const first = await sinkOf(run, posthog.url)
  const others = [await sinkOf(run, posthog.url), await sinkOf(run, posthog.url)]
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 1, next: 1 })
  const sends = [first.send(many.slice(0, 10), never)]
  await until('PostHog has said no', () => posthog.batches.length === 1)
  await until('all are held', async () => (await server.redis.hexists(paceKey(run), 'gateAt')) === 1)
  for (const [index, sink] of [first, ...others].entries())
    sends.push(sink.send(many.slice(10 + index * 10, 20 + index * 10), never))
  expect(await Promise.all(sends)).toMatchObject(sends.map(() => ({ kind: 'acknowledged', refused: [] })))

  const [told, ...later] = posthog.batches
  expect([told?.outcome, later.length, posthog.stored.size]).toEqual([429, 4, 40])
  for (const { receivedAtMs } of later) expect(receivedAtMs - (told?.receivedAtMs ?? 0)).toBeGreaterThanOrEqual(999)
})

test('the request that went first may shut the gate again, and a person who resumes the run opens it', async () => {
  const { ledger, run } = await created(null)
  const [first, second] = [await sender(run), await sender(run)]
  await first.later({ afterMs: 100, status: 429 })
  await first.take(many, never)
  await first.later({ afterMs: 3_600_000, status: 429 })
  const waiting = second.take(many, AbortSignal.timeout(10_000))
  expect((await ledger.progress(run)).pace.reason).toEqual({
    kind: 'retry_after',
    leftMs: expect.closeTo(3_600_000, -5),
  })
  await ledger.setIntent(run, { kind: 'run', by: 'ada', acceptedTables: [] })
  expect(await waiting).toBe(1000)
})

test('429 and 5xx halve the pace, once for all that come together, and quiet raises it again', async () => {
  const { ledger, run } = await created(3000)
  const pacers = [await sender(run), await sender(run)]
  const pace = async () => (await ledger.progress(run)).pace
  for (const status of [400, 408, undefined]) await pacers[0]?.later({ afterMs: null, ...(status && { status }) })
  expect(await pace()).toMatchObject({ limit: 3000, effective: 3000, reason: null })

  for (const pacer of pacers) await pacer.later({ afterMs: null, status: 503 })
  const { effective, reason } = await pace()
  expect(reason).toEqual({ kind: 'lowered', status: 503 })
  expect(effective).toBeGreaterThanOrEqual(1500)
  expect(effective).toBeLessThan(1700)

  const taken = await takenAsRedisSaw(run, () => sending({ run, senders: 8, forMs: 1500 }))
  expect(worstSecond(taken)).toBeGreaterThan(1400)
  expect(worstSecond(taken)).toBeLessThan(2000)

  await quietFor(run, 10)
  expect((await pace()).effective).toBeGreaterThanOrEqual(2500)
  await pacers[0]?.later({ afterMs: null, status: 429 })
  expect((await pace()).effective).toBeLessThan(1600)
  await quietFor(run, 20)
  expect(await pace()).toMatchObject({ limit: 3000, effective: 3000, reason: null })
})

test('a person’s pace is in force at once, whatever 429 and 5xx left of the one before', async () => {
  const { ledger, run } = await created(3000)
  await (await sender(run)).later({ afterMs: null, status: 429 })
  await ledger.setPace(run, 2000, 'ada')
  expect((await ledger.progress(run)).pace).toMatchObject({ limit: 2000, effective: 2000, reason: null })
})

test('without a limit, 429 and 5xx leave none behind', async () => {
  const { ledger, run } = await created(null)
  await (await sender(run)).later({ afterMs: null, status: 503 })
  expect((await ledger.progress(run)).pace).toMatchObject({ limit: null, effective: null, reason: null })
})

test('one distinct_id, alone or among others, stays below 5,000 events a minute over all senders', async () => {
  const forMs = 3000
  const senders = 4
  // What goes at once, what goes in a minute, and what senders do not tell of.
  expect(300 + 70 * 60 + senders * 50).toBeLessThan(5000)
  const most = 300 + (70 * forMs) / 1000 + senders * 50

  const measured = await Promise.all(
    [1, 10].map(async (nth) => {
      const { ledger, run } = await created(20_000)
      const sent = await eventsTaken({ run, senders, forMs, idOf: (n) => (n % nth === 0 ? 'bot@example.com' : `${n}`) })
      const ofBot = sent.filter(({ distinct_id }) => distinct_id === 'bot@example.com').length
      return { run, ofBot, reason: (await ledger.progress(run)).pace.reason }
    }),
  )
  for (const { run, ofBot, reason } of measured) {
    expect(ofBot).toBeLessThanOrEqual(most)
    expect(ofBot).toBeGreaterThan(400)
    expect(reason).toEqual({ kind: 'busy_id' })
    const keys = await server.redis.keys(`*${run}*`)
    expect(keys.filter((key) => key.includes(':busy-id:'))).toHaveLength(1)
    expect(keys.join()).not.toContain('bot')
  }
})

test('a busy distinct_id holds back only the batches that it is in', async () => {
  const { run } = await created(20_000)
  const pacer = await sender(run)
  const end = AbortSignal.timeout(2000)
  const [, others] = await Promise.all([takenBy(pacer, () => 'bot', end), takenBy(pacer, (n) => `person ${n}`, end)])
  expect(others.length).toBeGreaterThan(30_000)
})

test('ids that occur as often as people’s do are not kept in Redis, nor is any once it may go', async () => {
  const { run } = await created(20_000)
  const pacer = await sender(run)
  const busyIds = () => server.redis.keys(`*${run}:busy-id:*`)
  for (let time = 0; time < 4; time++)
    await pacer.take(
      eventsOf((n) => `person ${n % 50}`, 500),
      never,
    )
  expect(await busyIds()).toEqual([])
  await pacer.take(
    eventsOf(() => 'bot', 100),
    never,
  )
  expect(await busyIds()).toHaveLength(1)
  await until('the busy id is forgotten', async () => (await busyIds()).length === 0)
})

test('the pace is 5,000 events/s for PostHog Cloud, none elsewhere, and what a person wants', async () => {
  const cloud = ['https://us.i.posthog.com', 'https://eu.i.posthog.com', 'https://eu.posthog.com']
  expect(cloud.map(defaultPaceOf)).toEqual([5000, 5000, 5000])
  expect(['http://127.0.0.1:8000', 'https://notposthog.com/posthog.com'].map(defaultPaceOf)).toEqual([null, null])

  const { ledger, run } = await created()
  expect((await ledger.progress(run)).pace).toMatchObject({ limit: 5000, effective: 5000 })
  await ledger.setPace(run, 5000, 'ada')
  await ledger.setPace(run, 200, 'ada')
  await ledger.setPace(run, null, 'bob')
  expect((await ledger.progress(run)).pace).toMatchObject({ limit: null, effective: null })
  const changes = (await ledger.timeline(run)).filter(({ kind }) => kind === 'pace_changed')
  expect(changes).toMatchObject([
    { by: 'ada', from: 5000, to: 200 },
    { by: 'bob', from: 200, to: null },
  ])
})

test('a run that writes files has no pace', async () => {
  const ledger = redisLedger(server.redis)
  const { id } = await ledger.createRun(runOf('files', { destination: { kind: 'json_lines', root: '/out' } }), 'ada')
  expect((await ledger.progress(id)).pace).toEqual(noPace)
  await expect(ledger.setPace(id, 5, 'ada')).rejects.toThrow('writes files')
})

function defaultPaceOf(host: string): Pace {
  return defaultPace({ kind: 'posthog', host, keyFingerprint: '' })
}

async function created(pace?: Pace, host = 'https://us.i.posthog.com') {
  const ledger = redisLedger(server.redis)
  runs++
  const id = RunId.parse(`run-${runs}`)
  const { id: run } = await ledger.createRun(
    runOf(id, { destination: { kind: 'posthog', host, keyFingerprint: '0123456789abcdef' } }),
    'ada',
  )
  if (pace !== undefined) await ledger.setPace(run, pace, 'ada')
  return { ledger, run }
}

async function sinkOf(run: RunId, host: string) {
  const transport = batchTransport({ host, apiKey: 'phc_test', timeoutMs: 5000 })
  onTestFinished(() => transport.close())
  return createSink({ transport, pacer: await sender(run), firstWaitMs: 4, longestWaitMs: 20 })
}

/** As a worker of its own would: with a connection of its own, and the pace that the run was created with. */
async function sender(run: RunId) {
  const redis = await connectRedis(server.server.url, () => {})
  onTestFinished(() => redis.disconnect())
  const { pace } = await redisLedger(redis).progress(run)
  return redisPacer(redis, run, pace.limit)
}

/** Senders take all they get. */
async function sending(what: { run: RunId; senders: number; forMs: number }): Promise<void> {
  await eventsTaken({ ...what, idOf: (n) => `person ${n}` })
}

async function eventsTaken(what: { run: RunId; senders: number; forMs: number; idOf: (n: number) => string }) {
  const pacers = await Promise.all(Array.from({ length: what.senders }, () => sender(what.run)))
  const end = AbortSignal.timeout(what.forMs)
  return (await Promise.all(pacers.map((pacer) => takenBy(pacer, what.idOf, end)))).flat()
}

async function takenBy(pacer: Pacer, idOf: (n: number) => string, end: AbortSignal): Promise<OutgoingEvent[]> {
  const taken: OutgoingEvent[] = []
  for (;;) {
    const events = eventsOf((n) => idOf(taken.length + n), 1000)
    const count = await pacer.take(events, end)
    if (count === null) return taken
    taken.push(...events.slice(0, count))
  }
}

function eventsOf(idOf: (n: number) => string, count: number): OutgoingEvent[] {
  return Array.from({ length: count }, (_, n) => ({ uuid: `${n}`, distinct_id: idOf(n), json: new Uint8Array() }))
}

/** What went, at the moments of Redis' own clock: those of this process depend on how busy the machine is. */
async function takenAsRedisSaw(run: RunId, work: () => Promise<void>): Promise<Arrival[]> {
  const { hostname, port, password } = new URL(server.server.url)
  const socket = connect({ host: hostname, port: Number(port) })
  await once(socket, 'connect')
  let heard = ''
  socket.setEncoding('utf8').on('data', (text: string) => (heard += text))
  socket.write(`AUTH ${password}\r\nMONITOR\r\n`)
  await until('Redis tells what it does', () => heard.startsWith('+OK\r\n+OK\r\n'))
  await work()
  socket.end()
  await once(socket, 'close')

  const log = `"heapferry-ledger:run:${run}:pace-log"`
  const lines = new RegExp(`^\\+(\\S+) \\[\\d+ lua\\] "(rpush|lset)" ${log} .*"\\d+:(\\d+)"`, 'gim')
  let last = 0
  return [...heard.matchAll(lines)].map(([, seconds, command, events]) => {
    // What goes at almost the same moment is added to the entry before.
    const before = command?.toLowerCase() === 'lset' ? last : 0
    last = Number(events)
    return { atMs: Number(seconds) * 1000, events: last - before }
  })
}

/** As if so much time had gone by since PostHog last said no. */
async function quietFor(run: RunId, seconds: number): Promise<void> {
  await server.redis.hincrby(paceKey(run), 'loweredAt', -seconds * 1_000_000)
}

function paceKey(run: RunId): string {
  return `heapferry-ledger:run:${run}:pace`
}
