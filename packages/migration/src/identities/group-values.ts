import { cellsOf, compileGroupRows, compileUserRows, usersTableOf } from '@heapferry/conversion'
import { type ExportFile, type Mapping, OperatorError, type Slice } from '@heapferry/domain'
import { hashOf } from '../converters.ts'
import { readAhead } from '../read-ahead.ts'
import { grouped } from '../wording.ts'
import { byColumns } from './by-columns.ts'
import { at, findId, wordsOf, writeId } from './packed-ids.ts'
import { idOf } from './identity-facts.ts'
import type { ResolvedIdentities } from './resolve-identities.ts'

/**
 * Of each property of each group the row that gives it: the newest that has something in it, by last_modified, else
 * joindate. PostHog keeps of a group what arrives last, and workers send rows in any order. Where two rows are of one time,
 * a hash of what they say decides, so that neither the order of rows nor that of files does.
 *
 * @returns `GroupValue.row` of those rows, ascending
 * @throws OperatorError where there are more groups and properties than fit into the memory that they may take
 */
export async function groupValues(
  { superseded, latestDumps }: Pick<ResolvedIdentities, 'superseded' | 'latestDumps'>,
  files: readonly ExportFile[],
  read: (file: ExportFile) => AsyncIterable<Slice>,
  { mapping, hashSalt }: { mapping: Mapping; hashSalt: string | null },
): Promise<BigInt64Array> {
  const newest = new NewestValues()
  const supersededWords = wordsOf(superseded)
  const id = new Int32Array(2)
  const ofGroups = files.filter(({ table }) => table.kind === 'groups')
  for await (const { file, slices } of readAhead(ofGroups, read)) {
    const { table } = file
    if (table.kind !== 'groups') continue
    const users = usersTableOf(table)
    const rowsOf = byColumns((columns) => ({
      people: compileUserRows(users, columns, mapping),
      groups: compileGroupRows(table, columns, { mapping, hash: hashOf(hashSalt) }),
      idAt: columns.indexOf('user_id'),
    }))
    const isOld = (text: string | undefined): boolean => {
      if (table.dump === undefined || text === undefined) return false
      writeId(text, id)
      const latest = findId(supersededWords, at(id, 0), at(id, 1))
      return latest !== -1 && table.dump < (latestDumps[latest] ?? 0)
    }
    for await (const slice of slices) {
      for (const row of slice.rows) {
        if (row.kind !== 'row') continue
        const { people, groups, idAt } = rowsOf(row.columns)
        const values = cellsOf(row.values, row.types)
        if (!people.counts(values) || isOld(idOf(values[idAt] ?? null))) continue
        const group = groups.groupIn(values)
        if (group === null) continue
        const modifiedMs = people.lastModifiedMs(values)
        const timeMs = Number.isFinite(modifiedMs) ? modifiedMs : people.joindateMs(values)
        for (const value of group.values) newest.add(value.property, timeMs, value.row)
      }
    }
  }
  return newest.rows()
}

// 200 MB at most, and half as much again for a moment while the table grows.
const mostValues = 1 << 22

/** Of each property of each group the newest row so far, packed: open addressing, at least half of the slots are free. */
class NewestValues {
  #properties = new BigInt64Array(1 << 10)
  #times = new Float64Array(1 << 10)
  #rows = new BigInt64Array(1 << 10)
  #count = 0

  add(hash: bigint, timeMs: number, row: bigint): void {
    // 0 says that a slot is free.
    const property = hash === 0n ? 1n : hash
    const slot = this.#slotOf(property)
    const isNew = this.#properties[slot] === 0n
    const knownMs = this.#times[slot] ?? 0
    if (!isNew && (timeMs < knownMs || (timeMs === knownMs && row <= (this.#rows[slot] ?? 0n)))) return
    this.#properties[slot] = property
    this.#times[slot] = timeMs
    this.#rows[slot] = row
    if (!isNew) return
    this.#count++
    if (this.#count > mostValues) throw tooMany()
    if (this.#count * 2 > this.#properties.length) this.#grow()
  }

  rows(): BigInt64Array {
    const all = new BigInt64Array(this.#count)
    let next = 0
    for (const [slot, property] of this.#properties.entries()) if (property !== 0n) all[next++] = this.#rows[slot] ?? 0n
    all.sort()
    return all
  }

  #slotOf(property: bigint): number {
    const mask = this.#properties.length - 1
    let slot = Number(BigInt.asUintN(32, property)) & mask
    while (this.#properties[slot] !== 0n && this.#properties[slot] !== property) slot = (slot + 1) & mask
    return slot
  }

  #grow(): void {
    const [properties, times, rows] = [this.#properties, this.#times, this.#rows]
    this.#properties = new BigInt64Array(properties.length * 2)
    this.#times = new Float64Array(properties.length * 2)
    this.#rows = new BigInt64Array(properties.length * 2)
    for (const [index, property] of properties.entries()) {
      if (property === 0n) continue
      const slot = this.#slotOf(property)
      this.#properties[slot] = property
      this.#times[slot] = times[index] ?? 0
      this.#rows[slot] = rows[index] ?? 0n
    }
  }
}

function tooMany(): OperatorError {
  return new OperatorError(
    `The export has more than ${grouped(mostValues)} groups times properties, and the newest value of each would take more memory than there is for them`,
    'Is the key of the groups a column that most people have of their own? Leave properties out of groups: in the mapping file; events get $groups without them.',
  )
}
