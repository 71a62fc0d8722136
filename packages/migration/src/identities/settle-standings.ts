import { cellsOf, compileUserRows, derivedEmail, isFirstColumn } from '@heapferry/conversion'
import type { ExportFile, Mapping, Slice } from '@heapferry/domain'
import { readAhead } from '../read-ahead.ts'
import { byColumns } from './by-columns.ts'
import { FilledColumns } from './filled-columns.ts'
import { idOf, identityOf } from './identity-facts.ts'
import { at, findId, hasBit, wordsOf, writeId } from './packed-ids.ts'
import type { ResolvedIdentities } from './resolve-identities.ts'
import type { Rivals } from './rivals.ts'

/** Which row of an id counts, and with which values; only of ids with several rows, or of people with several ids. */
export interface Standings {
  /** Ascending. */
  ids: BigInt64Array
  /** Of the row that counts, where the id has several. */
  keys: Uint32Array
  /** The number of a set of columns, -1 for none. */
  elsewhere: Int32Array
  flags: Uint8Array
  /** JSON: the names of columns, and for each set their numbers. */
  columns: Uint8Array
}

export const newestFlag = 1
export const joinsFlag = 2
export const repeatedFlag = 4
const countsFlag = 8

/**
 * Reads the rows of rivals again, and settles which count. PostHog has no order in time for properties of people: what
 * arrives last wins, and workers send rows in any order. So every value of a person is sent with one row only.
 *
 * Of the rows of one id the newest counts: by last_modified, then joindate, then place. Of the rows of a person that count
 * the newest has the current values, and others those that newer ones do not have; what was first (`initial_…`, joindate)
 * comes from the one with the earliest joindate in the same way.
 *
 * @param read the rows of a whole file, as they were read for the facts
 */
export async function settleStandings(
  { rivals, superseded, latestDumps }: Pick<ResolvedIdentities, 'rivals' | 'superseded' | 'latestDumps'>,
  files: readonly ExportFile[],
  read: (file: ExportFile) => AsyncIterable<Slice>,
  mapping: Mapping,
): Promise<Standings> {
  const newest = new NewestRows(rivals)
  const filled = new FilledColumns()
  const words = wordsOf(rivals.ids)
  const supersededWords = wordsOf(superseded)
  const id = new Int32Array(2)
  const ofUsers = files.filter(({ table }) => table.kind === 'users')
  for await (const { file, slices } of readAhead(rivals.ids.length === 0 ? [] : ofUsers, read)) {
    const { table } = file
    const dump = table.kind === 'users' ? table.dump : undefined
    const rowsOf = byColumns((columns) => compileUserRows(table, columns, mapping))
    const withEmail = byColumns((columns) => [...columns, derivedEmail])
    for await (const slice of slices) {
      for (const row of slice.rows) {
        if (row.kind !== 'row') continue
        const { columns, values } = row
        const rows = rowsOf(columns)
        const text = idOf(values[columns.indexOf('user_id')] ?? null)
        if (text === undefined) continue
        writeId(text, id)
        const index = findId(words, at(id, 0), at(id, 1))
        if (index === -1 || !rows.counts(values)) continue
        const latest = findId(supersededWords, at(id, 0), at(id, 1))
        if (dump !== undefined && latest !== -1 && dump < (latestDumps[latest] ?? 0)) continue
        const cells = rows.filled(values)
        newest.add(index, {
          lastModifiedMs: rows.lastModifiedMs(values),
          joindateMs: rows.joindateMs(values),
          isNamed: identityOf(cells[columns.indexOf('identity')] ?? null) !== undefined,
          key: hasBit(rivals.areRepeated, index) ? rows.key(values) : 0,
          filled: filled.numberOf(withEmail(columns), [
            ...cellsOf(cells, row.types),
            rows.tellsEmail(cells) ? derivedEmail : null,
          ]),
        })
      }
    }
  }
  return standingsOf(rivals, newest, filled)
}

interface UserRow {
  lastModifiedMs: number
  joindateMs: number
  isNamed: boolean
  key: number
  filled: number
}

/** Of each rival the newest row so far, packed. */
class NewestRows {
  lastModifiedMs: Float64Array
  joindateMs: Float64Array
  readonly keys: Uint32Array
  readonly filled: Int32Array
  /** 0 or 1. */
  readonly named: Uint8Array
  /** How many rows there are; more than two count as two. */
  readonly rows: Uint8Array

  constructor({ ids: { length } }: Rivals) {
    this.lastModifiedMs = new Float64Array(length)
    this.joindateMs = new Float64Array(length)
    this.keys = new Uint32Array(length)
    this.filled = new Int32Array(length)
    this.named = new Uint8Array(length)
    this.rows = new Uint8Array(length)
  }

  add(index: number, row: UserRow): void {
    const before = this.rows[index] ?? 0
    this.rows[index] = Math.min(2, before + 1)
    // Later places win.
    if (before > 0 && this.#age(index, row) < 0) return
    this.lastModifiedMs[index] = row.lastModifiedMs
    this.joindateMs[index] = row.joindateMs
    this.keys[index] = row.key
    this.filled[index] = row.filled
    this.named[index] = row.isNamed ? 1 : 0
  }

  /** At ten million people they take 160 MB. */
  forgetTimes(): void {
    this.lastModifiedMs = new Float64Array(0)
    this.joindateMs = new Float64Array(0)
  }

  /** Below zero where the row is older than the newest so far. */
  #age(index: number, row: UserRow): number {
    return (
      compare(row.lastModifiedMs, this.lastModifiedMs[index]) ||
      compare(row.joindateMs, this.joindateMs[index]) ||
      compare(row.isNamed ? 1 : 0, this.named[index])
    )
  }
}

/** Times may be infinite, whose difference is no number. */
function compare(a = 0, b = 0): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function standingsOf(rivals: Rivals, newest: NewestRows, filled: FilledColumns): Standings {
  const { length } = rivals.ids
  const flags = new Uint8Array(length)
  const elsewhere = new Int32Array(length).fill(-1)
  const sets = new Map<bigint, number>()
  const isKept = (index: number): boolean =>
    hasBit(rivals.areSelf, index) || (newest.named[index] === 1 && !hasBit(rivals.areAway, index))
  const newestFirst = (a: number, b: number): number =>
    compare(newest.lastModifiedMs[b], newest.lastModifiedMs[a]) ||
    compare(isKept(b) ? 1 : 0, isKept(a) ? 1 : 0) ||
    compare(newest.joindateMs[b], newest.joindateMs[a]) ||
    a - b
  const joinedFirst = (a: number, b: number): number =>
    compare(dateOrLast(newest.joindateMs[a]), dateOrLast(newest.joindateMs[b])) ||
    compare(newest.lastModifiedMs[a], newest.lastModifiedMs[b]) ||
    a - b
  const ofFirst = filled.maskWhere(isFirstColumn)
  const ofCurrent = filled.maskWhere((column) => !isFirstColumn(column))

  const email = filled.maskWhere((column) => column === 'email')
  const ofEmail = filled.maskWhere((column) => column === derivedEmail)

  /** What those before have already, by index. An address in its own column goes before all that are told otherwise. */
  const takenIn = (order: readonly number[], columns: bigint): Map<number, bigint> => {
    let taken = order.some((index) => (filled.mask(newest.filled[index] ?? 0) & email) !== 0n) ? ofEmail : 0n
    return new Map(
      order.map((index) => {
        const own = filled.mask(newest.filled[index] ?? 0) & columns
        const before = own & taken
        taken |= own
        return [index, before]
      }),
    )
  }

  for (const members of byPerson(rivals, newest)) {
    const [only, ...others] = members
    if (only === undefined || (others.length === 0 && newest.rows[only] === 1)) continue
    const order = members.toSorted(newestFirst)
    for (const index of order) {
      const isRepeated = hasBit(rivals.areRepeated, index)
      flags[index] = countsFlag | (newest.named[index] === 1 ? joinsFlag : 0) | (isRepeated ? repeatedFlag : 0)
    }
    const first = order[0] ?? only
    if (others.length > 0 || isKept(only)) flags[first] = (flags[first] ?? 0) | newestFlag
    if (others.length === 0) continue
    const current = takenIn(order, ofCurrent)
    for (const [index, taken] of takenIn(members.toSorted(joinedFirst), ofFirst)) {
      const all = taken | (current.get(index) ?? 0n)
      if (all === 0n) continue
      const number = sets.get(all) ?? sets.size
      sets.set(all, number)
      elsewhere[index] = number
    }
  }
  newest.forgetTimes()
  return packed(rivals, newest.keys, filled, { flags, elsewhere, sets: [...sets.keys()] })
}

function dateOrLast(ms = 0): number {
  return ms === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : ms
}

/** The rivals that have a row that counts, person after person. */
function* byPerson({ persons }: Rivals, { rows }: NewestRows): Generator<number[]> {
  const order = new Int32Array(rows.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0))
  let next = 0
  for (const [index, count] of rows.entries()) if (count > 0) order[next++] = index
  order.sort((a, b) => at(persons, a) - at(persons, b) || a - b)
  let members: number[] = []
  for (const index of order) {
    const [first] = members
    if (first !== undefined && at(persons, first) !== at(persons, index)) {
      yield members
      members = []
    }
    members.push(index)
  }
  if (members.length > 0) yield members
}

function packed(
  { ids }: Rivals,
  keys: Uint32Array,
  filled: FilledColumns,
  settled: { flags: Uint8Array; elsewhere: Int32Array; sets: readonly bigint[] },
): Standings {
  const count = settled.flags.reduce((sum, flag) => sum + (flag > 0 ? 1 : 0), 0)
  const standings: Standings = {
    ids: new BigInt64Array(count),
    keys: new Uint32Array(count),
    elsewhere: new Int32Array(count),
    flags: new Uint8Array(count),
    columns: new Uint8Array(0),
  }
  // Numbered as the ids come, whatever the order in which people were looked at.
  const sets = new Map<number, number>([[-1, -1]])
  let next = 0
  for (const [index, flag] of settled.flags.entries()) {
    if (flag === 0) continue
    const set = settled.elsewhere[index] ?? -1
    if (!sets.has(set)) sets.set(set, sets.size - 1)
    standings.ids[next] = ids[index] ?? 0n
    standings.keys[next] = keys[index] ?? 0
    standings.elsewhere[next] = sets.get(set) ?? -1
    standings.flags[next] = flag
    next++
  }
  const named = [...sets.keys()].slice(1).map((set) => filled.names(settled.sets[set] ?? 0n))
  const names = [...new Set(named.flat())].toSorted()
  const numbers = new Map(names.map((name, number) => [name, number]))
  const json = { names, sets: named.map((set) => set.map((name) => numbers.get(name))) }
  return { ...standings, columns: new TextEncoder().encode(JSON.stringify(json)) }
}
