import type { PostHogVerification } from '@heapferry/domain'
import type { Merge } from './sample-merges.ts'

/** @param personIds PostHog's, by distinct_id */
export function comparePeople(
  merges: readonly Merge[],
  personIds: ReadonlyMap<string, string>,
): NonNullable<PostHogVerification['people']> {
  const people = { sampled: merges.length, joined: 0, apart: 0, absent: 0, mixed: 0 }
  const ownerOf = new Map<string, string>()
  const mixed = new Set<string>()
  for (const { alias, distinctId } of merges) {
    const [person, other] = [personIds.get(distinctId), personIds.get(alias)]
    if (person === undefined || other === undefined) people.absent++
    else if (person === other) people.joined++
    else people.apart++
    if (person === undefined) continue
    const owner = ownerOf.get(person) ?? distinctId
    ownerOf.set(person, owner)
    if (owner !== distinctId) mixed.add(distinctId)
  }
  return { ...people, mixed: mixed.size }
}
