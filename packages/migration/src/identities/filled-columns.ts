import type { Columns, Values } from '@heapferry/domain'

/** Which columns rows have something in: each combination is kept once and known by its number, since few come again and again. */
export class FilledColumns {
  readonly #numbers = new Map<string, number>()
  readonly #byColumns = new WeakMap<Columns, readonly number[]>()
  readonly #known = new Map<string, number>()
  /** A bit for each column. */
  readonly #masks: bigint[] = []

  numberOf(columns: Columns, values: Values): number {
    const numbers = this.#numbersOf(columns)
    const words = new Uint16Array(Math.ceil(this.#numbers.size / 16))
    for (const [index, number] of numbers.entries()) {
      const value = values[index] ?? null
      if (value !== null && value !== '') words[number >>> 4] = (words[number >>> 4] ?? 0) | (1 << (number & 15))
    }
    const key = String.fromCharCode(...words)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    this.#known.set(key, this.#masks.length)
    return this.#masks.push(maskOf(words)) - 1
  }

  mask(number: number): bigint {
    return this.#masks[number] ?? 0n
  }

  /** Of the columns that are so. */
  maskWhere(is: (column: string) => boolean): bigint {
    let mask = 0n
    for (const [column, number] of this.#numbers) if (is(column)) mask |= 1n << BigInt(number)
    return mask
  }

  /** In alphabetical order, whatever order they came in. */
  names(mask: bigint): string[] {
    return [...this.#numbers]
      .filter(([, number]) => ((mask >> BigInt(number)) & 1n) === 1n)
      .map(([column]) => column)
      .toSorted()
  }

  #numbersOf(columns: Columns): readonly number[] {
    const known = this.#byColumns.get(columns)
    if (known) return known
    const numbers = columns.map((column) => {
      const number = this.#numbers.get(column) ?? this.#numbers.size
      this.#numbers.set(column, number)
      return number
    })
    this.#byColumns.set(columns, numbers)
    return numbers
  }
}

function maskOf(words: Uint16Array): bigint {
  const hex = Array.from(words, (word) => word.toString(16).padStart(4, '0'))
    .toReversed()
    .join('')
  return hex === '' ? 0n : BigInt(`0x${hex}`)
}
