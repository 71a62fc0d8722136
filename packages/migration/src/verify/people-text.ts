import type { DifferingPeople, UniquePeople } from '@heapferry/domain'
import { counted, grouped } from '../wording.ts'

const dayMs = 86_400_000

/** `2023-01`, or the days of a part of it. */
export function monthText({ from, to }: Pick<UniquePeople['differing'][number], 'from' | 'to'>): string {
  const isMonth = from.endsWith('-01') && new Date(Date.parse(to) + dayMs).getUTCDate() === 1
  return isMonth ? from.slice(0, 7) : `${from} to ${to}`
}

/** Who some ids are in Heap, and in PostHog. */
export function whoText({ ids, expected, persons }: DifferingPeople): string {
  const who = ids.length === 0 ? 'ids that are not shown' : `user ids ${ids.join(', ')}`
  const there =
    persons.length === 0 ? 'none in PostHog' : `${grouped(persons.length)} in PostHog: ${persons.join(', ')}`
  return `${who}: ${counted(expected, 'person', 'people')} in Heap, ${there}`
}
