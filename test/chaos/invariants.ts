import {
  addTallies,
  Checkpoint,
  countOf,
  emptyTally,
  ExportFile,
  phaseOf,
  phases,
  RejectedRow,
  type RunId,
  type TableProgress,
  type Tally,
} from '@heapferry/domain'
import type { Redis } from '@heapferry/queue'
import { z } from 'zod'
import { defineScript } from '../../packages/queue/src/define-script.ts'
import { keysOf } from '../../packages/queue/src/keys.ts'
import { tablesOf } from '../../packages/queue/src/ledger/tables-of.ts'
import { sentEvents } from '../../packages/queue/src/sent-fields.ts'

const Hash = z
  .array(z.string())
  .transform((flat) => new Map(flat.flatMap((field, at) => (at % 2 === 0 ? [[field, flat[at + 1] ?? '']] : []))))
const Hashes = z.tuple([Hash, Hash, Hash, Hash, Hash, Hash, Hash, Hash])
const StoredPlan = z.object({ chunks: z.number(), rows: z.number() })

/** All hashes of a run at one moment: scripts run one by one, and this one writes nothing, so a full Redis takes it too. */
const wholeScript = defineScript({
  keys: ['run', 'checkpoints', 'files', 'plans', 'totals', 'fileRows', 'sent', 'rejected'],
  lua: `
local all = {}
for nth, key in ipairs(KEYS) do all[nth] = redis.call('HGETALL', key) end
return all`,
})

export interface Watch {
  /** What does not hold now, in sentences; nothing where all does. */
  look(redis: Redis): Promise<string[]>
  /** Rows that have ended, as of the last look. */
  readonly rowsRead: number
}

/** Looks at the ledger of a run again and again, and remembers how far each chunk was. */
export function watchInvariants(run: RunId): Watch {
  let before = new Map<string, Checkpoint>()
  let rowsRead = 0
  return {
    async look(redis) {
      const whole = Hashes.parse(await wholeScript(redis, { keys: keysOf(redis).runKeys(run), args: {} }))
      const checkpoints = new Map([...whole[1]].map(([id, json]) => [id, Checkpoint.parse(JSON.parse(json))]))
      rowsRead = Number(whole[0].get('rowsRead') ?? 0)
      const violations = [...violationsOf(whole, checkpoints), ...stepsBack(before, checkpoints)]
      before = checkpoints
      return violations
    },
    get rowsRead() {
      return rowsRead
    },
  }
}

function* stepsBack(before: ReadonlyMap<string, Checkpoint>, now: ReadonlyMap<string, Checkpoint>): Generator<string> {
  for (const [id, was] of before) {
    const is = now.get(id)
    if (is === undefined) yield `the checkpoint of ${id} is gone`
    else if (is.cursor < was.cursor || is.tally.read < was.tally.read || (was.done && !is.done))
      yield `the checkpoint of ${id} went back from ${JSON.stringify(was)} to ${JSON.stringify(is)}`
  }
}

function* violationsOf(
  [run, , files, plans, totals, fileRows, sent, rejected]: z.infer<typeof Hashes>,
  checkpoints: ReadonlyMap<string, Checkpoint>,
): Generator<string> {
  const file = new Map([...files].map(([id, json]) => [id, ExportFile.parse(JSON.parse(json))]))
  const plan = new Map([...plans].map(([id, json]) => [id, StoredPlan.parse(JSON.parse(json))]))
  const table = (ofFile: string) => file.get(ofFile)?.table.name ?? `a table of no file ${ofFile}`
  const rows = new Map([...fileRows].map(([id, count]) => [id, Number(count)]))

  const tallies = new Map<string, Tally>()
  const readOf = new Map<string, number>()
  const doneIn = new Map<string, number>()
  for (const [id, { tally, done }] of checkpoints) {
    const ofFile = id.slice(0, 12)
    if (tally.read !== tally.sent + countOf(tally.skipped) + countOf(tally.rejected))
      yield `${id} has read what is not sent + skipped + rejected: ${JSON.stringify(tally)}`
    tallies.set(table(ofFile), addTallies(tallies.get(table(ofFile)) ?? emptyTally, tally))
    readOf.set(ofFile, (readOf.get(ofFile) ?? 0) + tally.read)
    const exported = file.get(ofFile)
    if (done && exported) {
      const phase = phaseOf(exported.table.kind)
      doneIn.set(phase, (doneIn.get(phase) ?? 0) + 1)
    }
  }

  const progress = tablesOf(Object.fromEntries(totals))
  for (const name of new Set([...tallies.keys(), ...progress.map((one) => one.table)])) {
    const counted = progress.find((one) => one.table === name)
    yield* differing(`totals of ${name}`, counted?.tally ?? emptyTally, tallies.get(name) ?? emptyTally)
    const planned = sumOf([...plan].filter(([id]) => table(id) === name).map(([, one]) => one.rows))
    yield* unequal(`planned rows of ${name} and of its files`, counted?.planned ?? 0, planned)
  }
  for (const id of new Set([...rows.keys(), ...readOf.keys()])) {
    yield* unequal(`rows of ${file.get(id)?.path} and of its checkpoints`, rows.get(id) ?? 0, readOf.get(id) ?? 0)
    const planned = plan.get(id)?.rows
    if (planned !== undefined && (rows.get(id) ?? 0) > planned)
      yield `${file.get(id)?.path} has ${planned} rows, and ${rows.get(id)} have ended`
  }
  for (const phase of phases) {
    yield* unequal(`chunks done in ${phase}`, Number(totals.get(`done|${phase}`) ?? 0), doneIn.get(phase) ?? 0)
    const planned = [...plan].filter(([id]) => phaseOf(file.get(id)?.table.kind ?? 'event') === phase)
    yield* unequal(
      `chunks planned in ${phase}`,
      Number(totals.get(`planned|${phase}`) ?? 0),
      sumOf(planned.map(([, one]) => one.chunks)),
    )
  }
  const all = [...tallies.values()].reduce(addTallies, emptyTally)
  yield* unequal('rows read', Number(run.get('rowsRead') ?? 0), all.read)
  yield* unequal('rows sent', Number(run.get('rowsSent') ?? 0), all.sent)
  yield* unequal('rows rejected', Number(run.get('rowsRejected') ?? 0), countOf(all.rejected))
  yield* unlikeDays(sent, progress)
  yield* unlisted(rejected, checkpoints)
}

function* unlikeDays(sent: ReadonlyMap<string, string>, progress: readonly TableProgress[]): Generator<string> {
  const days = sentEvents(Object.fromEntries(sent))
  for (const { table, tally } of progress) {
    const counted = sumOf((days.get(table) ?? []).flatMap((event) => [...event.days.values()]))
    yield* unequal(`events of ${table} by day and rows sent`, counted, tally.sent)
  }
}

/** Each rejected row is listed, with the reason it is counted for in its chunk. */
function* unlisted(
  rejected: ReadonlyMap<string, string>,
  checkpoints: ReadonlyMap<string, Checkpoint>,
): Generator<string> {
  const listed = new Map<string, Record<string, number>>()
  for (const [field, json] of rejected) {
    const { chunk, row, reason } = RejectedRow.parse(JSON.parse(json))
    if (field !== `${chunk}:${row}`) yield `the rejected row ${field} says that it is ${chunk}:${row}`
    const reasons = listed.get(chunk) ?? {}
    listed.set(chunk, reasons)
    reasons[reason] = (reasons[reason] ?? 0) + 1
  }
  for (const id of new Set([...listed.keys(), ...checkpoints.keys()]))
    yield* unlike(`rejected rows of ${id}, listed and counted`, listed.get(id), checkpoints.get(id)?.tally.rejected)
}

function* differing(what: string, is: Tally, checkpoints: Tally): Generator<string> {
  yield* unequal(`${what}, read`, is.read, checkpoints.read)
  yield* unequal(`${what}, sent`, is.sent, checkpoints.sent)
  for (const group of ['skipped', 'rejected', 'warned'] as const)
    yield* unlike(`${what}, ${group}`, is[group], checkpoints[group])
}

type Counts = Partial<Record<string, number>> | undefined

function* unlike(what: string, is: Counts = {}, other: Counts = {}): Generator<string> {
  for (const reason of new Set([...Object.keys(is), ...Object.keys(other)]))
    yield* unequal(`${what}, ${reason}`, is[reason] ?? 0, other[reason] ?? 0)
}

function* unequal(what: string, is: number, other: number): Generator<string> {
  if (is !== other) yield `${what}: ${is} and ${other}`
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0)
}
