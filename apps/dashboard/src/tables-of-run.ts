import { counted, grouped, type RunStatus, type TableStatus } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import { bar } from './progress.ts'
import { type Cell, type Line, tableOf } from './table.ts'

const counters = ['planned', 'read', 'sent', 'skipped', 'rejected'] as const

// As many fit on a screen.
const calmTables = 12
const shownTables = 30

/** All tables by name; where they are many, those with rejected rows and those under way, and the others folded away. */
export function tablesOf({ tables, totals, state }: RunStatus): Html {
  if (tables.length === 0) return html`<p>No table has been planned yet.</p>`
  const lineOf = (table: TableStatus, name: string): Line => ({
    name: html`${name}${bar({ state: isDone(table) ? 'completed' : state, done: table.read, of: table.planned })}`,
    cells: counters.map((counter): Cell => ({ text: grouped(table[counter]), ...emphasis(counter, table[counter]) })),
  })
  const listed = (some: readonly TableStatus[], foot?: Line): Html =>
    tableOf(
      ['table', ...counters],
      some.map((table) => lineOf(table, table.table)),
      foot,
    )
  const all = lineOf(totals, 'all tables')
  if (tables.length <= calmTables) return listed(tables, all)
  const rejected = tables.filter((table) => table.rejected > 0).toSorted((a, b) => b.rejected - a.rejected)
  const well = tables.filter((table) => table.rejected === 0)
  const begun = well.filter((table) => table.read > 0 && !isDone(table))
  const first = [...rejected, ...begun]
  const folded = (name: string, some: readonly TableStatus[], text: string): Html =>
    some.length === 0
      ? html``
      : html`<details id="${name}"><summary>${counted(some.length, 'table')} ${text}</summary>${listed(some)}</details>`
  return html`<p><label>Show tables whose name has <input type="search" data-filters="tables"></label></p>
${listed(first.slice(0, shownTables), all)}
${folded('more-tables', first.slice(shownTables), 'more, with rejected rows or under way')}
${folded(
  'waiting-tables',
  well.filter((table) => table.read === 0 && !isDone(table)),
  'not begun',
)}
${folded('done-tables', well.filter(isDone), 'done without a rejected row')}`
}

function isDone({ planned, read }: TableStatus): boolean {
  return read >= planned
}

function emphasis(counter: (typeof counters)[number], count: number): Pick<Cell, 'kind'> {
  if (count === 0) return { kind: 'zero' }
  return counter === 'rejected' ? { kind: 'bad' } : {}
}
