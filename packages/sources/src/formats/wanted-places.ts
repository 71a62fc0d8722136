import type { FoundRow, Place } from '@heapferry/domain'

/** Places whose rows are still to be found, in the file's order. */
export class WantedPlaces {
  readonly #places: Iterator<Place>
  /** Undefined when all have been found. */
  first: Place | undefined

  constructor(places: Iterable<Place>) {
    this.#places = places[Symbol.iterator]()
    this.pass()
  }

  pass(): void {
    const { done, value } = this.#places.next()
    this.first = done ? undefined : value
  }

  /** Gives up those that the reader has passed without finding a row that begins there. */
  *missing(isPassed: (place: Place) => boolean): Generator<FoundRow> {
    while (this.first && isPassed(this.first)) {
      const place = this.first
      this.pass()
      const detail = 'no row begins at this byte, as the file is read now'
      yield { row: { kind: 'unreadable', place, reason: 'not_decodable', detail }, text: null }
    }
  }
}
