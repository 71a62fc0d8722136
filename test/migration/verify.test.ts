import {
  emptyTally,
  noPace,
  type ExportFile,
  FileId,
  type FoundEvents,
  type Intent,
  OperatorError,
  type PostHogVerification,
  type ReadRow,
  type RejectedRow,
  type RunProgress,
  type Slice,
  type Tally,
  type TimeRange,
} from '@heapferry/domain'
import { noIdentities, verifyAgainstPostHog, verifyAgainstSource } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { chunkOf, fileOf, runOf } from '../support/chunk.ts'

const run = runOf('mine')
const hourMs = 3_600_000
const dayMs = 24 * hourMs
const sentAtMs = Date.UTC(2024, 0, 2)
const settledMs = sentAtMs + 3 * hourMs
const first = Date.UTC(2023, 0, 1) / dayMs

test('what was sent and found on every day is verified', async () => {
  const bench = workbench([click(1, 0), click(2, 0), click(3, 1)])
  const { verification, days } = await bench.look()
  expect(verification).toMatchObject({ verdict: 'verified', totals: { read: 3, sent: 3, expected: 3, found: 3 } })
  expect(days).toEqual([
    { event: 'clicks', day: '2023-01-01', sent: 2, expected: 2, found: 2, copies: 0 },
    { event: 'clicks', day: '2023-01-02', sent: 1, expected: 1, found: 1, copies: 0 },
  ])
  expect(bench.rowsRead).toBe(0)
})

test('rows that the export repeats are one event, and no more than those may be missing', async () => {
  const rows = [click(1, 0), click(1, 0), click(2, 0), click(3, 1)]
  const whole = await workbench(rows).look()
  expect(whole.verification).toMatchObject({ verdict: 'verified', totals: { sent: 4, expected: 3, found: 3 } })
  expect(whole.verification.notes[0]).toContain('Rows of the export that repeat others: 1.')
  const short = workbench(rows)
  short.lose(2)
  expect((await short.look()).verification).toMatchObject({
    verdict: 'missing',
    message: '1 of 3 events are missing in PostHog.',
    differing: [{ event: 'clicks', day: '2023-01-01', sent: 3, expected: 2, found: 1 }],
  })
})

test('one event of two people is two events, as in PostHog', async () => {
  const bench = workbench([click(1, 0), click(1, 0), { ...click(1, 0), user: '8' }])
  expect((await bench.look()).verification).toMatchObject({
    verdict: 'verified',
    totals: { sent: 3, expected: 2, found: 2, shared_uuids: 1 },
  })
})

test('rows that PostHog refused are not expected, also where the export is counted', async () => {
  const bench = workbench([click(1, 0), click(1, 0), click(2, 0), click(2, 0)])
  bench.refuse(3)
  bench.refuse(4)
  const { verification } = await bench.look()
  expect(verification).toMatchObject({ verdict: 'verified', totals: { sent: 2, expected: 1, found: 1 } })
})

test('rows that were refused and sent otherwise by a retry do not count as the rows that the export has', async () => {
  const bench = workbench([click(1, 0), click(1, 0), click(2, 0), click(2, 0)])
  bench.mend(3, click(5, 0))
  bench.mend(4, click(6, 0))
  const { verification } = await bench.look()
  expect(verification).toMatchObject({ verdict: 'verified', totals: { sent: 4, expected: 3, found: 3 } })
})

test('a day that only a retry has sent is not looked for in the export again and again', async () => {
  const bench = workbench([click(1, 0), { ...click(2, 0), time: 'never' }])
  bench.mend(2, click(2, 5))
  bench.lose(2)
  for (let looks = 0; looks < 3; looks++) await bench.look(settledMs)
  expect(bench.rowsRead).toBe(2)
})

test('rows that a retry has sent otherwise than the export has them are expected as well', async () => {
  const bench = workbench([click(1, 0), click(1, 0), { ...click(2, 0), time: 'never' }])
  bench.mend(3, click(2, 0))
  const totals = { sent: 3, expected: 2, found: 2 }
  expect((await bench.look()).verification).toMatchObject({ verdict: 'verified', totals })
  expect(await bench.offline()).toMatchObject({ verdict: 'verified', notes: [expect.stringContaining('by retries')] })
  bench.lose(2)
  const soon = await bench.anotherCommand().look(settledMs)
  expect(soon.verification).toMatchObject({ verdict: 'pending', totals: { expected: 2, found: 1 } })
  const later = await bench.anotherCommand().look(settledMs + 2 * hourMs)
  expect(later.verification.verdict).toBe('missing')
  bench.tally = { read: 3, sent: 2, skipped: {}, warned: {}, rejected: { unparsable_time: 1 } }
  expect(await bench.offline()).toMatchObject({
    verdict: 'missing',
    tables: [{ figures: expect.arrayContaining([{ figure: 'rejected', ledger: 1, source: 0 }]) }],
  })
})

test('what is not found soon after it was sent is pending, and missing when it stays away', async () => {
  const bench = workbench([click(1, 0), click(2, 0)])
  bench.lose(2)
  const soon = await bench.look(sentAtMs + 60_000)
  expect(soon.verification).toMatchObject({
    verdict: 'pending',
    message: expect.stringContaining('the last was sent 1 min ago'),
    look_again_at: new Date(sentAtMs + 6 * 60_000).toISOString(),
  })
  expect((await bench.look(settledMs)).verification).toMatchObject({ verdict: 'missing', look_again_at: null })
})

test('while more arrive from look to look nothing is missing, in whichever command the looks are', async () => {
  const bench = workbench([click(1, 0), click(2, 0), click(3, 0)])
  bench.lose(2)
  bench.lose(3)
  expect((await bench.look(settledMs)).verification.verdict).toBe('missing')
  bench.find(2)
  const grown = await bench.look(settledMs)
  expect(grown.verification).toMatchObject({ verdict: 'pending', message: expect.stringContaining('more arrive') })
  expect((await bench.look(settledMs)).verification.verdict).toBe('missing')
  bench.find(3)
  bench.previous = grown.verification
  expect((await bench.anotherCommand().look(settledMs)).verification.verdict).toBe('verified')
  bench.lose(3)
  bench.previous = { ...grown.verification, totals: { ...grown.verification.totals, found: 1 } }
  expect((await bench.anotherCommand().look(settledMs)).verification.verdict).toBe('pending')
})

test('the first look asks for every day in between, later ones for those that differed', async () => {
  const bench = workbench([click(1, 0), click(2, 5), click(3, 9)])
  bench.lose(2)
  const verifying = bench.anotherCommand()
  await verifying.look(sentAtMs)
  expect(bench.asked).toEqual([[first, first + 10]])
  await verifying.look(sentAtMs)
  expect(bench.asked.slice(1)).toEqual([[first + 5, first + 6]])
})

test('events that the run did not send are a surplus, also on a day without any', async () => {
  const bench = workbench([click(1, 0), click(2, 4)])
  bench.extra.push({ event: 'strange', day: first + 2, rows: 7, different: 7, uuids: 7 })
  expect((await bench.look()).verification).toMatchObject({
    verdict: 'surplus',
    message: 'PostHog holds 7 events of this run more than were sent.',
    differing: [{ event: 'strange', day: '2023-01-03', sent: 0, expected: 0, found: 7 }],
  })
})

test('missing weighs more than surplus', async () => {
  const bench = workbench([click(1, 0), click(2, 4)])
  bench.lose(2)
  bench.extra.push({ event: 'strange', day: first + 2, rows: 7, different: 7, uuids: 7 })
  expect((await bench.look()).verification.verdict).toBe('missing')
})

test('a day that PostHog answers in parts is one day', async () => {
  const bench = workbench([click(1, 0), click(2, 0), click(3, 0)])
  bench.inParts = true
  expect((await bench.look()).verification).toMatchObject({ verdict: 'verified', totals: { found: 3 } })
})

test('a table whose counts by day are not complete is counted from the export, and that is said', async () => {
  const bench = workbench([click(1, 0), click(1, 0), click(2, 3), { ...click(3, 1), time: 'never' }])
  bench.forget(2)
  const { verification } = await bench.look()
  expect(verification).toMatchObject({ verdict: 'verified', totals: { sent: 3, expected: 2, found: 2 } })
  expect(verification.notes.join('\n')).toContain(
    'clicks: the ledger lacks counts by day, so they were taken from the export',
  )
  bench.unreadable = true
  await expect(bench.anotherCommand().look(settledMs)).rejects.toThrow('lacks counts by day of clicks')
})

test('the export is read once, however often PostHog is asked', async () => {
  const bench = workbench([click(1, 0), click(1, 0), click(2, 3)])
  bench.lose(2)
  const verifying = bench.anotherCommand()
  for (let looks = 0; looks < 3; looks++) await verifying.look(settledMs)
  expect(bench.rowsRead).toBe(3)
})

test('a large export is not read again while events are still on their way', async () => {
  const bench = workbench([click(1, 0), click(1, 0), click(2, 3)])
  bench.plannedRows = 50_000_000
  const verifying = bench.anotherCommand()
  expect((await verifying.look(sentAtMs)).verification.verdict).toBe('pending')
  expect(bench.rowsRead).toBe(0)
  expect((await verifying.look(settledMs)).verification.verdict).toBe('verified')
  expect(bench.rowsRead).toBe(3)
})

test('without the export repeated rows count as missing, and that is said', async () => {
  const bench = workbench([click(1, 0), click(1, 0)])
  bench.unreadable = true
  const { verification } = await bench.look()
  expect([verification.verdict, verification.notes.join('\n')]).toEqual([
    'missing',
    expect.stringContaining('The export could not be read again'),
  ])
})

test('a run that is not over is pending whatever is found, and one that was cancelled is judged', async () => {
  const bench = workbench([click(1, 0)])
  bench.complete = false
  expect((await bench.look()).verification).toMatchObject({ verdict: 'pending', look_again_at: null })
  bench.intent = { kind: 'cancel', by: 'ada' }
  expect((await bench.look()).verification.verdict).toBe('verified')
})

test.each([
  ['are made', { '7': 'p1', 'ada@x.com': 'p1', '9': 'p2', 'bob@x.com': 'p2' }, 'verified', {}],
  ['are not made', { '7': 'p1', 'ada@x.com': 'p1', '9': 'p3', 'bob@x.com': 'p2' }, 'missing', { apart: 1, joined: 1 }],
  ['are unknown', { '7': 'p1', 'ada@x.com': 'p1' }, 'missing', { absent: 1, joined: 1 }],
  [
    'make one of two',
    { '7': 'p1', 'ada@x.com': 'p1', '9': 'p1', 'bob@x.com': 'p1' },
    'surplus',
    { mixed: 1, joined: 2 },
  ],
])('merges that %s', async (_, persons, verdict, people) => {
  const bench = workbench([click(1, 0)])
  bench.users = [
    ['7', 'ada@x.com'],
    ['8', null],
    ['9', 'bob@x.com'],
  ]
  bench.persons = new Map(Object.entries(persons))
  const { verification } = await bench.look()
  expect(verification.people).toMatchObject({ sampled: 2, ...people })
  expect(verification.verdict).toBe(verdict)
})

test('what is stored is bounded, and says how much it leaves out', async () => {
  const days = Array.from({ length: 150 }, (_, day) => click(day, day))
  const bench = workbench(days)
  for (let day = 0; day < 150; day++) bench.lose(day)
  const { verification, days: all } = await bench.look()
  expect([verification.differing.length, verification.more_differing, all.length]).toEqual([100, 50, 150])
})

test('the ledger agrees with a fresh read of the export, or the table and figure are named', async () => {
  const bench = workbench([click(1, 0), { ...click(2, 0), time: 'never' }, click(3, 1)])
  expect(await bench.offline()).toMatchObject({ verdict: 'verified', tables: [{ table: 'clicks', differs: false }] })
  bench.tally = { ...emptyTally, read: 3, sent: 1, rejected: { unparsable_time: 2 } }
  expect(await bench.offline()).toMatchObject({
    verdict: 'missing',
    message: expect.stringContaining('differ in clicks'),
    tables: [
      {
        differs: true,
        figures: expect.arrayContaining([
          { figure: 'sent', ledger: 1, source: 2 },
          { figure: 'rejected.unparsable_time', ledger: 2, source: 1 },
        ]),
      },
    ],
  })
  bench.tally = { ...emptyTally, read: 4, sent: 3, rejected: { unparsable_time: 1 } }
  expect((await bench.offline()).verdict).toBe('surplus')
  bench.tally = { ...emptyTally, read: 3, sent: 1, rejected: { unparsable_time: 1, refused_by_posthog: 1 } }
  expect(await bench.offline()).toMatchObject({
    verdict: 'verified',
    notes: [expect.stringContaining('Rows that PostHog refused: 1.')],
  })
})

interface Click {
  id: number
  user: string
  time: string
}

/** Of the nth day of 2023. */
function click(id: number, day: number): Click {
  return { id, user: '7', time: new Date((first + day) * dayMs + id).toISOString() }
}

/** A complete run of one table, and a PostHog that holds what was sent. */
function workbench(clicks: readonly Click[]) {
  const file = fileOf('clicks')
  const usersFile: ExportFile = {
    ...fileOf('users'),
    id: FileId.parse('0123456789ac'),
    columns: ['user_id', 'identity', 'joindate'],
  }
  const lost = new Set<number>()
  const rejected: RejectedRow[] = []
  const retried: number[] = []
  const mended: Click[] = []
  const forgotten = new Set<number>()
  const isEvent = ({ time }: Click): boolean => time !== 'never'
  const dayOf = ({ time }: Click): number => Math.floor(Date.parse(time) / dayMs)

  const bench = {
    extra: [] as FoundEvents[],
    asked: [] as [number, number][],
    users: [] as [string, string | null][],
    persons: new Map<string, string>(),
    previous: null as PostHogVerification | null,
    intent: { kind: 'run', by: 'ada', acceptedTables: [] } as Intent,
    tally: null as Tally | null,
    plannedRows: clicks.length,
    complete: true,
    unreadable: false,
    inParts: false,
    rowsRead: 0,
    lose: (id: number) => lost.add(id),
    find: (id: number) => lost.delete(id),
    forget: (id: number) => forgotten.add(id),
    /** A row that the export has wrongly is sent as it should be. */
    mend(row: number, as: Click) {
      retried.push(row)
      mended.push(as)
    },
    refuse(row: number) {
      const [reason, detail] = ['refused_by_posthog', 'no'] as const
      rejected.push({
        chunk: chunkOf(run.id, file, 0).id,
        file: file.id,
        table: 'clicks',
        row,
        byte: 0,
        reason,
        detail,
      })
    },
    look: (nowMs = settledMs) => current.look(nowMs),
    anotherCommand: () => (current = verifyAgainstPostHog(run, work)),
    offline: () =>
      verifyAgainstSource(run, {
        ledger,
        source: { readAll: read },
        identities: () => Promise.resolve(noIdentities),
        hashSalt: null,
        by: 'ada',
        nowMs: settledMs,
        signal: new AbortController().signal,
      }),
  }

  const otherwise = (): Set<number> => new Set([...retried, ...rejected.map(({ row }) => row)])
  const sent = (): Click[] => [...clicks.filter((one, index) => isEvent(one) && !otherwise().has(index + 1)), ...mended]

  async function* read(one: ExportFile): AsyncGenerator<Slice> {
    if (bench.unreadable) throw new OperatorError('clicks.csv is gone', 'Put it back.')
    const rows = one === file ? clicks.map(rowOf) : bench.users.map(userOf)
    bench.rowsRead += rows.length
    yield await Promise.resolve({ rows, next: rows.length })
  }
  const rowOf = ({ id, user, time }: Click, index: number): ReadRow => ({
    kind: 'row',
    place: { row: index + 1, byte: index },
    columns: file.columns,
    values: [String(id + 1), user, time],
  })
  const userOf = ([id, identity]: [string, string | null], index: number): ReadRow => ({
    kind: 'row',
    place: { row: index + 1, byte: index },
    columns: usersFile.columns,
    values: [id, identity, '2022-01-01'],
  })

  function progress(): RunProgress {
    const count = clicks.length
    const unparsable = clicks.filter((one) => !isEvent(one)).length - retried.length
    const tally = bench.tally ?? {
      read: count,
      sent: sent().length,
      skipped: {},
      warned: {},
      rejected: { unparsable_time: unparsable, refused_by_posthog: rejected.length },
    }
    return {
      intent: bench.intent,
      unloading: null,
      transport: null,
      phases: [
        { phase: 'identities', sealed: true, planned: 0, done: 0 },
        { phase: 'events', sealed: true, planned: 1, done: bench.complete ? 1 : 0 },
      ],
      tables: [{ phase: 'events', table: 'clicks', planned: bench.plannedRows, tally }],
      samples: [{ atMs: sentAtMs, rowsRead: count }],
      waiting: [],
      pace: noPace,
      nowMs: 0,
      wantedAtMs: 0,
      producedAtMs: null,
    }
  }

  function countByDay(some: readonly Click[]): Map<number, number> {
    const days = new Map<number, number>()
    for (const one of some) days.set(dayOf(one), (days.get(dayOf(one)) ?? 0) + 1)
    return days
  }

  function found({ fromMs, toMs }: TimeRange): FoundEvents[] {
    const here = sent().filter(
      (one) => !lost.has(one.id) && Date.parse(one.time) >= fromMs && Date.parse(one.time) < toMs,
    )
    const answer = [...countByDay(here).keys()].flatMap((day): FoundEvents[] => {
      const ofDay = here.filter((one) => dayOf(one) === day)
      const different = new Set(ofDay.map(({ id, user }) => `${id} ${user}`)).size
      const uuids = new Set(ofDay.map(({ id }) => id)).size
      return bench.inParts
        ? ofDay.map(() => ({ event: 'clicks', day, rows: 1, different: 1, uuids: 1 }))
        : [{ event: 'clicks', day, rows: different, different, uuids }]
    })
    return [...answer, ...bench.extra.filter(({ day }) => day * dayMs >= fromMs && day * dayMs < toMs)]
  }

  const ledger: Parameters<typeof verifyAgainstPostHog>[1]['ledger'] &
    Parameters<typeof verifyAgainstSource>[1]['ledger'] = {
    progress: () => Promise.resolve(progress()),
    sentTables: () => {
      const counted = sent().filter(({ id }) => !forgotten.has(id))
      return Promise.resolve([
        { table: 'clicks', rows: sent().length, events: [{ event: 'clicks', days: countByDay(counted) }] },
      ])
    },
    files: () => Promise.resolve(bench.users.length > 0 ? [file, usersFile] : [file]),
    async *rejectedRows() {
      yield* rejected
    },
    async *retriedRows() {
      yield* retried.map((row) => ({ chunk: chunkOf(run.id, file, 0).id, row }))
    },
    timeline: () => {
      const reasons = { unparsable_time: retried.length }
      const entry = {
        kind: 'retried',
        atMs: settledMs,
        by: 'ada',
        reasons,
        sent: retried.length,
        skipped: 0,
        rejected: 0,
      } as const
      return Promise.resolve(retried.length > 0 ? [entry] : [])
    },
    verifications: () => Promise.resolve({ posthog: bench.previous, source: null }),
  }
  const work: Parameters<typeof verifyAgainstPostHog>[1] = {
    ledger,
    countEvents(ranges) {
      for (const { fromMs, toMs } of ranges) bench.asked.push([fromMs / dayMs, toMs / dayMs])
      return Promise.resolve(ranges.flatMap(found))
    },
    personIds: () => Promise.resolve(bench.persons),
    people: false,
    countPeople: unasked,
    idsOfEvent: unasked,
    countEventsOfPeople: unasked,
    source: {
      readAll: read,
      sample: async (one) => {
        const rows: ReadRow[] = []
        for await (const slice of read(one)) rows.push(...slice.rows)
        return { rows, bytesPerRow: null, whole: true }
      },
    },
    identities: () => Promise.resolve(noIdentities),
    hashSalt: null,
    scratch: { append: () => Promise.resolve(), take: () => Promise.resolve(new Uint8Array()) },
    by: 'ada',
    notes: [],
    lagMs: hourMs,
    signal: new AbortController().signal,
  }
  let current = verifyAgainstPostHog(run, work)
  return bench
}

/** How people are compared is tested beside this. */
function unasked(): never {
  throw new Error('nobody is to be asked for people')
}
