import { grouped, percent, type ServingWorker } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import type { Measured } from './metrics.ts'
import { moment } from './moment.ts'
import type { Content } from './page.ts'
import { bar, isFinal, stateBadge } from './progress.ts'
import type { RunView } from './run-view.ts'
import { type Line, tableOf } from './table.ts'

/** What /metrics tells, for people: the workers of all runs by machine, the depth of the queues, and Redis. */
export function machinesPage(runs: readonly Measured[], redis: RunView['redis']): Content {
  const open = runs.filter(({ status }) => !isFinal(status))
  return {
    title: 'Machines',
    live: true,
    main: html`<h1 id="title">Machines</h1>
<section id="redis"><h2>Redis</h2>${redisOf(redis)}</section>
<section id="queues"><h2>Runs that are not over</h2>${queuesOf(open)}</section>
<section id="workers"><h2>Workers</h2>${workersOf(runs)}</section>`,
  }
}

function redisOf(redis: RunView['redis']): Html {
  const { usedBytes, maxBytes } = redis
  if (maxBytes === null) return html`<p>${memoryText(redis)}; its memory has no limit (maxmemory).</p>`
  const share = usedBytes / maxBytes
  const state = share < 0.8 ? 'running' : 'failed'
  return html`${bar({ state, done: usedBytes, of: maxBytes, label: 'Memory of Redis in use' })}
<p>${memoryText(redis)} (${percent(usedBytes, maxBytes)})</p>`
}

export function memoryText({ usedBytes, maxBytes }: RunView['redis']): string {
  const used = `${grouped(Math.ceil(usedBytes / 1_000_000))} MB`
  return maxBytes === null ? `${used} in use` : `${used} of ${grouped(Math.floor(maxBytes / 1_000_000))} MB in use`
}

function queuesOf(runs: readonly Measured[]): Html {
  if (runs.length === 0) return html`<p>There are none.</p>`
  return tableOf(
    ['run', 'state', 'rows/s', 'rows left', 'chunks waiting', 'in hand', 'failed', 'workers'],
    runs.map(({ run, status, queue, workers }): Line => {
      const { rate, totals } = status
      return {
        name: html`<a href="/runs/${run.id}">${run.id}</a>`,
        cells: [
          { text: stateBadge(status), kind: 'words' },
          { text: rate === null ? '–' : grouped(rate) },
          { text: grouped(Math.max(0, totals.planned - totals.read)) },
          { text: grouped(queue.waiting) },
          { text: grouped(queue.active) },
          { text: grouped(queue.failed), kind: queue.failed > 0 ? 'bad' : 'zero' },
          { text: grouped(workers.length) },
        ],
      }
    }),
  )
}

function workersOf(runs: readonly Measured[]): Html {
  const all = runs.flatMap(({ run, workers }) => workers.map((worker) => ({ run: run.id, worker })))
  if (all.length === 0) return html`<p>No worker has reported.</p>`
  const machines = [...new Set(all.map(({ worker }) => machineOf(worker)))].toSorted()
  return html`${machines.map(
    (machine, index) =>
      html`<section id="machine-${index}"><h3>${machine}</h3>${tableOf(
        ['worker', 'run', 'rows/s', 'chunks in hand', 'memory', 'last report'],
        all
          .filter(({ worker }) => machineOf(worker) === machine)
          .map(({ run, worker: { pulse, fault } }): Line => {
            return {
              name: html`${pulse.worker}${fault === null ? html`` : html`<p class="bad">${fault}</p>`}`,
              cells: [
                { text: run, kind: 'words' },
                { text: grouped(pulse.rate) },
                { text: grouped(pulse.chunks.length) },
                { text: `${grouped(Math.round(pulse.memoryBytes / 1_000_000))} MB` },
                { text: moment(pulse.atMs) },
              ],
            }
          }),
      )}</section>`,
  )}`
}

/** Workers are named for their host and process. */
function machineOf({ pulse: { worker } }: ServingWorker): string {
  return worker.replace(/:\d+$/, '')
}
