import { flatProperties } from '@heapferry/conversion'
import type { Conversion, PostHogEvent } from '@heapferry/domain'
import type { ChangedRow, PlannedPlace, TableChanges } from './export-plan.ts'

const samplesShown = 3

/** Counts what changes between two conversions of the same rows. */
export function compareOutcomes(table: string) {
  const changes = {
    table,
    rows: 0,
    changed: 0,
    sent_no_more: 0,
    sent_newly: 0,
    names: 0,
    uuids: 0,
    distinct_ids: 0,
    timestamps: 0,
  }
  const properties = new Map<string, PropertyChanges>()
  const samples: ChangedRow[] = []

  return {
    add(place: PlannedPlace, before: Conversion, after: Conversion): void {
      changes.rows++
      if (!compare(before, after)) return
      changes.changed++
      if (samples.length < samplesShown) samples.push({ place, before, after })
    },
    changes: (): TableChanges => ({
      ...changes,
      properties: [...properties.values()].toSorted((a, b) => rowsOf(b) - rowsOf(a)),
      samples,
    }),
  }

  /** @returns whether an event changes, comes or goes */
  function compare(before: Conversion, after: Conversion): boolean {
    if (before.kind !== 'event' && after.kind !== 'event') return false
    if (before.kind !== 'event') changes.sent_newly++
    else if (after.kind !== 'event') changes.sent_no_more++
    else return compareEvents(before.event, after.event)
    return true
  }

  function compareEvents(before: PostHogEvent, after: PostHogEvent): boolean {
    const isOther = [
      before.event !== after.event && ++changes.names,
      before.uuid !== after.uuid && ++changes.uuids,
      before.distinct_id !== after.distinct_id && ++changes.distinct_ids,
      before.timestamp !== after.timestamp && ++changes.timestamps,
      ...propertyChanges(before, after).map(({ property, kind }) => {
        const change = properties.get(property) ?? { property, added: 0, removed: 0, changed: 0 }
        properties.set(property, change)
        return ++change[kind]
      }),
    ]
    return isOther.some((count) => count !== false)
  }
}

interface PropertyChanges {
  property: string
  added: number
  removed: number
  changed: number
}

function rowsOf({ added, removed, changed }: PropertyChanges): number {
  return added + removed + changed
}

/** Properties that one of two events has alone, or with another value. */
export function propertyChanges(before: Pick<PostHogEvent, 'properties'>, after: Pick<PostHogEvent, 'properties'>) {
  const from = flatProperties(before.properties)
  const to = flatProperties(after.properties)
  return [...new Set([...from.keys(), ...to.keys()])].flatMap((property) => {
    const [a, b] = [from.get(property), to.get(property)]
    if (JSON.stringify(a) === JSON.stringify(b)) return []
    const kind: 'added' | 'removed' | 'changed' = a === undefined ? 'added' : b === undefined ? 'removed' : 'changed'
    return [{ property, kind, before: a, after: b }]
  })
}
