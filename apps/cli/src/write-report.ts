import { mkdir, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { homeOf, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import { reportPage } from '@heapferry/dashboard'
import { errorMessage, OperatorError, type Run, visible } from '@heapferry/domain'
import { makeReport, readRunStatus, type Report } from '@heapferry/migration'
import type { Production } from '@heapferry/producer'
import { assertGranted, openRunSource, openWorkStore, type S3Options } from '@heapferry/sources'
import type { OpenLedger } from './open-ledger.ts'
import { say } from './print.ts'
import { version } from './version.ts'

/** @param checksums whether every input is read once more for its SHA-256 */
export async function reportOf(
  run: Run,
  { ledger }: Pick<OpenLedger, 'ledger'>,
  { settings, checksums }: { settings: Settings; checksums: boolean },
): Promise<Report> {
  const status = await readRunStatus(run.id, ledger)
  const made = { ledger, status, version, nowMs: Date.now() }
  const options = { store: workStoreOf(settings), s3: s3OptionsOf(settings) }
  if (!checksums || (await isCleaned(run, ledger, options))) return makeReport(run, { ...made, source: null })
  const source = await openRunSource(run, options)
  try {
    return await makeReport(run, { ...made, source })
  } finally {
    source.close()
  }
}

/** Whether nothing may be read for the run any more, on purpose. */
async function isCleaned(
  run: Run,
  ledger: Pick<OpenLedger['ledger'], 'timeline'>,
  { store, s3 }: { store: string; s3: S3Options },
): Promise<boolean> {
  if (!(await ledger.timeline(run.id)).some(({ kind }) => kind === 'cleaned')) return false
  const kept = await openWorkStore(store, s3)
  try {
    // An export's run may have been begun again.
    await assertGranted(run, kept)
    return false
  } catch (error) {
    if (error instanceof OperatorError) return true
    throw error
  } finally {
    kept.close()
  }
}

// Reading it all once more would keep a person waiting; `heapferry report` does it when it is asked to.
const hashedAtOnceBytes = 10_000_000_000

/** Leaves a report beside the run's logs. The run is over, and stays so whatever becomes of its report. */
export async function keepReport({ run, files }: Production, opened: OpenLedger, settings: Settings): Promise<void> {
  const bytes = files.reduce((sum, { version: { sizeBytes } }) => sum + sizeBytes, 0)
  const folder = homeOf(settings.HEAPFERRY_HOME).folder(run.id)
  try {
    const report = await reportOf(run, opened, { settings, checksums: bytes <= hashedAtOnceBytes })
    const { html } = await writeReport(report, folder)
    say(`Report: ${html}`)
  } catch (error) {
    say(visible(`No report was written (${errorMessage(error)}): heapferry report ${run.id} tries again.`))
  }
}

/** Writes `report.html` and `report.json` into a folder; those that are there are replaced. */
export async function writeReport(report: Report, folder: string): Promise<{ html: string; json: string }> {
  const files = { html: path.join(folder, 'report.html'), json: path.join(folder, 'report.json') }
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await replace(files.html, reportPage(report))
  await replace(files.json, `${JSON.stringify(report, null, 2)}\n`)
  return files
}

async function replace(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, file)
}
