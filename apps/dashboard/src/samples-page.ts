import { type Conversion, hashes, type ReadRow, type Run } from '@heapferry/domain'
import { grouped, rejectText, skipText } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import type { Content } from './page.ts'
import { tableOf } from './table.ts'
import { tableChoice } from './table-choice.ts'

/** Some rows of a table, and what each becomes. */
export interface SampledTable {
  table: string
  file: string
  rows: readonly { row: ReadRow; conversion: Conversion }[]
  /** Why there are none; null where there are some. */
  fault: string | null
}

/** Rows of one table beside the events that they become, and the way to the other tables. */
export function samplesPage(run: Run, tables: readonly string[], { table, file, rows, fault }: SampledTable): Content {
  return {
    title: `Before and after · ${run.id}`,
    live: false,
    main: html`<h1 id="title">Rows of <a href="/runs/${run.id}">${run.id}</a>, before and after</h1>
<p id="message">A few rows of each table, and what they become with the mapping of the run. No people are merged here: rows about people are shown as if no other row mentioned them.${hashes(run.mapping) ? ' The salt of hashes is not known here either, so uuids of rows without event_id differ.' : ''}</p>
${tableChoice(`/runs/${run.id}/samples`, tables, { chosen: table })}
<section id="table"><h2>${table}</h2><p class="facts">${file}</p>
${fault === null ? rows.map(pairOf) : html`<p class="bad">${fault}</p>`}</section>`,
  }
}

/** A row beside what becomes of it. */
export function pairOf({ row, conversion }: SampledTable['rows'][number]): Html {
  return html`<div class="pair"><div><h3>Row ${grouped(row.place.row)}</h3>${
    row.kind === 'row' ? cellsOf(row) : html`<p>${row.detail}</p>`
  }</div><div><h3>becomes</h3>${endOf(conversion)}</div></div>`
}

function endOf(conversion: Conversion): Html {
  switch (conversion.kind) {
    case 'event':
      return html`<pre>${JSON.stringify(conversion.event, null, 2)}</pre>`
    case 'skip':
      return html`<p>nothing: <code>${conversion.reason}</code></p><p class="facts">${skipText[conversion.reason]}</p>`
    case 'reject':
      return html`<p class="bad">a rejected row: <code>${conversion.reason}</code></p><p class="facts">${rejectText[conversion.reason]} ${conversion.detail}</p>`
  }
}

const shownChars = 20_000

function cellsOf({ columns, values }: Extract<ReadRow, { kind: 'row' }>): Html {
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
