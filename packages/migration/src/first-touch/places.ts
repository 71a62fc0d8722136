/** Places of people, each kept once and known by a number: millions of people are in thousands of places. */
export class Places {
  readonly #numbers = new Map<string, number>()
  readonly #texts: string[] = []

  /** @returns -1 for no place */
  numberOf(properties: Record<string, unknown>): number {
    if (Object.keys(properties).length === 0) return -1
    const text = JSON.stringify(properties)
    const known = this.#numbers.get(text)
    if (known !== undefined) return known
    this.#numbers.set(text, this.#texts.length)
    return this.#texts.push(text) - 1
  }

  propertiesOf(number: number): Record<string, unknown> {
    return number === -1 ? {} : JSON.parse(this.#texts[number] ?? '{}')
  }

  /** By what they say, and so the same in whatever order they came. */
  isFirst = (one: number, other: number): boolean => (this.#texts[one] ?? '') < (this.#texts[other] ?? '')
}
