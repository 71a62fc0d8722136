import { hash } from 'node:crypto'

/** How often ids stand in several rows. `share`: the part of all ids that was looked at; 1 where the counts are exact. */
export interface Repeats {
  /** By table: rows whose id an earlier row of the same table has. */
  within: ReadonlyMap<string, number>
  /** Ids that two tables have in common. */
  between: readonly { tables: readonly [string, string]; ids: number }[]
  share: number
}

/**
 * Counts ids that stand in several rows, in memory that does not grow with their number: of more than `maxIds` it goes on
 * with those whose hash is small, a half, a quarter and so on of all. Which those are depends on the ids alone, so
 * an id is looked at in every row or in none.
 */
export class RepeatedIds {
  readonly #maxIds: number
  #tables: string[] = []
  /** By hash: the tables that have the id, in ascending order. Ids of one table share one array. */
  readonly #tablesOf = new Map<number, readonly number[]>()
  readonly #only: (readonly number[])[] = []
  /** By table: how often the id was there again. */
  readonly #again: Map<number, number>[] = []
  #limit = hashes

  // About 100 MB.
  constructor(maxIds = 1_000_000) {
    this.#maxIds = maxIds
  }

  /** @param id canonical: of two spellings of a number each would be an id */
  add(table: string, id: string): void {
    const key = hashOf(id)
    if (key >= this.#limit) return
    const number = this.#numberOf(table)
    const known = this.#tablesOf.get(key)
    if (known?.includes(number)) {
      const again = this.#again[number]
      again?.set(key, (again.get(key) ?? 0) + 1)
      return
    }
    const only = this.#only[number] ?? []
    this.#tablesOf.set(key, known ? [...known, number].toSorted((a, b) => a - b) : only)
    while (this.#tablesOf.size > this.#maxIds) this.#halve()
  }

  repeats(): Repeats {
    const within = new Map<string, number>()
    for (const [number, table] of this.#tables.entries()) {
      let rows = 0
      for (const count of this.#again[number]?.values() ?? []) rows += count
      if (rows > 0) within.set(table, rows)
    }
    const pairs = new Map<string, { tables: readonly [string, string]; ids: number }>()
    for (const numbers of this.#tablesOf.values()) {
      for (const [nth, a] of numbers.entries()) {
        for (const b of numbers.slice(nth + 1)) {
          const pair = pairs.get(`${a} ${b}`) ?? { tables: [this.#tables[a] ?? '', this.#tables[b] ?? ''], ids: 0 }
          pair.ids++
          pairs.set(`${a} ${b}`, pair)
        }
      }
    }
    const between = [...pairs.values()].toSorted((a, b) => b.ids - a.ids)
    return { within, between, share: this.#limit / hashes }
  }

  #halve(): void {
    this.#limit /= 2
    for (const keys of [this.#tablesOf, ...this.#again]) {
      for (const key of keys.keys()) if (key >= this.#limit) keys.delete(key)
    }
  }

  #numberOf(table: string): number {
    const known = this.#tables.indexOf(table)
    if (known !== -1) return known
    const number = this.#tables.push(table) - 1
    this.#only.push([number])
    this.#again.push(new Map())
    return number
  }
}

// 13 hex digits: as many as a double holds exactly. Two of a million ids have the same with a chance of 1 in 9,000.
const hashDigits = 13
const hashes = 16 ** hashDigits

function hashOf(id: string): number {
  return Number.parseInt(hash('sha256', id, 'hex').slice(0, hashDigits), 16)
}
