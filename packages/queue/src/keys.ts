import { ChunkId, type Phase, type RowKey, type RunId } from '@heapferry/domain'

/** Every Redis key of heapferry. BullMQ makes its own below `queuePrefix`. */

/**
 * How keys are named in a Redis. In a cluster all keys of a run have its name in braces, ledger and queues alike: so they
 * are in one slot, as scripts that take several of them need it. Elsewhere they have the names that they always had.
 */
export function keysOf({ isCluster }: { isCluster: boolean }) {
  const tagOf = (run: RunId): string => (isCluster ? `{${run}}` : run)
  /** Below which BullMQ makes its own. */
  const queuePrefix = (run: RunId): string => (isCluster ? `heapferry:${tagOf(run)}` : 'heapferry')
  return {
    queuePrefix,
    queueKeys: (run: RunId, phase: Phase) => queueKeysBelow(`${queuePrefix(run)}:${queueName(run, phase)}`),
    runKeys: (run: RunId) => runKeysBelow(`heapferry-ledger:run:${tagOf(run)}`),
  }
}

/** One queue a run and phase: phases start one after the other, runs are paused and cancelled one by one. */
export function queueName(run: RunId, phase: Phase): string {
  return `${run}-${phase}`
}

/** BullMQ's own keys of a queue. */
function queueKeysBelow(base: string) {
  return {
    /** Lists of job ids. */
    wait: `${base}:wait`,
    active: `${base}:active`,
    /** Sorted sets of job ids. */
    prioritized: `${base}:prioritized`,
    delayed: `${base}:delayed`,
    failed: `${base}:failed`,
    /** Hash of what is so for the whole queue; `paused` is there while it is paused. */
    meta: `${base}:meta`,
    /** Hash. */
    job: (id: string) => `${base}:${id}`,
    /** While a job is active: the token of the worker that holds it. */
    lock: (id: string) => `${base}:${id}:lock`,
  }
}

/** Never there: setting one where it is changes nothing, and tells whether Redis takes writes. One for each beginning of keys. */
export const probeKeys = ['heapferry-ledger:probe', 'heapferry:probe'] as const

/** A sorted set: run ids by the moment of their creation. */
export const runsKey = 'heapferry-ledger:runs'

function runKeysBelow(base: string) {
  return {
    /** Hash: run, intent, wishedPace, wantedAtMs, producedAtMs, unloading, identities, transport, sealed|<phase>, sampledAtMs, historyAtMs, historyEveryMs, rowsRead, rowsSent, rowsRejected. */
    run: base,
    /** Who unloads a warehouse for the run. Forgotten when he says nothing for some seconds. */
    unloader: `${base}:unloader`,
    /** Hash: file id → ExportFile. */
    files: `${base}:files`,
    /** Hash: file id → FilePlan, once the file is cut. */
    plans: `${base}:plans`,
    /**
     * Hash: chunk id → digest of what was planned (90 bytes a chunk in all), and file id → nothing for files whose chunks
     * are all noted here: those of older versions are not.
     */
    chunks: `${base}:chunks`,
    /** Hash: chunk id → Checkpoint. */
    checkpoints: `${base}:checkpoints`,
    /** Hash: file id → rows of it that have ended. */
    fileRows: `${base}:file-rows`,
    /** Hash of counters: `planned|<phase>` and `done|<phase>` in chunks; `<counter>|<table>` in rows. And `phase|<table>`. */
    totals: `${base}:totals`,
    /**
     * Hash: `[table, event, block]` → events sent on each of the block's 32 days, separated by commas, nothing for none.
     * A field for each day would take eight times the memory: 9 MB instead of 1 MB for 100 events in three years.
     */
    sent: `${base}:sent`,
    /** Hash: kind → the last Verification of it. */
    verifications: `${base}:verifications`,
    /** Hash: `event|<name>`, or `all` → what the last Verification against PostHog has found by day and month. A thousand events at most. */
    verified: `${base}:verified`,
    /** Who verifies for pages, since when, and how far. Forgotten when he says nothing for some seconds. */
    verifying: `${base}:verifying`,
    /** Hash: `<chunk id>:<row>` → RejectedRow. A hash, not a list: a batch that is repeated writes the same field again. */
    rejected: `${base}:rejected`,
    /** Hash: who retries rejected rows now, until when they have the right to, and what they have done so far. */
    retry: `${base}:retry`,
    /** Hash: `<chunk id>:<row>` → what a retry sends the row as, from before it is sent until it is settled. */
    sending: `${base}:sending`,
    /** Set of `<chunk id>:<row>`: rows that were rejected until a retry sent or skipped them. */
    retried: `${base}:retried`,
    /** Hash: chunk id → HeldBack, once a retry has looked at the chunk. */
    heldBack: `${base}:heldBack`,
    /** List of `<ms>:<rows read>`, newest first. */
    samples: `${base}:samples`,
    /** List of `<ms>:<rows read>:<sent>:<rejected>`, oldest first; thinned out as the run grows long. */
    history: `${base}:history`,
    /** Hash: worker → Waiting and when it was said. */
    waiting: `${base}:waiting`,
    /** Hash: worker → Pulse. */
    pulses: `${base}:pulses`,
    /** Hash of counters: `status|<HTTP status>`, `time|<index into answerSeconds>` and `ms`. */
    answers: `${base}:answers`,
    /** List of TimelineEntry, oldest first. */
    timeline: `${base}:timeline`,
    /**
     * Hash: limit, changedAtMs, and in µs of Redis' clock: nextAt (the next batch), gateAt and probedAt (Retry-After),
     * lowered, loweredAt and loweredBy (429 and 5xx), busyIdAt.
     */
    pace: `${base}:pace`,
    /** List of `<µs>:<events>` that went within the last second, oldest first. */
    paceLog: `${base}:pace-log`,
    /** Never there, as `probeKeys`. */
    probe: `${base}:probe`,
    /** When a distinct_id may go again, in µs of Redis' clock. Forgotten when it may, which is within seconds. */
    busyId: (hash: string) => `${base}:busy-id:${hash}`,
  }
}

/** What rows are called in hashes and sets. */
export function rowField({ chunk, row }: RowKey): string {
  return `${chunk}:${row}`
}

export function rowOfField(field: string): RowKey {
  const [chunk, row] = field.split(':')
  return { chunk: ChunkId.parse(chunk), row: Number(row) }
}
