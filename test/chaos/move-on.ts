import { setTimeout as sleep } from 'node:timers/promises'
import type { ChunkId } from '@heapferry/domain'
import type { World } from './world.ts'

export interface Moved {
  /** From the moment its worker was struck until the chunk's checkpoint moved; null where it did not in time. */
  ms: number | null
  /** Whether it could have moved at once: always a free slot while it waited, and nothing else was wrong meanwhile. */
  isAlone: boolean
}

/** What else goes wrong while a chunk waits to be taken over. */
export interface Disturbances {
  /** Redis or PostHog. */
  underWay: number
  lastAtMs: number
  /** When a worker was struck that had the chunk in hand. */
  struck: Map<ChunkId, number>
}

const waitedMs = 180_000

/** Waits until chunks of a struck worker go on, each by itself. */
export async function untilMovedOn(
  world: World,
  disturbances: Disturbances,
  { chunks, atMs }: { chunks: ChunkId[]; atMs: number },
  over: AbortSignal,
): Promise<Moved[]> {
  // What was on its way when the worker died is no move.
  await sleep(300)
  const before = await world.standingOf(chunks)
  return Promise.all(
    chunks.flatMap((chunk, nth) => {
      const checkpoint = before[nth]?.checkpoint ?? null
      return isDone(checkpoint) ? [] : [movedOn(chunk, checkpoint)]
    }),
  )

  async function movedOn(chunk: ChunkId, checkpoint: string | null): Promise<Moved> {
    let isAlone = true
    while (performance.now() - atMs < waitedMs && !over.aborted) {
      const [standing] = await world.standingOf([chunk])
      if (standing?.waits && !(await world.hasFreeSlots())) isAlone = false
      if (disturbances.underWay > 0 || disturbances.lastAtMs > atMs) isAlone = false
      if ((disturbances.struck.get(chunk) ?? 0) > atMs) isAlone = false
      if (standing && standing.checkpoint !== checkpoint) return { ms: performance.now() - atMs, isAlone }
      await sleep(250)
    }
    return { ms: null, isAlone: isAlone && !over.aborted }
  }
}

function isDone(checkpoint: string | null): boolean {
  return checkpoint?.includes('"done":true') ?? false
}
