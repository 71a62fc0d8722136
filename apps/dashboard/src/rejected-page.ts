import type { ReadRow, RejectReason, Run } from '@heapferry/domain'
import { grouped, type RejectedGroup } from '@heapferry/migration'
import type { Visitor } from './access.ts'
import { type Html, html } from './html.ts'
import type { Content } from './page.ts'
import { questionPage } from './question.ts'
import { groupFacts } from './reasons.ts'
import { tableOf } from './table.ts'

/** What an address says of the rows that are meant. */
export interface Meant {
  table?: string | undefined
  reason?: RejectReason | undefined
}

/** Rejected rows by table, reason and shape, the largest group first; to operators also the way to the rows themselves. */
export function rejectedPage(
  run: Run,
  groups: readonly RejectedGroup[],
  { visitor, retriable }: { visitor: Visitor; retriable: boolean },
): Content {
  const rows = groups.reduce((sum, group) => sum + group.rows, 0)
  const mayRead = visitor.role === 'operator'
  const tables = [...new Set(groups.map(({ table }) => table))].toSorted()
  return {
    title: `Rejected rows · ${run.id}`,
    live: false,
    main: html`<h1 id="title">Rejected rows of <a href="/runs/${run.id}">${run.id}</a></h1>
<p id="message">${rows === 0 ? 'There are none.' : `${grouped(rows)} rows were not sent. They are still in the export.`}</p>
<ul id="groups" class="reasons">${groups.map((group) => groupItem(run, group, { mayRead, retriable }))}</ul>
${
  mayRead && rows > 0
    ? html`<section id="downloads"><h2>The rows themselves</h2>
<p>As CSV, with reason and place in the first columns: fix the rows there and send them with <code>heapferry retry ${run.id} --from FILE</code>. The files contain personal data.</p>
<p class="actions">${tables.map((table) => html`<a class="button" href="/runs/${run.id}/rejected.csv?${query({ table })}" download>${table}</a> `)}</p></section>`
    : html``
}`,
  }
}

function groupItem(
  run: Run,
  group: RejectedGroup,
  { mayRead, retriable }: { mayRead: boolean; retriable: boolean },
): Html {
  const { table, reason, first } = group
  const command = `heapferry retry ${run.id} --reason ${reason} --table ${table}`
  return html`<li>${groupFacts(group)}
${
  mayRead
    ? html`<p class="actions"><a class="button" href="/runs/${run.id}/rejected/row?${query({ file: first.file, row: String(first.row), byte: String(first.byte) })}">Show that row</a>
${retriable ? html`<a class="button" href="/runs/${run.id}/retry?${query({ table, reason })}">Retry…</a>` : html`<span class="hint">After a fix: <code>${command}</code></span>`}</p>`
    : html``
}</li>`
}

/** Asks before rows are sent again. */
export function retryQuestion(run: Run, { table, reason }: Meant): Content {
  const which = [reason !== undefined && `rejected as ${reason}`, table !== undefined && `of ${table}`]
  return questionPage({
    title: `Retry rejected rows of ${run.id}?`,
    address: `/runs/${run.id}/retry?${query({ table, reason })}`,
    body: html`<p>Rows ${which.filter((part) => part !== false).join(' ')} are read from the export again and sent according to the mapping of the run. Those that still cannot be sent stay rejected. To send them with another mapping, or after fixing rows, use <code>heapferry retry</code>.</p>`,
    button: 'Retry',
    leave: { address: `/runs/${run.id}/rejected`, text: 'Leave them as they are' },
  })
}

/** A row as it stands in the export. */
export function rowPage(run: Run, place: { file: string; row: number }, row: ReadRow, text: string | null): Content {
  return {
    title: `Row ${grouped(place.row)} of ${place.file}`,
    live: false,
    main: html`<h1 id="title">Row ${grouped(place.row)} of ${place.file}</h1>
<p id="back"><a href="/runs/${run.id}/rejected">Rejected rows of ${run.id}</a></p>
<section id="row">${row.kind === 'row' ? cellsOf(row) : html`<p>${row.detail}</p>`}
${row.kind === 'row' || text === null ? html`` : html`<h2>The text at that place</h2><pre>${text.slice(0, shownChars)}</pre>`}</section>`,
  }
}

const shownChars = 20_000

export function cellsOf({ columns, values }: Extract<ReadRow, { kind: 'row' }>): Html {
  return tableOf(
    ['column', 'value'],
    columns.map((column, index) => {
      const value = values[index] ?? null
      return {
        name: column,
        cells: [{ text: value?.slice(0, shownChars) ?? '–', kind: 'words' }],
      }
    }),
  )
}

function query(values: Record<string, string | undefined>): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value !== undefined) given.set(name, value)
  return given.toString()
}
