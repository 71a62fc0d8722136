import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { openPrivateRedis } from '@heapferry/queue'
import type { Page } from 'playwright-core'
import { beforeEach, expect, onTestFinished } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'
import { browserTest } from './browser-test.ts'
import { dashboardProcess } from './support.ts'

const apiKey = 'phc_actions000000000000000000000000000000000000'
const operatorPassword = 'operator-password'

let folder: string
let posthog: FakePostHog
let env: Record<string, string>

beforeEach(async () => {
  folder = await temporaryFolder()
  await mkdir(path.join(folder, 'export'))
  posthog = await startFakePostHog({ apiKey, keep: 'events' })
  const redis = await openPrivateRedis({ home: path.join(folder, 'redis-home'), serverCandidates })
  onTestFinished(async () => {
    await redis.close()
    await posthog.stop()
  })
  env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: redis.url,
    HEAPFERRY_DASHBOARD_PASSWORD: operatorPassword,
    // It sends at once, also to a PostHog that only says 503.
    HEAPFERRY_TRANSPORT: 'batch',
  }
})

browserTest(
  'rows that PostHog refused are downloaded and sent again from the page, and so is the report, all without reloading it',
  async (page, trouble) => {
    await exportOf('clicks.csv', ['1,7,2023-01-02 03:04:05,fine', '2,7,2023-01-02 03:04:06,mended soon'])
    await exportOf('taps.csv', ['3,7,soon,never'])
    posthog.fault({ kind: 'refuse_event', event: 'clicks' })
    expect(await migrated()).toBe(3)
    posthog.clearFaults()
    const { url } = await dashboardProcess(folder, env)
    await page.goto(`${url}/runs/acted`)
    await signIn(page)
    await page.getByRole('link', { name: 'Grouped by fault' }).click()

    const downloading = page.waitForEvent('download')
    await page.getByRole('link', { name: 'clicks', exact: true }).click()
    const rows = await readFile(await (await downloading).path(), 'utf8')
    expect(rows).toMatch(/refused_by_posthog,[^\n]*,clicks,clicks\.csv,2,[^\n]*mended soon/)

    const clicks = page.getByRole('listitem').filter({ hasText: 'of clicks' })
    await clicks.getByRole('link', { name: 'Show that row' }).click()
    await page.getByRole('cell', { name: 'fine' }).waitFor()
    await page.goBack()
    await clicks.getByRole('link', { name: 'Retry…' }).click()
    await page.getByRole('button', { name: 'Retry' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByText('The rows themselves').waitFor()
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Retry… refused_by_posthog of clicks')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Retry' }).click()
    // In place, on the page of rejected rows.
    await page.getByText('(2 refused_by_posthog): 2 sent, 0 skipped, 0 still rejected').waitFor()
    await page.getByText('1 row was not sent').waitFor()
    expect(await clicks.count()).toBe(0)
    await page.getByRole('link', { name: 'acted' }).click()
    expect(await page.locator('#tables tfoot td').allTextContents()).toEqual(['3', '3', '2', '0', '1'])
    expect([...posthog.stored.values()].map(({ event }) => event)).toEqual(['clicks', 'clicks'])

    for (const [link, shows] of [
      ['page', '<!doctype html>'],
      ['JSON', '"rejected":1'],
    ] as const) {
      const report = page.waitForEvent('download')
      await page.getByRole('link', { name: link, exact: true }).click()
      expect(await readFile(await (await report).path(), 'utf8')).toContain(shows)
    }
    await page.goto(`${url}/runs/acted`)
    await page.getByText('rejected rows of clicks downloaded by operator').waitFor()
    await page.getByText('report downloaded by operator').waitFor()
    expect(trouble).toEqual([])
  },
)

browserTest('a run is cancelled only after it was asked once more, and then for good', async (page) => {
  await exportOf('clicks.csv', ['1,7,2023-01-02 03:04:05,fine'])
  posthog.fault({ kind: 'status', status: 503 })
  const running = heapferry(['run', 'export', '--run', 'acted', '--no-dashboard'], { cwd: folder, env })
  const { url } = await dashboardProcess(folder, env)
  await until('the run sends', () => posthog.batches.length > 0)
  await page.goto(`${url}/runs/acted`)
  await signIn(page)
  await page.getByRole('link', { name: 'Cancel for good…' }).click()
  await page.getByRole('link', { name: 'Leave it as it is' }).click()
  await page.getByText('Waiting for PostHog').first().waitFor()
  await page.getByRole('link', { name: 'Cancel for good…' }).click()
  await page.getByRole('button', { name: 'Cancel for good' }).click()
  await page.getByText('Cancelled by operator.').waitFor()
  expect(await page.getByRole('link', { name: /…$/ }).count()).toBe(0)
  expect((await running.ended).code).toBe(1)
})

browserTest(
  'an open page asks to sign in again when the server was killed and started anew, and leads back',
  async (page) => {
    await exportOf('clicks.csv', ['1,7,2023-01-02 03:04:05,fine'])
    posthog.fault({ kind: 'status', status: 503 })
    const running = heapferry(['run', 'export', '--run', 'acted', '--no-dashboard'], { cwd: folder, env })
    await until('the run sends', () => posthog.batches.length > 0)
    const first = await dashboardProcess(folder, env)
    await page.goto(`${first.url}/runs/acted`)
    await signIn(page)
    await page.getByText('Waiting for PostHog').first().waitFor()
    first.child.kill('SIGKILL')
    await page.getByText('Connection lost').waitFor()
    await dashboardProcess(folder, { ...env, HEAPFERRY_DASHBOARD_PORT: new URL(first.url).port })
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await signIn(page)
    await page.getByRole('heading', { name: 'acted' }).waitFor()
    posthog.clearFaults()
    await page.getByText('Completed').first().waitFor()
    expect((await running.ended).code).toBe(0)
  },
)

browserTest('no text of an export does anything on any page', async (page, trouble) => {
  const image = '<img src=x onerror=planted()>'
  const link = 'javascript:planted()'
  await exportOf(`${image} ${link}.csv`, [
    `1,7,2023-01-02 03:04:05,"${image}<script>planted()</script>"`,
    `2,,2023-01-02 03:04:05,"${link}"`,
    `3,,2023-01-02 03:04:05,"${image}"`,
    `4,"${image}",soon,"' onmouseover='planted()"`,
  ])
  await writeFile(
    path.join(folder, 'heapferry.yaml'),
    `tables: { "${image} ${link}": { event: "<script>planted()</script>" } }\n`,
  )
  posthog.fault({ kind: 'refuse_event', event: '<script>planted()</script>', details: image })
  expect(await migrated('--mapping', 'heapferry.yaml')).toBe(3)
  const { url } = await dashboardProcess(folder, env)
  await page.addInitScript('globalThis.calls = 0; globalThis.planted = () => { globalThis.calls++ }')
  await page.goto(url)
  await signIn(page)
  const seen: string[] = []
  for (const at of ['/', '/runs/acted', '/runs/acted/files', '/runs/acted/rejected', '/runs/acted/samples']) {
    await page.goto(url + at)
    seen.push(await page.locator('body').innerText())
    const addresses = await page.locator('a').evaluateAll((links) => links.map((one) => one.getAttribute('href')))
    for (const address of addresses) expect(address).toMatch(/^[/#]/)
    expect([at, await page.evaluate('globalThis.calls'), await page.locator('img, main script').count()]).toEqual([
      at,
      0,
      0,
    ])
  }
  for (const row of await rowAddresses(page, `${url}/runs/acted/rejected`)) {
    await page.goto(row)
    seen.push(await page.locator('body').innerText())
    expect([await page.evaluate('globalThis.calls'), await page.locator('img').count()]).toEqual([0, 0])
  }
  await page.goto(`${url}/queues/queue/acted-events?status=completed`)
  await page.getByText(`${image} ${link}`).first().waitFor()
  expect([await page.evaluate('globalThis.calls'), await page.locator('img[src=x]').count()]).toEqual([0, 0])
  // It was there to be seen, as text.
  for (const planted of [image, link, '<script>planted()</script>', "' onmouseover='planted()"]) {
    expect([planted, seen.some((text) => text.includes(planted))]).toEqual([planted, true])
  }
  expect(trouble).toEqual([])
})

async function rowAddresses(page: Page, rejected: string): Promise<string[]> {
  await page.goto(rejected)
  const links = page.getByRole('link', { name: 'Show that row' })
  const addresses = await links.evaluateAll((all) => all.map((one) => one.getAttribute('href') ?? ''))
  expect(addresses.length).toBeGreaterThan(2)
  return addresses.map((address) => new URL(address, rejected).href)
}

async function exportOf(name: string, rows: readonly string[]): Promise<void> {
  await writeFile(path.join(folder, 'export', name), `${['event_id,user_id,time,title', ...rows].join('\n')}\n`)
}

async function migrated(...flags: string[]): Promise<number | null> {
  const command = ['run', 'export', '--run', 'acted', '--no-dashboard', '--max-rejected', '100', ...flags]
  return (await heapferry(command, { cwd: folder, env }).ended).code
}

async function signIn(page: Page): Promise<void> {
  await page.getByLabel('Password').fill(operatorPassword)
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
}
