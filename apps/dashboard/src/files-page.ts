import type { ExportFile, FilePlan, Run } from '@heapferry/domain'
import { grouped } from '@heapferry/migration'
import { z } from 'zod'
import { type Html, html } from './html.ts'
import type { Content } from './page.ts'
import { bar } from './progress.ts'
import { type Line, tableOf } from './table.ts'
import { tableChoice } from './table-choice.ts'

export interface ShownFile {
  file: ExportFile
  /** Null while the file has not been cut whole. */
  plan: FilePlan | null
  read: number
}

const shownFiles = 100

/** What an address says of the files that are meant. */
export const FilesQuery = z.object({
  table: z
    .string()
    .transform((name) => (name === '' ? undefined : name))
    .optional(),
  state: z.enum(['open', 'done']).optional(),
  page: z.coerce.number().int().min(1).catch(1),
})
export type FilesQuery = z.infer<typeof FilesQuery>

/** The files of a run, or of one table or state, a hundred at a time; those that are not done first. */
export function filesPage(run: Run, files: readonly ShownFile[], asked: FilesQuery): Content {
  const done = files.filter(isDone).length
  const meant = files.filter((file) => isMeant(file, asked))
  const sorted = meant.toSorted((a, b) => Number(isDone(a)) - Number(isDone(b)))
  const pages = Math.max(1, Math.ceil(sorted.length / shownFiles))
  const page = Math.min(asked.page, pages)
  const link = (change: Partial<FilesQuery>, text: string) =>
    filesLink(run, { ...asked, page: 1, ...change }, text, asked)
  const tables = [...new Set(files.map(({ file }) => file.table.name))].toSorted()
  return {
    title: `Files · ${run.id}`,
    live: done < files.length || files.length === 0,
    main: html`<h1 id="title">Files of <a href="/runs/${run.id}">${run.id}</a></h1>
<p id="message">${grouped(done)} of ${grouped(files.length)} files are done.</p>
<nav id="states" class="choice" aria-label="State">${link({ state: undefined }, 'all')}${link({ state: 'open' }, 'not done')}${link({ state: 'done' }, 'done')}</nav>
${tableChoice(`/runs/${run.id}/files`, tables, { chosen: asked.table, all: 'all tables', ...(asked.state !== undefined && { others: { state: asked.state } }) })}
<section id="files">${meant.length === 0 ? html`<p>There are none.</p>` : listOf(sorted.slice((page - 1) * shownFiles, page * shownFiles))}</section>
<nav id="pages" class="choice" aria-label="Pages">${pages === 1 ? html`` : html`<span>Page ${grouped(page)} of ${grouped(pages)}</span> ${page > 1 ? link({ page: page - 1 }, 'before') : html``}${page < pages ? link({ page: page + 1 }, 'next') : html``}`}</nav>`,
  }
}

function isMeant(shown: ShownFile, { table, state }: FilesQuery): boolean {
  if (table !== undefined && shown.file.table.name !== table) return false
  return state === undefined || isDone(shown) === (state === 'done')
}

function filesLink(run: Run, { table, state, page }: FilesQuery, text: string, shown: FilesQuery): Html {
  const query = new URLSearchParams({
    ...(table !== undefined && { table }),
    ...(state !== undefined && { state }),
    ...(page > 1 && { page: String(page) }),
  }).toString()
  const isShown = table === shown.table && state === shown.state && page === shown.page
  return html`<a href="/runs/${run.id}/files${query === '' ? '' : `?${query}`}"${isShown ? html` aria-current="page"` : html``}>${text}</a> `
}

function isDone({ plan, read }: ShownFile): boolean {
  return plan !== null && read >= plan.rows
}

function listOf(files: readonly ShownFile[]): Html {
  return tableOf(
    ['file', 'table', 'format', 'MB', 'rows', 'read'],
    files.map((shown): Line => {
      const { file, plan, read } = shown
      const { path, table, format, compression, version } = file
      return {
        name: html`${path}${bar({ state: isDone(shown) ? 'completed' : 'running', done: read, of: plan?.rows ?? 0 })}`,
        cells: [
          { text: table.name, kind: 'words' },
          { text: compression === 'none' ? format.kind : `${format.kind}, ${compression}`, kind: 'words' },
          { text: grouped(Math.ceil(version.sizeBytes / 1_000_000)) },
          { text: plan === null ? '–' : grouped(plan.rows) },
          { text: grouped(read) },
        ],
      }
    }),
  )
}
