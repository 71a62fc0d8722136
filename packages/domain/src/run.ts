import { z } from 'zod'
import { RunId } from './ids.ts'
import { defaultMapping, Mapping } from './mapping.ts'
import type { CurrentPace, Pace } from './pace.ts'
import { Phase } from './table.ts'
import type { SessionsRecord } from './sessions.ts'
import type { TransportName } from './sink.ts'
import type { Tally } from './tally.ts'

/** Where a run's events go. */
export const Destination = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('posthog'),
    host: z.url(),
    /** First 16 hex digits of SHA-256 of the project key. The key itself is never stored. */
    keyFingerprint: z.string().regex(/^[0-9a-f]{16}$/),
  }),
  /** Files with an event a line, as PostHog's managed migrations import them: below a folder, or `s3://bucket/prefix`. */
  z.object({ kind: z.literal('json_lines'), root: z.string() }),
])
export type Destination = z.infer<typeof Destination>

/** For people. */
export function destinationText(destination: Destination): string {
  return destination.kind === 'posthog' ? destination.host : `JSON lines in ${destination.root}`
}

/**
 * Which conversion a run was begun with: rows of one run are not converted some this way and some that. It grows with
 * every change of what rows of an export become.
 */
export const conversionVersion = 3

/** The conversions that runs go on with; rows of an earlier one can only be converted by the version that began it. */
export const goneOnWith: readonly number[] = [2, conversionVersion]

/**
 * A mapping as a run of an earlier conversion has it: keys that came later say what was done before there were any, unless
 * they say something else than their default.
 */
function mappingOfThen(mapping: Mapping, conversion: number): Mapping {
  if (conversion >= 3) return mapping
  const { enrich, first_touch } = mapping
  return {
    ...mapping,
    enrich: enrich === defaultMapping.enrich ? 'none' : enrich,
    first_touch: first_touch === defaultMapping.first_touch ? 'skip' : first_touch,
  }
}

const RunFields = z.object({
  id: RunId,
  /** Absolute path of the folder that all paths of the run are relative to. */
  root: z.string(),
  /** As typed by the user: a file, folder or glob. */
  source: z.string(),
  destination: Destination,
  mapping: Mapping,
  /** First 16 hex digits of a SHA-256 of the salt; null where the mapping hashes nothing. The salt is never stored. */
  saltFingerprint: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .nullable()
    .default(null),
  includeRecent: z.boolean(),
  conversion: z.number().int().default(1),
  /** Milliseconds since 1970. Rows are young or in the future relative to this, not to the moment a worker reads them. */
  createdAtMs: z.number().int(),
  /** Of a table's rows; the run pauses itself when more of them than that are rejected. 100 never pauses it. */
  maxRejectedPercent: z.number().min(0).max(100),
  /** Files are cut into chunks of about this size; checkpoints name chunks, so it must not change midway. */
  chunkBytes: z.number().int().positive(),
  /** Of Heap Connect for S3: the last dump that the run was planned with. What later ones replace may be sent already. */
  newestDump: z.number().int().optional(),
})

/** What is fixed when a run is created. A later command with other values is refused, so that no event changes midway. */
export const Run = RunFields.transform((run) => ({ ...run, mapping: mappingOfThen(run.mapping, run.conversion) }))
export type Run = z.infer<typeof Run>

/** Which identities a run was resolved to, and from what. Both SHA-256 in hex. */
export const IdentitiesRecord = z.object({
  /** Of the file that workers load. */
  resolved: z.string(),
  /** Of the names and versions of the files that they were resolved from. */
  files: z.string(),
})
export type IdentitiesRecord = z.infer<typeof IdentitiesRecord>

/** What people (or heapferry itself, when it needs one) want of a run. */
export const Intent = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('run'),
    by: z.string(),
    /** Tables whose rejected rows were too many, and who wants the run has seen it: they pause it no more. */
    acceptedTables: z.array(z.string()).default([]),
  }),
  z.object({ kind: z.literal('pause'), by: z.string(), reason: z.string(), hint: z.string() }),
  z.object({ kind: z.literal('cancel'), by: z.string() }),
])
export type Intent = z.infer<typeof Intent>

/**
 * PostHog answers a worker with "later", or not at all. Told by who waits, the moments are of a clock of its process, which
 * nobody can set; read from the ledger, of the clock that all share.
 */
export const Waiting = z.object({
  sinceMs: z.number().int(),
  detail: z.string(),
  retryAtMs: z.number().int(),
})
export type Waiting = z.infer<typeof Waiting>

/** How much of a phase is planned and done, in chunks. `sealed`: no more chunks will be planned. */
export const PhaseProgress = z.object({
  phase: Phase,
  sealed: z.boolean(),
  planned: z.number().int().nonnegative(),
  done: z.number().int().nonnegative(),
})
export type PhaseProgress = z.infer<typeof PhaseProgress>

export function isComplete(progress: PhaseProgress): boolean {
  return progress.sealed && progress.done >= progress.planned
}

/** How far a warehouse is unloaded, as its producer says. */
export const Unloaded = z.object({
  table: z.string(),
  /** Rows in files, of all tables. */
  rows: z.number().int().nonnegative(),
  of: z.number().int().nonnegative(),
  /** When the producer began, or went on, and how many rows there were then: what a rate is made from. */
  sinceMs: z.number().int(),
  sinceRows: z.number().int().nonnegative(),
  /** Why the warehouse is waited for; null where it answers. */
  waiting: z.string().nullable(),
})
export type Unloaded = z.infer<typeof Unloaded>

/** Everything the ledger knows about how far a run is, read in one go. */
export interface RunProgress {
  /** When it was read, by the clock that all moments of it are told by. */
  nowMs: number
  intent: Intent
  /** How a worker sent last; null while none has. */
  transport: TransportName | null
  phases: readonly PhaseProgress[]
  tables: readonly TableProgress[]
  /** Rows read by all workers at some moments of the last two minutes, oldest first: what a rate is made from. */
  samples: readonly { atMs: number; rowsRead: number }[]
  waiting: readonly Waiting[]
  pace: CurrentPace
  /** When somebody last created it, started its command or let it go on: workers need a moment to come. */
  wantedAtMs: number
  /** When a producer last said that it plans the run; null where none has, or one of an older version. */
  producedAtMs: number | null
  /** Of a warehouse that is being unloaded; else null. */
  unloading: Unloaded | null
}

export interface TableProgress {
  table: string
  /** In which its rows are sent; null where an older version has planned it. */
  phase: Phase | null
  /** Rows that the producer has counted so far. */
  planned: number
  tally: Tally
}

/** Which runs there are, what is wanted of them, and how far they are. */
export interface RunLedger {
  /** Stores the run unless one of that name exists, as `by`'s; answers the stored one, which is wanted from now on. */
  createRun(run: Run, by: string): Promise<Run>
  run(id: RunId): Promise<Run | null>
  /** Newest first. */
  runs(): Promise<Run[]>
  setIdentities(run: RunId, identities: IdentitiesRecord): Promise<void>
  identities(run: RunId): Promise<IdentitiesRecord | null>
  setSessions(run: RunId, sessions: SessionsRecord): Promise<void>
  sessions(run: RunId): Promise<SessionsRecord | null>
  /** Stores what is wanted from now on and, in the timeline, who wants it. */
  setIntent(run: RunId, intent: Intent): Promise<void>
  /** Pauses a run that is wanted to run, and leaves one that a person has paused or cancelled as it is. */
  pauseIfRunning(run: RunId, pause: Extract<Intent, { kind: 'pause' }>): Promise<void>
  intent(run: RunId): Promise<Intent>
  /**
   * Only one producer unloads a warehouse for a run: takes that right, or keeps it, for some seconds.
   * @param holder anything that tells producers apart
   * @returns false where another one has it
   */
  holdUnloading(run: RunId, holder: string): Promise<boolean>
  /** Gives it back, if it has it. */
  releaseUnloading(run: RunId, holder: string): Promise<void>
  /** Stores how far a warehouse is unloaded; null: nothing of it is, now. */
  setUnloading(run: RunId, unloaded: Unloaded | null): Promise<void>
  /** Changes how fast all workers of the run send together, within a second, and says who did in the timeline. */
  setPace(run: RunId, pace: Pace, by: string): Promise<void>
  /**
   * The same, as a command asks for it that may be started again with the same flags, by a supervisor: what it has asked for
   * before changes nothing, whatever a person has set since.
   * @returns whether this was asked for anew
   */
  wishPace(run: RunId, pace: Pace, by: string): Promise<boolean>
  progress(run: RunId): Promise<RunProgress>
}
