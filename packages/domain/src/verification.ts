import { z } from 'zod'
import type { RunId } from './ids.ts'
import { Count } from './tally.ts'

/** `YYYY-MM-DD`, of UTC. */
export const Day = z.string().regex(/^\d{4}-\d\d-\d\d$/)

export const Verdict = z.enum([
  'verified',
  'pending', // not all is found yet, and it may be on its way.
  'missing', // something that was sent is not found, and no more is coming.
  'surplus', // more is found than was sent.
])
export type Verdict = z.infer<typeof Verdict>

const Counts = {
  /** Rows that were sent. */
  sent: Count,
  /** Different events among them: rows that an export repeats are one event. */
  expected: Count,
  /** Different events that PostHog holds. */
  found: Count,
}

/** The different people under an event, in a month (UTC), or a part of one where PostHog takes too long for a month. */
const CountOfPeople = {
  event: z.string(),
  from: Day,
  /** The last day of it. */
  to: Day,
  /** After all merges that were sent. */
  expected: Count,
  /** PostHog's `uniq(person_id)`, of events of this run alone. */
  found: Count,
}

/** Ids that are one person in PostHog and several in the export, or the other way round. */
const DifferingPeople = z.object({
  /** User ids: identities are left out, as they may be addresses. */
  ids: z.array(z.string()),
  /** Whose the ids are in the export: one person, or several. */
  expected: Count,
  /** PostHog's ids of the persons whose they are there. */
  persons: z.array(z.string()),
})
export type DifferingPeople = z.infer<typeof DifferingPeople>

const UniquePeople = z.object({
  /** Counts that were compared. */
  compared: Count,
  /** Counts that were not, because not all events that they count are there. */
  left_out: Count,
  /** The largest differences first, a hundred at most. */
  differing: z.array(
    z.object({
      ...CountOfPeople,
      /** Three at most; none where none were found among the first ids, or PostHog takes too long to list them. */
      people: z.array(DifferingPeople),
    }),
  ),
  more_differing: Count,
  /** Events of each of some people, over the whole run; null where not all events are there. */
  sample: z
    .object({
      people: Count,
      differing: z.array(z.object({ ...DifferingPeople.shape, expected_events: Count, found_events: Count })),
    })
    .nullable(),
})
export type UniquePeople = z.infer<typeof UniquePeople>

/** What PostHog was found to hold of a run. Fields are added, never renamed or removed. */
export const PostHogVerification = z.object({
  kind: z.literal('posthog'),
  run: z.string(),
  verdict: Verdict,
  /** The verdict in a sentence. */
  message: z.string(),
  verified_at: z.iso.datetime(),
  by: z.string(),
  /** When to look again, while the verdict is pending. */
  look_again_at: z.iso.datetime().nullable(),
  totals: z.object({
    read: Count,
    ...Counts,
    /** Copies of events that arrived more than once: PostHog merges them by and by. */
    copies: Count,
    /** Events that share their uuid with another, under another person or time: PostHog keeps them apart. */
    shared_uuids: Count,
  }),
  /** The largest first, a thousand at most. */
  events: z.array(z.object({ event: z.string(), ...Counts, copies: Count, days: Count, differing_days: Count })),
  more_events: Count,
  /** Days on which found and expected differ, a hundred at most. */
  differing: z.array(z.object({ event: z.string(), day: Day, ...Counts })),
  more_differing: Count,
  /** Of a sample of the merges that were sent; null where there are none, or they could not be read. */
  people: z
    .object({
      sampled: Count,
      /** Both ids have one person. */
      joined: Count,
      apart: Count,
      /** PostHog does not know one of the ids. */
      absent: Count,
      /** People whose ids have the person of somebody else. */
      mixed: Count,
    })
    .nullable(),
  /** Null where they were not compared. */
  unique_people: UniquePeople.nullable().default(null),
  notes: z.array(z.string()),
})
export type PostHogVerification = z.infer<typeof PostHogVerification>

/** What a fresh read of the export was found to be, beside what the ledger says of it. */
export const SourceVerification = z.object({
  kind: z.literal('source'),
  run: z.string(),
  verdict: Verdict,
  message: z.string(),
  verified_at: z.iso.datetime(),
  by: z.string(),
  tables: z.array(
    z.object({
      table: z.string(),
      /** Rows: `planned`, `read`, `sent`, `skipped.REASON`, `rejected.REASON`; after retries `sent or skipped`, `rejected`. */
      figures: z.array(z.object({ figure: z.string(), ledger: Count, source: Count })),
      differs: z.boolean(),
    }),
  ),
  notes: z.array(z.string()),
})
export type SourceVerification = z.infer<typeof SourceVerification>

export const Verification = z.discriminatedUnion('kind', [PostHogVerification, SourceVerification])
export type Verification = z.infer<typeof Verification>

/** What was found of the events of one name, or of all, day by day, and of their people month by month. */
export interface VerifiedEvent {
  /** Null for the sum of all. */
  event: string | null
  /** Those on which something was sent or found (UTC), ascending. */
  days: readonly VerifiedDay[]
  /** Ascending; null where they were not counted. */
  people: readonly VerifiedPeople[] | null
}

export interface VerifiedDay {
  /** In days since 1970-01-01. */
  day: number
  sent: number
  expected: number
  found: number
  /** Of those that were expected. Of a sum of events, more may be found than these and `found` tell. */
  missing: number
}

/** The different people under an event in a month: after all merges in the export, and in PostHog. */
export interface VerifiedPeople {
  /** In days since 1970-01-01; `to` is the last. */
  from: number
  to: number
  expected: number
  found: number
  /** Not compared: not the events that were sent are there. Same: also where retries explain the difference. */
  outcome: 'same' | 'differs' | 'not_compared'
}

/** What somebody who verifies is at. */
export const VerifyProgress = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('asking') }),
  /** Rows of a table of the export. */
  z.object({ kind: z.literal('reading'), table: z.string(), rows: Count }),
])
export type VerifyProgress = z.infer<typeof VerifyProgress>

/** A verification that was wanted on a page, and goes on. */
export const VerificationUnderWay = z.object({
  by: z.string(),
  sinceMs: z.number(),
  progress: VerifyProgress,
})
export type VerificationUnderWay = z.infer<typeof VerificationUnderWay>

/** The right to verify a run on behalf of pages: one process has it at a time, which says every second that it lives. */
export interface VerificationHold {
  run: RunId
  token: string
}

/** What was sent of one table. */
export interface SentTable {
  table: string
  /** Of the tally. */
  rows: number
  /**
   * By event and day, in days since 1970-01-01. They add up to less than `rows` where some were not counted: a run of an
   * older version, a Redis that went back in time, or more different events than fit.
   */
  events: readonly { event: string; days: ReadonlyMap<number, number> }[]
}

/** What was sent, by event and day, and what was found when somebody looked for it. */
export interface VerificationLedger {
  sentTables(run: RunId): Promise<SentTable[]>
  /** Keeps it in the place of the last of its kind, and in the timeline. @param events with the sum of all, of PostHog's */
  setVerification(run: RunId, verification: Verification, events?: readonly VerifiedEvent[]): Promise<void>
  /** The last of each kind. */
  verifications(run: RunId): Promise<{ posthog: PostHogVerification | null; source: SourceVerification | null }>
  /** Of PostHog's last, by day: the sum of all, and the named events. Those that an older version has kept are not there. */
  verifiedEvents(run: RunId, events: readonly string[]): Promise<VerifiedEvent[]>
  /** Null when it was taken, else who has it. */
  takeVerification(hold: VerificationHold, by: string): Promise<VerificationUnderWay | null>
  /** False where another has it by now. */
  keepVerification(hold: VerificationHold, progress: VerifyProgress): Promise<boolean>
  /** Null where none goes on. */
  verificationUnderWay(run: RunId): Promise<VerificationUnderWay | null>
  endVerification(hold: VerificationHold): Promise<void>
}
