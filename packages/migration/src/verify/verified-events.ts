import type { VerifiedDay, VerifiedEvent, VerifiedPeople } from '@heapferry/domain'
import type { ComparedDay } from './compare-days.ts'
import { type ComparedPeople, differenceOf } from './compare-unique-people.ts'

const dayMs = 86_400_000

/** The sum of all events, and each of the named ones, in full. */
export function verifiedEvents(
  days: readonly ComparedDay[],
  people: readonly ComparedPeople[] | null,
  names: readonly string[],
): VerifiedEvent[] {
  const daysOf = new Map<string, VerifiedDay[]>()
  const sums = new Map<number, VerifiedDay>()
  for (const { event, day, sent, expected, found } of days) {
    const one = { day, sent, expected, found, missing: Math.max(0, expected - found) }
    listed(daysOf, event).push(one)
    const sum = sums.get(day) ?? { day, sent: 0, expected: 0, found: 0, missing: 0 }
    sums.set(day, sum)
    for (const figure of ['sent', 'expected', 'found', 'missing'] as const) sum[figure] += one[figure]
  }
  const ofPeople = new Map<string, VerifiedPeople[]>()
  for (const count of people ?? []) listed(ofPeople, count.event).push(verifiedPeople(count))
  return [
    { event: null, days: [...sums.values()], people: null },
    ...names.map((event) => ({
      event,
      days: daysOf.get(event) ?? [],
      people: people && (ofPeople.get(event) ?? []),
    })),
  ]
}

function listed<T>(lists: Map<string, T[]>, name: string): T[] {
  const list = lists.get(name) ?? []
  lists.set(name, list)
  return list
}

function verifiedPeople(count: ComparedPeople): VerifiedPeople {
  const { range, expected, found, isLeftOut } = count
  const outcome = isLeftOut ? 'not_compared' : differenceOf(count) === 0 ? 'same' : 'differs'
  return { from: range.fromMs / dayMs, to: range.toMs / dayMs - 1, expected, found, outcome }
}
