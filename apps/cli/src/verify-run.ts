import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { fingerprintOf, hashSaltFor, requireQueries, type Settings } from '@heapferry/config'
import { OperatorError, type Run, type VerifyProgress } from '@heapferry/domain'
import { type Look, verifyAgainstPostHog } from '@heapferry/migration'
import { createQueries } from '@heapferry/posthog'
import type { RedisLedger } from '@heapferry/queue'
import { openRunExport } from './open-run-export.ts'
import { openScratch } from './open-scratch.ts'

export interface VerifyRequest {
  ledger: RedisLedger
  settings: Settings
  by: string
  /** Whether people are counted; undefined: where the export is small. */
  people: boolean | undefined
  lagMs: number
  /** So long it looks again and again while events are on their way. */
  waitMs: number
  stop: AbortSignal
  onProgress: (progress: VerifyProgress) => void
  /** PostHog is asked again later. */
  onWaiting: (detail: string, forMs: number) => void
  onLookingAgain: (totals: Look['verification']['totals'], forMs: number) => void
}

/**
 * Compares what PostHog holds with what a run has sent, and keeps what was found.
 * @throws OperatorError when it cannot be told
 */
export async function verifyRun(run: Run, request: VerifyRequest): Promise<Look> {
  const { ledger, settings, by, people, stop } = request
  const { appHost, personalKey } = requireQueries(settings, run.destination)
  const queries = createQueries({ appHost, personalKey, signal: stop, onWaiting: request.onWaiting })
  const exported = await openRunExport(run, ledger, settings, stop)
  const scratch = openScratch(path.join(settings.HEAPFERRY_HOME, 'runs', run.id))
  const breakOff = (): void => void queries.close()
  stop.addEventListener('abort', breakOff)
  try {
    const project = await queries.findProject(settings.POSTHOG_PROJECT_ID, keyTest(run, settings))
    const verifying = verifyAgainstPostHog(run, {
      ledger,
      countEvents: (ranges) => queries.countEvents(project.id, run.id, ranges),
      personIds: (ids) => queries.personIds(project.id, ids),
      countPeople: (ranges) => queries.countPeople(project.id, run.id, ranges),
      idsOfEvent: (of) => queries.idsOfEvent(project.id, run.id, of),
      countEventsOfPeople: (of) => queries.countEventsOfPeople(project.id, run.id, of),
      people,
      source: exported.source,
      identities: exported.identities,
      hashSalt: hashSaltFor(run.mapping, settings),
      scratch,
      by,
      notes: [
        ...(project.confirmed
          ? []
          : [
              `The personal key may not read the project ${project.id}, so nothing tells whether it is the one of the run.`,
            ]),
        ...(await laterRunNotes(run, ledger)),
      ],
      lagMs: request.lagMs,
      signal: stop,
      onProgress: request.onProgress,
    })
    const seen = await lookUntilSettled(async () => verifying.look(await ledger.nowMs(run.id)), request)
    await ledger.setVerification(run.id, seen.verification, seen.events)
    return seen
  } finally {
    stop.removeEventListener('abort', breakOff)
    await exported.close()
    await scratch.close()
    await queries.close()
  }
}

const firstPauseMs = 2000
const longestPauseMs = 5 * 60_000

async function lookUntilSettled(
  look: () => Promise<Look>,
  { waitMs, stop, onLookingAgain }: VerifyRequest,
): Promise<Look> {
  const untilMs = performance.now() + waitMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const seen = await look()
    const { verdict, totals } = seen.verification
    const forMs = Math.min(pauseMs, untilMs - performance.now())
    if (verdict !== 'pending' || forMs <= 0) return seen
    onLookingAgain(totals, forMs)
    await sleep(forMs, undefined, { signal: stop })
  }
}

/** Whether a project is the one that the run was sent to. Files may have been imported into any: the user says which. */
function keyTest({ destination }: Run, { POSTHOG_PROJECT_ID: project }: Settings): (apiToken: string) => boolean {
  if (destination.kind === 'posthog') return (apiToken) => fingerprintOf(apiToken) === destination.keyFingerprint
  if (project !== undefined) return () => true
  throw new OperatorError(
    `The run wrote files (${destination.root}); nothing says which project imported them`,
    'Set POSTHOG_PROJECT_ID (--project) to the number of that project.',
  )
}

/** What is sent again carries the name of the run that sent it last. */
async function laterRunNotes(run: Run, ledger: RedisLedger): Promise<string[]> {
  const later = (await ledger.runs()).filter(
    (other) =>
      other.createdAtMs > run.createdAtMs &&
      other.root === run.root &&
      isDeepStrictEqual(other.destination, run.destination),
  )
  if (later.length === 0) return []
  const names = later.map(({ id }) => id).join(', ')
  return [
    `Later runs of the same export: ${names}. Events that they sent again carry their name now; verify those runs.`,
  ]
}
