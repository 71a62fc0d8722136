import { startDashboard } from '@heapferry/dashboard'
import { expect } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { browserTest } from './browser-test.ts'
import { open, optionsOf, seedRun, tallyOf } from './support.ts'

const server = redisForTests()
browserTest(
  'the numbers of a run change on its open page, without a reload, until it is over',
  async (page, trouble) => {
    const run = await seedRun(server.redis, 'live')
    await run.ledger.seal(run.id, 'identities', 0)
    await run.ledger.seal(run.id, 'events', 0)
    await run.table('clicks', 40, [tallyOf({ read: 10, sent: 10 }), null])
    const url = await open(server.redis)

    await page.goto(`${url}/runs/live`)
    expect(await page.locator('h1').textContent()).toBe('live')
    await page.evaluate("globalThis.loadedOnce = 'yes'")
    expect(await page.locator('#progress strong').textContent()).toBe('25%')

    await run.table('<b>late</b>', 40, [tallyOf({ read: 40, sent: 30, rejected: { missing_time: 10 } })])
    await page.getByRole('rowheader', { name: '<b>late</b>' }).waitFor()
    await page.getByText('time is empty.').waitFor()
    expect(await page.locator('#progress strong').textContent()).toBe('62%')
    expect(await page.title()).toBe('62% · live · heapferry')

    await run.ledger.setIntent(run.id, { kind: 'cancel', by: 'ada' })
    await page.getByText('Cancelled by ada.').waitFor()
    expect(await page.locator('main').getAttribute('data-live')).toBe('no')
    expect(await page.evaluate('globalThis.loadedOnce')).toBe('yes')
    expect(trouble).toEqual([])
  },
)

browserTest(
  'an open page tells that the server is away, and goes on by itself when it is back',
  async (page, trouble) => {
    const run = await seedRun(server.redis, 'patient')
    await run.table('clicks', 40, [tallyOf({ read: 10, sent: 10 }), null])
    const first = await startDashboard(optionsOf(server.redis))
    await page.goto(`${first.url}/runs/patient`)
    await first.close()
    await page.getByText('Connection lost').waitFor()
    expect(await page.locator('#progress strong').textContent()).toBe('25%')
    await run.table('more', 60, [null])
    await open(server.redis, { port: Number(new URL(first.url).port) })
    await page.getByText('10 of 100 rows').waitFor()
    expect(await page.locator('#connection').isVisible()).toBe(false)
    expect(trouble.filter((line) => !/ERR_(?:CONNECTION_REFUSED|INCOMPLETE_CHUNKED_ENCODING)/.test(line))).toEqual([])
  },
)

browserTest('a page of a hidden tab asks for nothing until it is seen again', async (page) => {
  await seedRun(server.redis, 'unseen')
  await page.clock.install()
  const listening = page.waitForRequest((request) => request.url().endsWith('/live/runs/unseen'))
  await page.goto(`${await open(server.redis)}/runs/unseen`)
  await listening
  const asked: string[] = []
  page.on('request', (request) => {
    if (request.url().endsWith('/runs/unseen')) asked.push(request.url())
  })
  await page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })
document.dispatchEvent(new Event('visibilitychange'))`)
  await page.clock.runFor('10:00')
  expect(asked).toEqual([])
  await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
  await expect.poll(() => asked.length).toBeGreaterThan(0)
})

browserTest(
  'every page fits a phone and a desk, in dark and in light, and calls nobody else',
  async (page, trouble) => {
    const run = await seedRun(server.redis, 'a_run_with_a_name_as_long_as_a_name_may_be_which_is_63_letters0')
    const tally = tallyOf({ read: 1_234_567_890, sent: 1_234_567_889, rejected: { damaged_id: 1 } })
    await run.table('a_table_with_a_name_that_goes_on_and_on_without_any_place_to_break_it', 2_000_000_000, [
      tally,
      null,
    ])
    const url = await open(server.redis)
    for (const width of [360, 1440]) {
      for (const colorScheme of ['dark', 'light'] as const) {
        await page.setViewportSize({ width, height: 800 })
        await page.emulateMedia({ colorScheme })
        for (const path of ['/', `/runs/${run.id}`, `/queues/queue/${run.id}-events`]) {
          await page.goto(url + path)
          await page.getByText(run.id).first().waitFor({ state: 'attached' })
          const widest = await page.evaluate('document.documentElement.scrollWidth')
          expect(widest, `${path} at ${width}`).toBe(width)
        }
      }
    }
    expect(trouble).toEqual([])
  },
)
