import { setTimeout as sleep } from 'node:timers/promises'
import { openWorkStore } from '@heapferry/sources'
import { writeSampleExport } from '@heapferry/sample-export'
import { type Random, seededRandom } from '../../packages/sample-export/src/random.ts'
import { convertible } from '../support/convertible.ts'
import { noS3 } from '../support/place.ts'
import { until } from '../support/until.ts'
import { diskFull, type Fault, faults } from './faults.ts'
import { watchInvariants } from './invariants.ts'
import { type Disturbances, type Moved, untilMovedOn } from './move-on.ts'
import { createRecords, type Records } from './records.ts'
import { startWorld, type World } from './world.ts'

export interface ChaosOptions {
  seed: number
  /** How long faults are drawn. The run then has as long as it takes to end. */
  minutes: number
  /** Of the export, about. */
  rows: number
  /** What the names of all faults hold that are wanted; everything where it is empty. */
  only: string
}

export interface ChaosResult {
  records: Records
  /** What did not hold, with the moment it was seen first. */
  violations: string[]
  looks: number
  state: string
  rows: { inExport: number; read: number }
  events: { expected: number; stored: number; lost: number; surplus: number; sentAgain: number }
  /** Of chunks whose worker was killed. */
  moved: Moved[]
}

const workers = 4
const lookEveryMs = 1000
const recoveredWithinMs = 120_000

/**
 * Hurts a run in every way at once, as drawn by a seed, and looks every second whether its ledger is right; then lets it
 * end, and compares what PostHog has with what the export says. The seed fixes which faults come, in which order and how
 * long, not at which row: that is up to the machine.
 */
export async function runChaos({ seed, minutes, rows, only }: ChaosOptions): Promise<ChaosResult> {
  const world = await startWorld({ rows, pace: Math.max(100, Math.round(rows / (minutes * 60 * 0.5))) })
  const { run, services, redis, posthog } = world
  // All tables together have about so many rows.
  await writeSampleExport({
    folder: world.source,
    seed,
    people: Math.ceil(rows / 25),
    pageviewRows: Math.ceil(rows / 2),
    eventRows: Math.ceil(rows / 8),
    traps: true,
  })
  await posthog.fault({ kind: 'refuse_event', everyNth: 5000 })
  const wanted = (kind: keyof typeof faults) => faults[kind].filter(({ name }) => name.includes(only))
  const kinds = (['processes', 'redis', 'posthog'] as const).filter((kind) => wanted(kind).length > 0)
  const records = createRecords(kinds.flatMap(wanted).map(({ name }) => name))
  const over = new AbortController()
  const watch = watchInvariants(run)
  const looking = lookAll(world, watch, over.signal)

  // Only the first producer writes much into the work store, so the disk is full at its start.
  if (diskFull.name.includes(only))
    await note(records.of(diskFull.name), diskFull.strike(world, seededRandom(seed, 'disk')))
  if (services.of('producer').length === 0) world.produce()
  for (let started = 0; started < workers; started++) services.keepRunning('worker', ['worker', '--run', run])

  const ended = new AbortController()
  const ending = setTimeout(() => ended.abort(), minutes * 60_000)
  const disturbances: Disturbances = { underWay: 0, lastAtMs: 0, struck: new Map() }
  const moved: Promise<{ fault: string; moved: Moved[] }>[] = []
  const background: Promise<void>[] = []

  const strike = async (kind: keyof typeof faults, fault: Fault, random: Random): Promise<void> => {
    const record = records.of(fault.name)
    const isDisturbing = kind !== 'processes'
    if (isDisturbing) disturbances.underWay++
    const struck = await note(record, fault.strike(world, random)).finally(() => {
      if (!isDisturbing) return
      disturbances.underWay--
      disturbances.lastAtMs = performance.now()
    })
    if (!struck.happened) return
    if (struck.taken) {
      const { taken } = struck
      for (const chunk of taken.chunks) disturbances.struck.set(chunk, taken.atMs)
      moved.push(
        untilMovedOn(world, disturbances, taken, over.signal).then((all) => ({ fault: fault.name, moved: all })),
      )
    } else {
      const ms = await untilRowsMove(world, ended.signal)
      if (ms !== null) record.recoveriesMs.push(ms)
      else if (!ended.signal.aborted) record.notRecovered++
    }
  }
  const drawing = kinds.map(async (kind) => {
    const random = seededRandom(seed, kind)
    const { leastMs, mostMs } = pauses[kind]
    let deck: Fault[] = []
    for (;;) {
      await sleep(leastMs + random.below(mostMs - leastMs), undefined, { signal: ended.signal }).catch(() => {})
      if (ended.signal.aborted) return
      if (deck.length === 0) deck = wanted(kind).flatMap((fault) => Array.from({ length: fault.weight }, () => fault))
      const [fault] = deck.splice(random.below(deck.length), 1)
      if (!fault) throw new Error(`there are no faults of ${kind}`)
      // What one fault draws changes nothing of the faults after it.
      const done = strike(kind, fault, seededRandom(seed, `${kind} ${random.id()}`))
      if (fault.inBackground) background.push(done)
      else await done
    }
  })
  const status = async () => JSON.parse((await world.command('status', run, '--json')).stdout)
  const telling = tell(world, records, watch, looking.violations, ended.signal)
  void until('all rows have ended', async () => over.signal.aborted || (await isRead(world)), minutes * 120_000)
    .catch(() => {})
    .then(() => ended.abort())
  try {
    await Promise.all(drawing)
    await Promise.all(background)
  } finally {
    clearTimeout(ending)
    ended.abort()
    for (const { child } of world.stopped) child.kill('SIGCONT')
  }
  await telling

  await posthog.clearFaults()
  // Faults that last in the background may have left it the time to end.
  const isLifted = async () => (await isRead(world)) || (await world.command('pace', run, 'none')).code === 0
  await until('the pace is lifted, or nothing is left to send', isLifted)
  let state = ''
  const isOver = async () => String((state = (await status()).state)).startsWith('completed')
  await until('the run is complete', isOver, 600_000)
  for (const { fault, moved: all } of await Promise.all(moved)) {
    const record = records.of(fault)
    record.recoveriesMs.push(...all.flatMap(({ ms }) => ms ?? []))
    record.notRecovered += all.filter(({ ms }) => ms === null).length
  }
  // What PostHog was told to refuse is sent now, and only that.
  const retried = await world.command('retry', run, '--reason', 'refused_by_posthog')
  console.log(retried.stdout.trim())
  state = (await status()).state
  over.abort()
  await looking.ended
  const last = (await watch.look(redis.primary.admin)).map((violation) => `at the end: ${violation}`)
  const bugs = services.lastWords.filter((words) => /this is a bug|\n\s+at /.test(words))
  const told = [...new Set(services.lastWords.map((words) => /^heapferry: .*/m.exec(words)?.[0] ?? words))]
  console.log(`${services.lastWords.length} processes ended by themselves and were started again:`, told.slice(0, 20))
  await services.stop()

  const store = world.disk === null ? {} : { store: await openWorkStore(world.disk, noS3) }
  const expected = await convertible(world.source, { run, home: world.home, ...store })
  return {
    records,
    violations: [...looking.violations, ...last, ...bugs],
    looks: looking.count(),
    state,
    rows: { inExport: expected.rows, read: watch.rowsRead },
    events: await compared(world, expected.events),
    moved: (await Promise.all(moved)).filter(({ fault }) => fault.includes('SIGKILL')).flatMap((one) => one.moved),
  }
}

/** Between two faults of a kind. */
const pauses = {
  processes: { leastMs: 1500, mostMs: 4500 },
  redis: { leastMs: 10_000, mostMs: 25_000 },
  posthog: { leastMs: 6000, mostMs: 15_000 },
} as const

async function note(record: ReturnType<Records['of']>, striking: ReturnType<Fault['strike']>) {
  record.drawn++
  const struck = await striking
  if (struck.happened) record.happened++
  if (struck.noticed) record.noticed++
  return struck
}

function lookAll(world: World, watch: ReturnType<typeof watchInvariants>, over: AbortSignal) {
  const violations: string[] = []
  const seen = new Set<string>()
  let looks = 0
  const beganMs = performance.now()
  const ended = (async () => {
    while (!over.aborted) {
      await sleep(lookEveryMs, undefined, { signal: over }).catch(() => {})
      const found = await watch.look(world.redis.primary.admin)
      looks++
      for (const violation of found) {
        if (seen.has(violation)) continue
        seen.add(violation)
        violations.push(`after ${Math.round((performance.now() - beganMs) / 1000)} s: ${violation}`)
      }
    }
  })()
  return { violations, ended, count: () => looks }
}

async function untilRowsMove({ redis, run }: World, over: AbortSignal): Promise<number | null> {
  const rowsRead = () => redis.primary.admin.hget(`heapferry-ledger:run:${run}`, 'rowsRead')
  const atMs = performance.now()
  const before = await rowsRead()
  while (performance.now() - atMs < recoveredWithinMs && !over.aborted) {
    if ((await rowsRead()) !== before) return performance.now() - atMs
    await sleep(100)
  }
  return null
}

/** As many rows have ended as there are, or none is planned yet. */
async function isRead({ redis, run }: World): Promise<boolean> {
  const { admin } = redis.primary
  const [sealed, totals] = await Promise.all([
    admin.hget(`heapferry-ledger:run:${run}`, 'sealed|events'),
    admin.hgetall(`heapferry-ledger:run:${run}:totals`),
  ])
  return sealed === '1' && totals['planned|events'] === totals['done|events']
}

async function tell(
  world: World,
  records: Records,
  watch: ReturnType<typeof watchInvariants>,
  violations: readonly string[],
  over: AbortSignal,
): Promise<void> {
  const beganMs = performance.now()
  while (!over.aborted) {
    await sleep(15_000, undefined, { signal: over }).catch(() => {})
    const seconds = Math.round((performance.now() - beganMs) / 1000)
    const { stored } = await world.posthog.counts()
    console.log(
      `${seconds} s: ${watch.rowsRead} rows have ended, PostHog holds ${stored} events, ` +
        `${records.happened(/SIGKILL/)} kills, ${records.happened(/./)} faults, ${violations.length} violations`,
    )
  }
}

/** Takes apart what it is given. */
async function compared({ posthog }: World, expected: Awaited<ReturnType<typeof convertible>>['events']) {
  const { size } = expected
  let surplus = 0
  for await (const { uuid, event, distinct_id, timestamp } of posthog.events()) {
    const one = expected.get(uuid)
    if (one?.event === event && one.distinct_id === distinct_id && one.timestamp === timestamp) expected.delete(uuid)
    else surplus++
  }
  const { stored, duplicates } = await posthog.counts()
  return { expected: size, stored, lost: expected.size, surplus, sentAgain: duplicates }
}
