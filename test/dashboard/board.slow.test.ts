import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { browserTest } from './browser-test.ts'
import { open, runWithFailedChunk } from './support.ts'

const server = redisForTests()
const passwords = { operator: 'operator password', viewer: 'viewer password' }
/** What Bull Board calls that which is refused. */
const refused =
  /pause|resume|add|duplicate|update|edit|clean|empty|obliterate|remove|delete|promote|concurrency|rate limit|reschedule|priorit|trash|pencil|copy-plus|play|clock/i

browserTest(
  'to operators Bull Board offers to try failed chunks again, and nothing that is refused',
  async (page, trouble) => {
    const run = await failedRun('offered')
    const url = await open(server.redis, { passwords })
    await signIn(page, url, passwords.operator)
    for (const status of ['latest', 'failed', 'prioritized', 'delayed']) {
      await page.goto(`${url}/queues/queue/offered-events?status=${status}`)
      await page
        .getByText(/^clicks \d$/)
        .first()
        .waitFor()
      const names = await offered(page)
      expect([status, names.filter((name) => refused.test(name))]).toEqual([status, []])
    }
    await page.goto(`${url}/queues/`)
    await page.getByText('offered · 2 events').first().waitFor()
    expect((await offered(page)).filter((name) => refused.test(name))).toEqual([])

    await page.goto(`${url}/queues/queue/offered-events?status=failed`)
    await page.getByRole('button', { name: /retry/i }).first().waitFor()
    expect(await offered(page)).toEqual(expect.arrayContaining([expect.stringMatching(/retry/i)]))
    await page.locator('[class*="jobActions-"] button:visible').click()
    await page.getByRole('button', { name: 'Confirm' }).click()
    await expect.poll(async () => (await run.queueState('events')).failed, { timeout: 10_000 }).toBe(0)
    expect((await run.ledger.timeline(run.id)).at(-1)).toMatchObject({ kind: 'chunks_retried', by: 'Ada' })
    await expect.poll(() => page.getByRole('button', { name: /retry/i }).count(), { timeout: 15_000 }).toBe(0)
    expect((await offered(page)).filter((name) => refused.test(name))).toEqual([])
    // On a slow machine Chromium finds that Bull Board loads more than it shows.
    expect(trouble.filter((text) => !text.includes('was preloaded'))).toEqual([])
  },
)

browserTest('to viewers Bull Board offers nothing that changes anything', async (page) => {
  await failedRun('looked-at')
  const url = await open(server.redis, { passwords })
  await signIn(page, url, passwords.viewer)
  await page.goto(`${url}/queues/queue/looked-at-events?status=failed`)
  await page.getByText('clicks 1').first().waitFor()
  expect((await offered(page)).filter((name) => refused.test(name) || /retry/i.test(name))).toEqual([])
})

/** Names of all buttons that can be seen, and of what menus open. */
async function offered(page: Page): Promise<string[]> {
  const names: string[] = []
  const buttons = page.locator('button:visible')
  for (let nth = 0; nth < (await buttons.count()); nth++) {
    const button = buttons.nth(nth)
    names.push(await nameOf(button))
    if ((await button.getAttribute('aria-haspopup')) !== 'menu') continue
    await button.click()
    const items = page.locator('[role="menuitem"]:visible')
    await page.locator('[role="menu"]').first().waitFor()
    for (const item of await items.all()) names.push(`menu: ${await nameOf(item)}`)
    await page.keyboard.press('Escape')
    await page.locator('[role="menu"]').first().waitFor({ state: 'detached' })
  }
  return names
}

/** Of a button with an icon alone: what its tip says. */
async function nameOf(button: ReturnType<Page['locator']>): Promise<string> {
  const text = `${(await button.getAttribute('aria-label')) ?? ''} ${(await button.innerText()).trim()}`.trim()
  if (text !== '') return text
  return button.evaluate((element) => element.querySelector('svg')?.getAttribute('class') ?? element.outerHTML)
}

async function signIn(page: Page, url: string, password: string): Promise<void> {
  await page.goto(`${url}/login`)
  await page.getByLabel('Your name').fill('Ada')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('link', { name: 'Queues' }).waitFor()
}

/** A run with a chunk that has failed, one that waits, one that is delayed. */
async function failedRun(name: string) {
  const { run, chunk } = await runWithFailedChunk(server, name)
  const { queue } = run.queue('events')
  await queue.add('clicks 2', chunk, { priority: 5 })
  await queue.add('clicks 3', {}, { delay: 3_600_000 })
  return run
}
