import type { ExportPlace } from '@heapferry/sources'
import type { Presence } from './presence.ts'

/** A place whose readers are known to read while they do. */
export function watchedPlace(place: ExportPlace, presence: Pick<Presence, 'during'>): ExportPlace {
  return {
    ...place,
    async open(path, expected) {
      const blob = await presence.during('reading', () => place.open(path, expected))
      return { ...blob, fill: (target, at) => presence.during('reading', () => blob.fill(target, at)) }
    },
  }
}
