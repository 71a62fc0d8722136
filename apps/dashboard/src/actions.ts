import {
  OperatorError,
  Pace,
  phases,
  type QueueStates,
  type Run,
  type RunLedger,
  type RunProgress,
  type TimelineLedger,
} from '@heapferry/domain'
import { isEveryChunkDone, isRunComplete, wantedToGoOn } from '@heapferry/migration'
import { z } from 'zod'
import type { Board } from './board.ts'
import { type Html, html } from './html.ts'
import type { Content } from './page.ts'
import { questionPage } from './question.ts'

export interface Change {
  run: Run
  ledger: RunLedger & QueueStates & TimelineLedger
  board: Board
  /** Who wants it, for the timeline. */
  by: string
}

/** What a person can do to a run: each is asked for once more before it is done. */
const actions = {
  pause: {
    verb: 'Pause',
    question: (run: string) => `Pause ${run}?`,
    text: 'Workers finish their current batches and stop. Nothing is lost; the run goes on when it is resumed.',
    apply: async ({ run, ledger, by }: Change) =>
      ledger.setIntent(run.id, { kind: 'pause', by, reason: 'on request', hint: 'Resume it to go on.' }),
  },
  resume: {
    verb: 'Resume',
    question: (run: string) => `Resume ${run}?`,
    text: 'Workers go on from the last checkpoints. The rejected rows that paused the run are left out from now on.',
    apply: async ({ run, ledger, board, by }: Change) => {
      // Somebody may have paused them by BullMQ's own means.
      for (const phase of phases) await board.queueOf(run.id, phase).resume()
      await ledger.setIntent(run.id, wantedToGoOn(run, await ledger.progress(run.id), by))
    },
  },
  again: {
    verb: 'Try again',
    question: (run: string) => `Try ${run} again?`,
    text: 'The chunks that failed go back to the queue, each from its last checkpoint. Nothing is sent twice.',
    apply: async ({ run, ledger, board, by }: Change) => {
      for (const phase of phases) {
        if ((await ledger.queueState(run.id, phase)).failed === 0) continue
        await ledger.record(run.id, { kind: 'chunks_retried', atMs: await ledger.nowMs(run.id), by, phase })
        await board.queueOf(run.id, phase).retryFailed()
      }
    },
  },
  cancel: {
    verb: 'Cancel for good',
    question: (run: string) => `Cancel ${run} for good?`,
    text: 'The run ends and cannot be resumed. What was sent stays in PostHog, which cannot delete events selectively. To migrate the rest, start another run: no event is duplicated.',
    apply: async ({ run, ledger, board, by }: Change) => {
      await ledger.setIntent(run.id, { kind: 'cancel', by })
      for (const phase of phases) await board.queueOf(run.id, phase).remove()
    },
  },
} as const

export type ActionName = keyof typeof actions

export function isAction(name: unknown): name is ActionName {
  return typeof name === 'string' && Object.hasOwn(actions, name)
}

/** What can be done to the run as it is now. */
export async function actionsFor(run: Run, ledger: Change['ledger']): Promise<ActionName[]> {
  const progress = await ledger.progress(run.id)
  if (progress.intent.kind === 'cancel' || isRunComplete(progress)) return []
  if (isEveryChunkDone(progress)) return ['cancel']
  if (progress.intent.kind === 'pause') return ['resume', 'cancel']
  const queues = await Promise.all(phases.map((phase) => ledger.queueState(run.id, phase)))
  return [
    ...(queues.some(({ failed }) => failed > 0) ? (['again'] as const) : []),
    ...(queues.some(({ paused }) => paused) ? (['resume'] as const) : []),
    ...(queues.some(({ waiting, active }) => waiting + active > 0) || !isPlanned(progress) ? (['pause'] as const) : []),
    'cancel',
  ]
}

function isPlanned({ phases: all }: RunProgress): boolean {
  return all.every(({ sealed }) => sealed)
}

/** @throws OperatorError when the run is not in a state for it, as when two people act at once */
export async function act(name: ActionName, change: Change): Promise<void> {
  const possible = await actionsFor(change.run, change.ledger)
  if (!possible.includes(name)) {
    throw new OperatorError(
      `${change.run.id} cannot be changed that way now: someone else has changed it, or it is over`,
      'See the page of the run.',
    )
  }
  await actions[name].apply(change)
}

/** Links to the questions. */
export function actionBar(run: Run, possible: readonly ActionName[]): Html {
  if (possible.length === 0) return html``
  const others = possible.filter((name) => name !== 'cancel')
  const mayChangePace = run.destination.kind === 'posthog' && others.length > 0
  return html`<p class="actions">${others.map((name) => actionLink(run, name))}${mayChangePace ? html`<a id="pace" class="button" href="/runs/${run.id}/pace">Change pace…</a>` : html``}
${possible.includes('cancel') ? actionLink(run, 'cancel') : html``}</p>`
}

/** What cannot be taken back stands apart, and is red. */
function actionLink(run: Run, name: ActionName): Html {
  const { verb } = actions[name]
  return html`<a id="${name}" class="button${name === 'cancel' ? ' grave' : ''}" href="/runs/${run.id}/${name}">${verb}…</a> `
}

/** Asks how fast the run may send. @param wrong what was wrong with the last answer */
export function paceQuestion(run: Run, limit: Pace, wrong: string | null): Content {
  return questionPage({
    title: `Pace of ${run.id}`,
    address: `/runs/${run.id}/pace`,
    body: html`<p>How many events a second all workers together may send. PostHog’s own importers send at most 5,000. Workers follow a change within two seconds.</p>
${wrong === null ? html`` : html`<p class="bad" role="alert">${wrong}</p>`}
<label>Events a second (empty for no limit) <input name="pace" inputmode="numeric" value="${limit === null ? '' : String(limit)}"></label>`,
    button: 'Change pace',
    leave: leaveIt(run, 'pace'),
  })
}

/** `5000`, `5,000` or nothing, as typed. */
export const PaceForm = z.object({
  pace: z
    .string()
    .trim()
    .regex(/^(?:\d{1,3}(?:,\d{3})*|\d+)?$/)
    .transform((text) => (text === '' ? null : Number(text.replaceAll(',', ''))))
    .pipe(Pace),
})

/** Asks before it is done. */
export function confirmation(run: Run, name: ActionName): Content {
  const { verb, question, text } = actions[name]
  return questionPage({
    title: question(run.id),
    address: `/runs/${run.id}/${name}`,
    body: html`<p>${text}</p>`,
    button: verb,
    grave: name === 'cancel',
    leave: leaveIt(run, name),
  })
}

function leaveIt(run: Run, link: ActionName | 'pace'): { address: string; text: string } {
  return { address: `/runs/${run.id}#${link}`, text: 'Leave it as it is' }
}
