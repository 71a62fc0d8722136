import { type Identities, type Join, OperatorError, type Resolution, type Standing } from '@heapferry/domain'
import { z } from 'zod'
import { conflictCode, identityCode, isConflict, several } from './codes.ts'
import { conflictAt, conflictWords } from './conflicts.ts'
import { at, findId, hasBit, idText, wordsOf, writeId } from './packed-ids.ts'
import type { ResolvedPeople } from './resolve-people.ts'
import { joinsFlag, newestFlag, repeatedFlag } from './settle-standings.ts'

// 16 bytes; the digit is the version of everything that follows.
const magic = 'heapferry ids 2\n'
const headerBytes = 48

/**
 * The parts of a file that `decodeIdentities` reads in place. Those who hold the same identities have the same bytes.
 *
 * All numbers are little-endian. A header of the magic and eight counts (ids, identities, their bytes, conflicts, superseded
 * ids, named ids, ids of standings, bytes of their columns) is followed by the arrays of
 * `ResolvedIdentities` and `Standings` in the order in which `unpack` takes them, each filled up to a multiple of eight
 * bytes. What there is behind them are the values of groups.
 */
export function encodeIdentities(people: Packed): Uint8Array[] {
  const { ids, superseded, latestDumps, named, owners, parents, conflicts, identityEnds, migratedAway, identities } =
    people
  const { standings } = people
  const header = new Uint8Array(headerBytes)
  new TextEncoder().encodeInto(magic, header)
  const counts = [
    ids.length,
    identityEnds.length,
    identities.length,
    conflicts.length / conflictWords,
    superseded.length,
    named.length,
    standings.ids.length,
    standings.columns.length,
  ]
  new Uint32Array(header.buffer, magic.length).set(counts)
  const parts = [
    ids,
    superseded,
    latestDumps,
    named,
    standings.ids,
    owners,
    parents,
    conflicts,
    identityEnds,
    standings.keys,
    standings.elsewhere,
    migratedAway,
    standings.flags,
    identities,
    standings.columns,
    people.groupValues,
  ]
  return [header, ...parts.flatMap(filledUp)]
}

/**
 * Answers from the bytes themselves; nothing is parsed or copied, so the largest file is ready at once.
 * @throws OperatorError when the bytes were not made by `encodeIdentities`
 */
export function decodeIdentities(bytes: Uint8Array): Identities {
  const packed = unpack(bytes)
  const { owners, parents, migratedAway, conflicts } = packed
  const words = wordsOf(packed.ids)
  const supersededWords = wordsOf(packed.superseded)
  const namedWords = wordsOf(packed.named)
  const standingWords = wordsOf(packed.standings.ids)
  const groupWords = wordsOf(packed.groupValues)
  const columnSets = columnSetsIn(packed.standings.columns)
  const wanted = new Int32Array(2)
  const decoder = new TextDecoder()

  function placeOf(id: string, among: Int32Array): number {
    writeId(id, wanted)
    return findId(among, at(wanted, 0), at(wanted, 1))
  }

  function ownerOf(place: number): string {
    const owner = at(owners, place)
    if (owner >= 0) return idText(words, owner)
    const identity = identityCode(owner)
    const start = identity === 0 ? 0 : packed.identityEnds[identity - 1]
    return decoder.decode(packed.identities.subarray(start, packed.identityEnds[identity]))
  }

  function detailOf(code: number): string {
    const { ids, identities, some } = conflictAt(conflicts, conflictCode(code), words)
    return ids === 1
      ? `user id ${some[0]} has ${identities} identities`
      : `migrations join ${ids} user ids that have ${identities} identities: ${some.join(', ')}${ids > some.length ? ' and others' : ''}`
  }

  return {
    person(userId): Resolution | undefined {
      const place = placeOf(userId, words)
      if (place === -1) return undefined
      if (at(owners, place) === several) return { kind: 'conflict', detail: detailOf(at(parents, place)) }
      return { kind: 'person', distinctId: ownerOf(place), migratedAway: hasBit(migratedAway, place) }
    },
    joinedBy(fromId, toId): Join {
      if (fromId === toId) return { kind: 'nothing' }
      const from = placeOf(fromId, words)
      const to = placeOf(toId, words)
      if (from === -1 || to === -1) throw new Error(`no migration of ${fromId} to ${toId} was resolved`)
      if (isConflict(at(parents, from))) return { kind: 'conflict', detail: detailOf(at(parents, from)) }
      const child = at(parents, from) === to ? fromId : at(parents, to) === from ? toId : undefined
      if (child === undefined) return { kind: 'nothing' }
      const distinctId = ownerOf(from)
      // An identity that reads like one of the person's own ids.
      return child === distinctId ? { kind: 'nothing' } : { kind: 'joins', alias: child, distinctId }
    },
    isKnown: (userId) => placeOf(userId, words) !== -1 || placeOf(userId, namedWords) !== -1,
    isSuperseded(userId, dump) {
      const place = placeOf(userId, supersededWords)
      return place !== -1 && dump < (packed.latestDumps[place] ?? 0)
    },
    givesToGroup: (row) =>
      findId(groupWords, Number(BigInt.asIntN(32, row)), Number(BigInt.asIntN(32, row >> 32n))) !== -1,
    standing(userId, rowKey): Standing | undefined {
      const place = placeOf(userId, standingWords)
      if (place === -1) return undefined
      const { keys, flags, elsewhere } = packed.standings
      const flag = flags[place] ?? 0
      if ((flag & repeatedFlag) !== 0 && rowKey() !== keys[place])
        return { kind: 'older', joins: (flag & joinsFlag) !== 0 }
      return {
        kind: 'counts',
        isNewest: (flag & newestFlag) !== 0,
        elsewhere: columnSets[at(elsewhere, place)] ?? noColumns,
      }
    },
  }
}

const noColumns: ReadonlySet<string> = new Set()

const StoredColumns = z.object({ names: z.array(z.string()), sets: z.array(z.array(z.number().int())) })

function columnSetsIn(bytes: Uint8Array): ReadonlySet<string>[] {
  const { names, sets } = StoredColumns.parse(JSON.parse(new TextDecoder().decode(bytes)))
  return sets.map((set) => new Set(set.map((number) => names[number] ?? '')))
}

type Packed = Omit<ResolvedPeople, 'summary' | 'notices'>

function unpack(given: Uint8Array): Packed {
  // Arrays of wide numbers have to start at multiples of eight bytes; a small file may come in the middle of a pool.
  const bytes = given.byteOffset % 8 === 0 ? given : new Uint8Array(given)
  if (new TextDecoder().decode(bytes.subarray(0, magic.length)) !== magic) throw notIdentities('has another beginning')
  if (bytes.length < headerBytes) throw notIdentities('is cut off')
  const counts = new Uint32Array(bytes.buffer, bytes.byteOffset + magic.length, 8)
  const [
    ids = 0,
    identities = 0,
    identityBytes = 0,
    conflicts = 0,
    superseded = 0,
    named = 0,
    standings = 0,
    columns = 0,
  ] = counts
  let next = headerBytes
  function take<T>(
    array: new (buffer: ArrayBufferLike, start: number, length: number) => T,
    width: number,
    length: number,
  ): T {
    const start = next
    next += Math.ceil((width * length) / 8) * 8
    if (next > bytes.length) throw notIdentities('is cut off')
    return new array(bytes.buffer, bytes.byteOffset + start, length)
  }
  const wide = {
    ids: take(BigInt64Array, 8, ids),
    superseded: take(BigInt64Array, 8, superseded),
    latestDumps: take(Float64Array, 8, superseded),
    named: take(BigInt64Array, 8, named),
  }
  const standingIds = take(BigInt64Array, 8, standings)
  const numbers = {
    owners: take(Int32Array, 4, ids),
    parents: take(Int32Array, 4, ids),
    conflicts: take(Int32Array, 4, conflicts * conflictWords),
    identityEnds: take(Uint32Array, 4, identities),
  }
  const keys = take(Uint32Array, 4, standings)
  const elsewhere = take(Int32Array, 4, standings)
  const migratedAway = take(Uint8Array, 1, Math.ceil(ids / 8))
  const flags = take(Uint8Array, 1, standings)
  const identityTexts = take(Uint8Array, 1, identityBytes)
  const columnTexts = take(Uint8Array, 1, columns)
  return {
    ...wide,
    ...numbers,
    migratedAway,
    identities: identityTexts,
    standings: { ids: standingIds, keys, elsewhere, flags, columns: columnTexts },
    groupValues: take(BigInt64Array, 8, Math.floor((bytes.length - next) / 8)),
  }
}

/** The part's bytes, and as many more as it takes to end at a multiple of eight. */
function filledUp({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array[] {
  return [new Uint8Array(buffer, byteOffset, byteLength), new Uint8Array(-byteLength & 7)]
}

function notIdentities(why: string): OperatorError {
  return new OperatorError(
    `The file of resolved identities is not one that this version of heapferry writes: it ${why}`,
    'Go on with the version that began the run, or start another run with --run NAME: rows that are the same keep their uuids.',
  )
}
