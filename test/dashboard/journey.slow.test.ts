import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { writeSampleExport } from '@heapferry/sample-export'
import type { Page } from 'playwright-core'
import { expect, onTestFinished } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { until } from '../support/until.ts'
import { browserTest } from './browser-test.ts'
import { faultless } from './faultless.ts'
import { ask, dashboardProcess } from './support.ts'

const apiKey = 'phc_journey000000000000000000000000000000000000'
const passwords = { operator: 'operator-password', viewer: 'viewer-password' }

browserTest(
  'a run is watched from its start to its end, paused, paced and resumed by keyboard, through faults, and the page says what status and the metrics say',
  async (page, trouble) => {
    const { url, posthog, command, statusOf } = await started()
    await page.goto(`${url}/runs/journey`)
    await signIn(page, passwords.operator, 'Ada')
    await page.getByRole('heading', { name: 'journey' }).waitFor()
    await page
      .getByText(/rows\/s/)
      .first()
      .waitFor()

    await act(page, 'Pause…', 'Pause')
    await page.getByText('Paused by Ada: on request.').waitFor()
    const stood = countsOf((await statusOf()).totals)
    const { text: metrics } = await ask(`${url}/metrics`, {
      headers: { authorization: `Bearer ${passwords.viewer}` },
    })
    await expect.poll(() => shownCounts(page)).toEqual(stood)
    expect(
      ['planned', 'read_total', 'sent_total', 'skipped_total', 'rejected_total'].map((metric) =>
        [...metrics.matchAll(new RegExp(`^heapferry_rows_${metric}{run="journey",.*} (\\d+)$`, 'gm'))].reduce(
          (sum, [, rows]) => sum + Number(rows),
          0,
        ),
      ),
    ).toEqual(stood)
    await page.getByRole('link', { name: 'Change pace…' }).focus()
    await page.keyboard.press('Enter')
    await page.getByLabel(/Events a second/).fill('50000')
    await page.keyboard.press('Enter')
    await page.getByText('Pace').first().waitFor()
    posthog.fault({ kind: 'status', status: 503, next: 3 })
    await act(page, 'Resume…', 'Resume')
    posthog.clearFaults()

    await command.ended
    await page.getByText('Completed, but some rows were rejected.').waitFor()
    const { totals } = await statusOf()
    expect(await shownCounts(page)).toEqual(countsOf(totals))
    await page.getByText('paused by Ada: on request').waitFor()
    expect(trouble).toEqual([])
  },
)

browserTest('no page has a fault that axe finds, in dark or in light', async (page) => {
  const { url, command } = await started()
  await page.goto(url)
  await faultless(page, 'the page to sign in')
  await signIn(page, passwords.operator, 'Ada')
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
  for (const name of ['runs/journey', 'runs/journey/files', 'runs/journey/pause', 'runs/journey/pace', 'machines']) {
    await page.goto(`${url}/${name}`)
    await faultless(page, name)
  }
  await command.ended
  for (const name of ['', 'runs/journey', 'runs/journey/rejected', 'runs/journey/samples', 'runs/nobody']) {
    await page.goto(`${url}/${name}`)
    await faultless(page, name)
  }
})

browserTest('a viewer sees no action, and a wrong password is told', async (page) => {
  const { url, command } = await started()
  await page.goto(`${url}/runs/journey`)
  await signIn(page, 'not the password', 'Eve')
  await page.getByRole('alert').waitFor()
  await signIn(page, passwords.viewer, 'Eve')
  await page.getByText('Eve, viewer').waitFor()
  expect(await page.getByRole('link', { name: /…$/ }).count()).toBe(0)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  command.child.kill('SIGINT')
  await command.ended
})

/** A run with rejected rows that takes a while, and a dashboard of its own that stays when the run is over. */
async function started() {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const source = path.join(folder, 'export')
  await writeSampleExport({ folder: source, seed: 9, people: 500, pageviewRows: 12_000, eventRows: 4000, traps: true })
  posthog.fault({ kind: 'latency', ms: 700 })
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PASSWORD: passwords.operator,
    HEAPFERRY_DASHBOARD_VIEWER_PASSWORD: passwords.viewer,
  }
  const command = heapferry(['run', source, '--run', 'journey', '--no-dashboard', '--max-rejected', '100'], {
    cwd: folder,
    env,
  })
  const { url } = await dashboardProcess(folder, env)
  await until('PostHog is sent events', () => posthog.batches.length > 0)
  return {
    url,
    posthog,
    command,
    async statusOf() {
      const { stdout } = await heapferry(['status', 'journey', '--json'], { cwd: folder, env }).ended
      return JSON.parse(stdout)
    },
  }
}

async function shownCounts(page: Page): Promise<number[]> {
  const shown = await page.locator('#tables tfoot td').allTextContents()
  return shown.map((text) => Number(text.replaceAll(',', '')))
}

function countsOf({ planned, read, sent, skipped, rejected }: Record<string, number>) {
  return [planned, read, sent, skipped, rejected]
}

async function signIn(page: Page, password: string, name: string): Promise<void> {
  await page.getByLabel(/Your name/).fill(name)
  await page.getByLabel('Password').fill(password)
  await page.keyboard.press('Enter')
}

async function act(page: Page, link: string, button: string): Promise<void> {
  await page.getByRole('link', { name: link }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: button }).focus()
  await page.keyboard.press('Enter')
}
