import { type Html, html } from './html.ts'

/** A cell of a table: what it says, and how it is to be taken. */
export interface Cell {
  text: string | Html
  kind?: 'zero' | 'bad' | 'words'
}

export interface Line {
  name: string | Html
  /** One a column. */
  cells: readonly Cell[]
}

/**
 * A table whose first column names the line. On narrow screens each line becomes a block; the roles keep it a table for
 * those who hear it.
 */
export function tableOf(columns: readonly string[], lines: readonly Line[], foot?: Line): Html {
  const [first = '', ...others] = columns
  const isWords = (index: number) => lines.some(({ cells }) => cells[index]?.kind === 'words')
  const lineOf = ({
    name,
    cells,
  }: Line): Html => html`<tr role="row"><th role="rowheader" scope="row">${name}</th>${cells.map(
    ({ text, kind }, index) =>
      html`<td role="cell" data-name="${others[index] ?? ''}"${kind === undefined ? html`` : html` class="${kind}"`}>${text}</td>`,
  )}</tr>
`
  return html`<table role="table">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">${first}</th>${others.map(
    (column, index) =>
      html`<th role="columnheader" scope="col"${isWords(index) ? html` class="words"` : html``}>${column}</th>`,
  )}</tr></thead>
<tbody role="rowgroup">${lines.map(lineOf)}</tbody>
${foot === undefined ? html`` : html`<tfoot role="rowgroup">${lineOf(foot)}</tfoot>`}
</table>`
}
