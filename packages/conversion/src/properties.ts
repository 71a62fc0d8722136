/** Text that JSON has between quotes as it is; some of what it has so is not here. */
const isPlain = /^[ !#-[\]-~\u00a0-\ud7ff\ue000-\uffff]*$/

/** Names that objects, and so JSON, have before all others. */
const isIndex = /^(?:0|[1-9]\d*)$/

/**
 * The properties of an event, or of a person, in the order in which they were first set. One for each compiled converter,
 * which clears it for every row: an object that grows by names as they come costs a worker more than reading the row.
 */
export class Properties {
  readonly #slots = new Map<string, number>()
  readonly #names: string[] = []
  readonly #labels: Label[] = []
  readonly #values: unknown[] = []
  readonly #order: number[] = []
  #count = 0
  #hasIndex = false

  clear(): void {
    for (let nth = 0; nth < this.#count; nth++) this.#values[this.#order[nth] ?? 0] = undefined
    this.#count = 0
  }

  get(name: string): unknown {
    const slot = this.#slots.get(name)
    return slot === undefined ? undefined : this.#values[slot]
  }

  /** @param value JSON can say it, and it is not undefined */
  set(name: string, value: unknown): void {
    const slot = this.#slots.get(name) ?? this.#newSlot(name)
    if (this.#values[slot] === undefined) this.#order[this.#count++] = slot
    this.#values[slot] = value
  }

  entries(): [string, unknown][] {
    return this.#order
      .slice(0, this.#count)
      .map((slot): [string, unknown] => [this.#names[slot] ?? '', this.#values[slot]])
  }

  toObject(): Record<string, unknown> {
    const object: Record<string, unknown> = {}
    for (let nth = 0; nth < this.#count; nth++) {
      const slot = this.#order[nth] ?? 0
      object[this.#names[slot] ?? ''] = this.#values[slot]
    }
    return object
  }

  /** Byte for byte what `JSON.stringify` makes of `toObject()`. */
  toJson(): string {
    if (this.#hasIndex) return JSON.stringify(this.toObject())
    let json = '{'
    let isInText = false
    for (let nth = 0; nth < this.#count; nth++) {
      const slot = this.#order[nth] ?? 0
      const label = this.#labels[slot] ?? noLabel
      const value = this.#values[slot]
      const isText = typeof value === 'string' && isPlain.test(value)
      const before = isInText ? label.behindText : label.behindOther
      // What of a comma and quotes is always the same is one piece: each piece that is joined costs as much as a cell.
      const between = isText ? before.text : before.other
      json += nth === 0 ? between.slice(1) : between
      json += isText ? value : value === true ? 'true' : JSON.stringify(value)
      isInText = isText
    }
    return isInText ? `${json}"}` : `${json}}`
  }

  #newSlot(name: string): number {
    const slot = this.#names.push(name) - 1
    this.#slots.set(name, slot)
    this.#labels.push(labelOf(name))
    this.#values.push(undefined)
    this.#hasIndex ||= isIndex.test(name)
    return slot
  }
}

/** What stands between two values: the quote and comma that end the one, the name of the other, and its quote if it is text. */
interface Label {
  behindText: { text: string; other: string }
  behindOther: { text: string; other: string }
}

function labelOf(name: string): Label {
  const label = `,${JSON.stringify(name)}:`
  return {
    behindText: { text: `"${label}"`, other: `"${label}` },
    behindOther: { text: `${label}"`, other: label },
  }
}

const noLabel = labelOf('')

/** The same as `JSON.stringify`, which takes four times as long for a text that needs no escapes. */
export function jsonOf(text: string): string {
  return isPlain.test(text) ? `"${text}"` : JSON.stringify(text)
}
