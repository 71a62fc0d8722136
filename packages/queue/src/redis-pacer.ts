import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { largestRequest, type OutgoingEvent, type Pace, type Pacer, type RunId } from '@heapferry/domain'
import type { Redis } from './redis-client.ts'
import { z } from 'zod'
import { busyIds, type Part } from './busy-ids.ts'
import { keysOf } from './keys.ts'
import { limitText, paceOf, laterScript, takeScript } from './pace-scripts.ts'

/** One budget for all senders of a run, in Redis. */
export interface RunPacer extends Pacer {
  /** How many events one request may hold at the pace that was in force last. */
  largestBatch(): number
  /** Whether a sender of this process waits, or did so a moment ago: whoever does not move is not stuck then. */
  holdsBack(): boolean
}

// A pace that was changed, or a gate that was opened, is noticed after this.
const longestWaitMs = 1000
// Senders of one process wait for the same moment: one asks, and the others only when its answer should be there.
const turnMs = 2

const Taken = z.union([
  z.tuple([z.literal('go')]),
  z.tuple([z.enum(['wait', 'busy']), z.number()]),
  z.tuple([z.literal('limit'), z.string()]),
])

/** @param known what the limit is, and what it stays should Redis forget it */
export function redisPacer(redis: Redis, run: RunId, known: Pace): RunPacer {
  const { runKeys } = keysOf(redis)
  const keys = runKeys(run)
  const partOf = busyIds()
  let limit = known
  let notBeforeMs = 0
  let heldBackMs = Number.NEGATIVE_INFINITY

  const largestBatch = (): number => largestRequest(limit)

  const firstPart = (events: readonly OutgoingEvent[]): Part =>
    limit === null
      ? { events: Math.min(events.length, largestBatch()), busy: new Map() }
      : partOf(events, largestBatch(), performance.now())

  return {
    largestBatch,
    holdsBack: () => performance.now() - heldBackMs < 2 * longestWaitMs,

    async take(events, signal) {
      let part = firstPart(events)
      while (!signal.aborted) {
        const leftMs = notBeforeMs - performance.now()
        if (leftMs > 0) {
          await sleepUnlessAborted(leftMs, signal)
          continue
        }
        notBeforeMs = performance.now() + turnMs
        // Another sender of this process may have learnt of a lower limit meanwhile.
        if (part.events > largestBatch()) part = firstPart(events)
        const answer = Taken.parse(
          await takeScript(redis, {
            keys,
            args: { known: limitText(limit), events: part.events },
            each: [...part.busy].map(([id, ofBusyId]) => ({ busyId: keys.busyId(hashOf(id)), ofBusyId })),
          }),
        )
        if (answer[0] !== 'go') heldBackMs = performance.now()
        switch (answer[0]) {
          case 'go':
            return part.events
          case 'limit':
            limit = paceOf(answer[1])
            part = firstPart(events)
            break
          case 'wait':
            notBeforeMs = performance.now() + Math.min(answer[1], longestWaitMs)
            break
          case 'busy':
            await sleepUnlessAborted(Math.min(answer[1], longestWaitMs), signal)
        }
      }
      return null
    },

    async later({ afterMs, status }) {
      const lowers = status !== undefined && (status === 429 || status >= 500)
      if (!afterMs && !lowers) return
      await laterScript(redis, {
        keys,
        args: { known: limitText(limit), afterMs: afterMs || '', status: lowers ? status : '' },
      })
    },
  }
}

async function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {})
}

/** An id may be an e-mail address: Redis has only what tells two of them apart. */
function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 16)
}
