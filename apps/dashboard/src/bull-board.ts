import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import { type Phase, phases, type RunId } from '@heapferry/domain'
import type { ChunkQueue } from '@heapferry/queue'
import type { Router } from 'express'
import { z } from 'zod'
import { type Colours, colours } from './style.ts'

type Hooks = NonNullable<NonNullable<Parameters<typeof createBullBoard>[0]['options']>['handlerHooks']>

const Queues = z.looseObject({
  queues: z.array(z.looseObject({ counts: z.record(z.string(), z.number()), readOnlyMode: z.boolean() })),
})

/**
 * Bull Board offers all of its buttons or none, of each queue. Where nothing has failed, none would do anything; of those of a
 * queue with failed chunks `board.css` leaves the ones that try them again.
 */
const onlyRetries: Hooks = {
  after({ route }, result) {
    const answer = Queues.safeParse(result.body)
    if (route !== '/api/queues' || !answer.success) return result
    const queues = answer.data.queues.map((queue) => ({
      ...queue,
      readOnlyMode: queue.readOnlyMode || !queue.counts['failed'],
      allowCompletedRetries: false,
    }))
    return { ...result, body: { ...answer.data, queues } }
  },
}

type UIConfig = NonNullable<NonNullable<Parameters<typeof createBullBoard>[0]['options']>['uiConfig']>
type Theme = NonNullable<NonNullable<UIConfig['theme']>['light']>

/** The colours of our own pages, by the names that Bull Board has for them. */
function themeOf({ paper, card, ink, soft, line, link, good, warn, bad }: Colours): Theme {
  return {
    background: paper,
    foreground: ink,
    card,
    popover: card,
    primary: link,
    'primary-foreground': paper,
    secondary: card,
    'secondary-foreground': ink,
    muted: card,
    'muted-foreground': soft,
    accent: line,
    'accent-foreground': ink,
    destructive: bad,
    'destructive-foreground': paper,
    border: line,
    input: line,
    sidebar: card,
    'sidebar-foreground': ink,
    'sidebar-accent': line,
    'sidebar-border': line,
    'font-sans': 'system-ui, sans-serif',
    'font-mono': 'ui-monospace, monospace',
    'status-active': link,
    'status-completed': good,
    'status-failed': bad,
    'status-waiting': warn,
    'status-delayed': warn,
    'status-paused': soft,
  }
}

/** A queue of a run, as the board shows it. */
export interface RunQueue {
  run: RunId
  phase: Phase
  queue: ChunkQueue
}

export function createBoard({ path, readOnly }: { path: string; readOnly: boolean }) {
  const serverAdapter = new ExpressAdapter()
  serverAdapter.setBasePath(path)
  const board = createBullBoard({
    queues: [],
    serverAdapter,
    options: {
      handlerHooks: onlyRetries,
      uiConfig: {
        boardTitle: 'heapferry',
        boardLogo: { path: '/icon.svg', width: 28, height: 28 },
        favIcon: { default: '/icon.svg', alternative: '/icon.svg' },
        theme: { light: themeOf(colours.light), dark: themeOf(colours.dark) },
        miscLinks: [{ text: 'Runs', url: '/' }],
        hideRedisDetails: true,
        hideDocsLink: true,
        // It would warn that nobody works on the queues of finished runs and of phases that are not open.
        showWorkers: false,
      },
    },
  })
  const adapters = new WeakMap<ChunkQueue, BullMQAdapter>()
  const adapterOf = ({ run, phase, queue }: RunQueue): BullMQAdapter => {
    const known = adapters.get(queue)
    if (known) return known
    const adapter = new BullMQAdapter(queue.queue, {
      readOnlyMode: readOnly,
      displayName: `${run} · ${phases.indexOf(phase) + 1} ${phase}`,
      externalJobUrl: () => ({ href: `/runs/${run}`, displayText: 'Run' }),
    })
    adapters.set(queue, adapter)
    return adapter
  }
  const router: Router = serverAdapter.getRouter()
  return {
    router,
    show(queues: readonly RunQueue[]): void {
      board.replaceQueues([])
      board.setQueues(queues.map(adapterOf))
    },
  }
}
