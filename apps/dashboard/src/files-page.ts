import type { ExportFile, FilePlan, Run } from '@heapferry/domain'
import { grouped } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import type { Content } from './page.ts'
import { bar } from './progress.ts'
import { type Line, tableOf } from './table.ts'

export interface ShownFile {
  file: ExportFile
  /** Null while the file has not been cut whole. */
  plan: FilePlan | null
  read: number
}

const shownFiles = 500

/** The files of a run, those that are not done first. */
export function filesPage(run: Run, files: readonly ShownFile[]): Content {
  const sorted = files.toSorted((a, b) => Number(isDone(a)) - Number(isDone(b)))
  const done = files.filter(isDone).length
  return {
    title: `Files · ${run.id}`,
    live: done < files.length || files.length === 0,
    main: html`<h1 id="title">Files of <a href="/runs/${run.id}">${run.id}</a></h1>
<p id="message">${grouped(done)} of ${grouped(files.length)} files are done.</p>
<section id="files">${listOf(sorted.slice(0, shownFiles))}${
      files.length > shownFiles
        ? html`<p class="hint">${grouped(files.length - shownFiles)} more files are not shown; those that are done come last.</p>`
        : html``
    }</section>`,
  }
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
        name: html`${path}${bar({ state: isDone(shown) ? 'completed' : 'running', done: read, of: plan?.rows ?? 0, label: `Rows of ${path} read` })}`,
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
