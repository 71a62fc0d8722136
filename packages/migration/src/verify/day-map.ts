/** Something for each day, in days since 1970-01-01, and event. */
export class DayMap<T> {
  readonly #days = new Map<number, Map<string, T>>()

  get(event: string, day: number): T | undefined {
    return this.#days.get(day)?.get(event)
  }

  set(event: string, day: number, value: T): void {
    const events = this.#days.get(day) ?? new Map<string, T>()
    this.#days.set(day, events)
    events.set(event, value)
  }

  forget(day: number): void {
    this.#days.delete(day)
  }

  days(): number[] {
    return [...this.#days.keys()]
  }

  of(day: number): ReadonlyMap<string, T> {
    return this.#days.get(day) ?? new Map()
  }

  *[Symbol.iterator](): Generator<{ event: string; day: number; value: T }> {
    for (const [day, events] of this.#days) for (const [event, value] of events) yield { event, day, value }
  }
}

const dayMs = 86_400_000

export function dayText(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10)
}
