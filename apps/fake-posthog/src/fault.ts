import { z } from 'zod'

const When = {
  /** Only the next n requests (of those the other conditions let through). */
  next: z.int().positive().optional(),
  /** Each request with this chance, by a generator that starts from `seed`. */
  probability: z.number().min(0).max(1).default(1),
  seed: z.int().default(1),
  /** Until so long after the fault was set. */
  forMs: z.number().positive().optional(),
}

const Which = {
  event: z.string().optional(),
  uuids: z.array(z.string()).optional(),
  everyNth: z.int().positive().optional(),
}

const isSaid = (which: { event?: unknown; uuids?: unknown; everyNth?: unknown }) =>
  which.event !== undefined || which.uuids !== undefined || which.everyNth !== undefined
const sayWhich = { error: 'expected at least one of event, uuids and everyNth' }

/**
 * Something that goes wrong where events are taken, on `/batch/` or v1. Several can be set; each decides for itself whether
 * a request meets it. Events are chosen by their name, by uuid, or every nth by uuid.
 */
export const Fault = z.discriminatedUnion('kind', [
  /** The answer comes later; what several faults ask for adds up. */
  z.strictObject({ kind: z.literal('latency'), ms: z.number().nonnegative(), ...When }),
  /** Answered without storing, for example 429 with `retryAfterS`, 500, 503. */
  z.strictObject({
    kind: z.literal('status'),
    status: z.int().min(400).max(599),
    retryAfterS: z.int().nonnegative().optional(),
    ...When,
  }),
  /** The connection breaks and nothing is stored. */
  z.strictObject({ kind: z.literal('reset'), ...When }),
  /** Everything is stored, then the connection breaks. */
  z.strictObject({ kind: z.literal('answer_lost'), ...When }),
  /** `/batch/`: 400 for any request that holds one of these events. v1: `drop` with these `details` for each of them. */
  z
    .strictObject({ kind: z.literal('refuse_event'), details: z.string().default('rejected'), ...Which, ...When })
    .refine(isSaid, sayWhich),
  /** v1: `retry` for each of these events. `/batch/` has no such answer. */
  z.strictObject({ kind: z.literal('retry_event'), ...Which, ...When }).refine(isSaid, sayWhich),
  /** v1: these events are stored with a `warning`, as those of an id with too many events a minute are. */
  z
    .strictObject({
      kind: z.literal('warn_event'),
      details: z.string().default('person_processing_disabled'),
      ...Which,
      ...When,
    })
    .refine(isSaid, sayWhich),
  /**
   * These events, or all, are over the billing limit. v1: `drop` for each. `/batch/`: 200 as ever, and they are gone; with
   * `told` the answer has `quota_limited`.
   */
  z.strictObject({ kind: z.literal('billing_limit'), told: z.boolean().default(false), ...Which, ...When }),
  /** v1 is not there: 404, as on PostHogs that do not have it. */
  z.strictObject({ kind: z.literal('v1_missing'), ...When }),
])
export type Fault = z.infer<typeof Fault>
export type FaultInput = z.input<typeof Fault>

type Which = Partial<Pick<Extract<Fault, { kind: 'refuse_event' }>, 'event' | 'uuids' | 'everyNth'>>

/** Whether a fault is about this event. The same event gets the same answer always. */
export function isAbout({ event, uuids, everyNth }: Which, sent: { event: string; uuid: string }): boolean {
  if (event === sent.event) return true
  if (uuids?.includes(sent.uuid)) return true
  if (everyNth !== undefined) return fnv1a(sent.uuid) % everyNth === 0
  // None of the three: about every event.
  return event === undefined && uuids === undefined
}

export interface FaultBox {
  set(input: FaultInput): void
  clear(): void
  /** The faults that one request meets; asking uses up `next`. */
  meet(nowMs: number): readonly Fault[]
}

export function createFaultBox(): FaultBox {
  let set: { fault: Fault; left: number; untilMs: number; random: () => number }[] = []
  return {
    set(input) {
      const fault = Fault.parse(input)
      const untilMs = fault.forMs === undefined ? Infinity : Date.now() + fault.forMs
      set.push({ fault, left: fault.next ?? Infinity, untilMs, random: seededRandom(fault.seed) })
    },
    clear() {
      set = []
    },
    meet(nowMs) {
      set = set.filter((entry) => entry.left > 0 && entry.untilMs > nowMs)
      const met = set.filter(({ fault, random }) => fault.probability === 1 || random() < fault.probability)
      for (const entry of met) entry.left -= 1
      return met.map((entry) => entry.fault)
    },
  }
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** Mulberry32. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
