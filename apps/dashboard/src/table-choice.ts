import { type Html, html } from './html.ts'

/** Leads to the same page for another table: a list of hundreds takes a line. @param others what else the address says */
export function tableChoice(
  address: string,
  tables: readonly string[],
  { chosen, all, others = {} }: { chosen: string | undefined; all?: string; others?: Record<string, string> },
): Html {
  const option = (value: string, text: string): Html =>
    html`<option value="${value}"${value === (chosen ?? '') ? html` selected` : html``}>${text}</option>`
  return html`<form id="of-table" class="choice" method="get" action="${address}">
<label>Table <select name="table">${all === undefined ? html`` : option('', all)}${tables.map((table) => option(table, table))}</select></label>
${Object.entries(others).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}<button>Show</button></form>`
}
