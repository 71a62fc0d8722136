import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { Report } from '@heapferry/migration'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'

const apiKey = 'phc_report00000000000000000000000000000000000'
const planted = `<script>alert(1)</script>`

test('a run leaves a report of itself, and no script of an export runs in it', async () => {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const home = path.join(folder, 'home')
  const env = { POSTHOG_HOST: posthog.url, POSTHOG_API_KEY: apiKey, HEAPFERRY_HOME: home }
  const options = { cwd: folder, env }
  const command = (...args: string[]) => heapferryHere(args, options)
  const csv = `event_id,user_id,time\n1,2,2023-01-02 03:04:05\n3,4,${planted}\n5,,2023-01-02 03:04:05\n`
  await writeFile(path.join(folder, 'clicks.csv'), csv)

  // The report has what a worker of its own has told when it ended.
  const { stderr } = await command('run', 'clicks.csv', '--run', 'told', '--workers', '1', '--no-dashboard')
  const html = /Report: (.*)/.exec(stderr)?.[1] ?? ''
  expect(path.dirname(html)).toBe(path.join(home, 'runs', 'told'))
  const report = Report.parse(JSON.parse(await readFile(html.replace(/html$/, 'json'), 'utf8')))
  expect(report.run).toMatchObject({ id: 'told', state: 'completed_with_rejected_rows', destination: posthog.url })
  expect(report.totals).toMatchObject({ read: 3, sent: 1, rejected: 2 })
  expect(report.inputs).toMatchObject([
    { path: 'clicks.csv', rows: 3, read: 3, sha256: createHash('sha256').update(csv).digest('hex') },
  ])
  const rejected = report.rejected.map(({ reason, rows, first }) => [reason, rows, first.row] as const)
  expect(rejected.toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual([
    ['missing_user_id', 1, 3],
    ['unparsable_time', 1, 2],
  ])
  expect(report.timeline.map(({ entry }) => entry.kind)).toEqual([
    'created',
    'phase_completed',
    'transport_chosen',
    'phase_completed',
  ])
  expect(report.answers.by_status).toEqual({ 200: 1 })
  expect(report.undo.events_query).toContain("properties.$import_job_id = 'told'")
  const page = await readFile(html, 'utf8')
  expect(page).toContain('&lt;script&gt;alert(1)')
  expect(page).not.toMatch(/<script|https?:\/\/(?!127\.0\.0\.1|www\.w3\.org)/)
  expect(page).not.toContain(apiKey)

  const elsewhere = path.join(folder, 'kept')
  await writeFile(path.join(folder, 'clicks.csv'), `${csv}6,7,2023-01-02 03:04:05\n`)
  expect((await command('report', 'told', '--out', elsewhere)).code).toBe(0)
  expect(await readdir(elsewhere)).toEqual(['report.html', 'report.json'])
  const later = Report.parse(JSON.parse(await readFile(path.join(elsewhere, 'report.json'), 'utf8')))
  // The file is not the one that was migrated any more.
  expect(later.inputs[0]?.sha256).toBeNull()
})
