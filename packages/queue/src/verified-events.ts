import type { VerifiedDay, VerifiedEvent, VerifiedPeople } from '@heapferry/domain'
import { z } from 'zod'

const count = z.number()
const Packed = z.object({
  first: count,
  /** Events sent on each day from the first on, separated by commas; nothing where there is nothing to tell of a day. */
  sent: z.string(),
  /** By day from the first on, where not all are the same: expected, found, missing. */
  other: z.record(z.string(), z.tuple([count, count, count])),
  people: z.array(z.tuple([count, count, count, count, z.enum(['same', 'differs', 'not_compared'])])).nullable(),
})

/** Some six bytes a day: nearly always as many are found as were sent. */
export function packedEvent({ days, people }: VerifiedEvent): string {
  const first = days[0]?.day ?? 0
  const sent: string[] = []
  const other: z.infer<typeof Packed>['other'] = {}
  for (const one of days) {
    const at = one.day - first
    while (sent.length < at) sent.push('')
    sent[at] = String(one.sent)
    if (one.expected !== one.sent || one.found !== one.sent || one.missing !== 0)
      other[at] = [one.expected, one.found, one.missing]
  }
  const ofPeople =
    people && people.map(({ from, to, expected, found, outcome }) => [from, to, expected, found, outcome])
  return JSON.stringify({ first, sent: sent.join(','), other, people: ofPeople })
}

export function unpackedEvent(event: string | null, packed: string): VerifiedEvent {
  const { first, sent, other, people } = Packed.parse(JSON.parse(packed))
  const days = sent.split(',').flatMap((text, at): VerifiedDay[] => {
    if (text === '') return []
    const [expected, found, missing] = other[at] ?? [Number(text), Number(text), 0]
    return [{ day: first + at, sent: Number(text), expected, found, missing }]
  })
  const ofPeople =
    people &&
    people.map(([from, to, expected, found, outcome]): VerifiedPeople => ({ from, to, expected, found, outcome }))
  return { event, days, people: ofPeople }
}
