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
    await page.getByText('10 of 100 rows').first().waitFor()
    expect(await page.locator('#connection').isVisible()).toBe(false)
    const ofLostConnections = /ERR_(?:CONNECTION_(?:REFUSED|RESET)|INCOMPLETE_CHUNKED_ENCODING)/
    expect(trouble.filter((line) => !ofLostConnections.test(line))).toEqual([])
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
        for (const path of [
          '/',
          '/machines',
          `/runs/${run.id}`,
          `/runs/${run.id}/files`,
          `/queues/queue/${run.id}-events`,
        ]) {
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

browserTest(
  'focus, what is unfolded and what is selected stay where they are while a page changes',
  async (page, trouble) => {
    const run = await seedRun(server.redis, 'steady')
    await run.table('clicks', 1000, [tallyOf({ read: 10, sent: 10 }), null])
    await page.goto(`${await open(server.redis)}/runs/steady`)
    await page.getByText('For engineers').click()
    await page.getByText('Source').click({ clickCount: 2 })
    // Tab by tab from the top, as somebody without a mouse comes to it.
    await page.getByText('Skip to content').focus()
    const focused = () => page.evaluate('document.activeElement.textContent')
    while ((await focused()) !== 'File by file') await page.keyboard.press('Tab')
    await page.evaluate(
      "document.activeElement.isTheSame = 'yes'; getSelection().selectAllChildren(document.querySelector('dt'))",
    )
    for (let round = 1; round <= 10; round++) {
      await run.table('clicks', 10, [tallyOf({ read: 10, sent: 10 })])
      await page
        .getByText(`${10 * round + 10} of ${(10 * round + 1000).toLocaleString('en-US')} rows`)
        .first()
        .waitFor()
    }
    expect(await page.evaluate('document.activeElement.isTheSame')).toBe('yes')
    expect(await page.locator('#details').getAttribute('open')).toBe('')
    expect(await page.evaluate('String(getSelection())')).toBe(await page.locator('dt').first().textContent())
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('Rows before and after')
    expect(trouble).toEqual([])
  },
)

browserTest('a pause is a stretch of nothing in the chart and its table, which go on to now', async (page) => {
  const run = await seedRun(server.redis, 'gap')
  const nowMs = await run.ledger.nowMs(run.id)
  const atMs = (secondsAgo: number) => nowMs - secondsAgo * 1000
  const points = Array.from({ length: 240 }, (_, index) => 240 - index)
    .filter((ago) => (ago > 180 || ago <= 120) && ago > 60)
    .map((ago, index) => `${atMs(ago)}:${100 * index}:${50 * index}:0`)
  await server.redis.rpush('heapferry-ledger:run:gap:history', ...points)
  await run.ledger.record(run.id, { kind: 'paused', atMs: atMs(180), by: 'ada', reason: 'on request' })
  await run.ledger.record(run.id, { kind: 'resumed', atMs: atMs(120), by: 'ada' })
  await page.goto(`${await open(server.redis)}/runs/gap`)
  await page.getByText('The chart as a table').click()
  const lines = page.locator('#chart-table tbody tr')
  await lines.nth(20).waitFor()
  const cells = (await lines.allInnerTexts()).map((line) => line.split('\t').slice(1).join(' ').trim())
  // 240 s in 24 lines or so: 60 s of work, of the pause, of work, and of nothing since.
  expect(cells.slice(1, 5)).toEqual(['100 50 0', '100 50 0', '100 50 0', '100 50 0'])
  expect(cells.slice(7, 11)).toEqual(Array.from({ length: 4 }, () => '0 0 0 paused by ada: on request'))
  expect(cells.slice(13, 16)).toEqual(['100 50 0', '100 50 0', '100 50 0'])
  expect(cells.slice(19)).toEqual(cells.slice(19).map(() => '0 0 0'))
  expect(cells.length).toBeGreaterThanOrEqual(23)
  // Who does not point at a moment is told of the latest.
  expect(await page.locator('#chart .u-legend').innerText()).toMatch(/rows read\/s:?\s*0/)
})

browserTest('of a hundred tables those in trouble come first, and any is found by its name', async (page) => {
  const run = await seedRun(server.redis, 'many')
  const done = tallyOf({ read: 10, sent: 10 })
  for (let index = 0; index < 97; index++) await run.table(`event_${index}`, 10, [done])
  await run.table('waits', 10, [null])
  await run.table('works', 20, [done, null])
  await run.table('zz_broken', 10, [tallyOf({ read: 10, rejected: { missing_time: 10 } })])
  await page.goto(`${await open(server.redis)}/runs/many`)
  const shown = () => page.locator('#tables tbody tr:visible th').allInnerTexts()
  expect(await shown()).toEqual(['zz_broken', 'works'])
  // Heard with every cell of its line, so without how far it is.
  await page.getByRole('rowheader', { name: 'works', exact: true }).waitFor()
  await page.getByText('97 tables done without a rejected row').click()
  expect(await shown()).toHaveLength(99)
  await page.getByLabel('Show tables whose name has').fill('Event_1')
  expect(await shown()).toEqual(['event_1', ...Array.from({ length: 10 }, (_, index) => `event_1${index}`)])
  await run.table('works', 30, [done])
  await page.getByText('1,000 of 1,040 rows').first().waitFor()
  expect(await shown()).toHaveLength(11)
  expect(await page.locator('#done-tables').getAttribute('open')).toBe('')
})

browserTest(
  'by keyboard the chart is looked at closer, in a table that stays where it is while time goes on',
  async (page) => {
    const run = await seedRun(server.redis, 'closer')
    const nowMs = await run.ledger.nowMs(run.id)
    const points = Array.from({ length: 1200 }, (_, at) => `${nowMs - 1_200_000 + at * 1000}:${100 * at}:${50 * at}:0`)
    await server.redis.rpush('heapferry-ledger:run:closer:history', ...points)
    await page.clock.install({ time: nowMs })
    await page.goto(`${await open(server.redis)}/runs/closer`)
    await page.getByText('The chart as a table').focus()
    await page.keyboard.press('Enter')
    const times = page.getByRole('button', { name: 'look closer' })
    await times.nth(20).waitFor()
    const lines = await times.count()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    const second = await focused()
    expect(second).toBe(await times.nth(1).textContent())
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('#chart-table td'))")
    for (let minute = 0; minute < 2; minute++) await page.clock.runFor('01:00')
    await expect.poll(() => times.count()).toBeGreaterThan(lines)
    expect([await focused(), await times.nth(1).textContent()]).toEqual([second, second])
    expect(await page.evaluate('String(getSelection())')).toBe('100')

    await page.keyboard.press('Enter')
    expect(await focused()).toBe(second)
    expect(await page.locator('#chart-table tbody tr').count()).toBe(30)
    await page.keyboard.press('Space')
    // A second is no longer looked at closer.
    expect([await focused(), await times.count()]).toEqual(['The chart as a table', 0])
    await page.getByRole('button', { name: 'Whole run' }).focus()
    await page.keyboard.press('Enter')
    expect(await times.nth(1).textContent()).toBe(second)

    function focused() {
      return page.evaluate('document.activeElement.textContent')
    }
  },
)

browserTest('Escape leaves a question, and leads back to what asked it', async (page) => {
  const run = await seedRun(server.redis, 'asked')
  await run.table('clicks', 10, [tallyOf({ read: 10, rejected: { missing_time: 10 } }), null])
  const url = await open(server.redis, { retry: () => {}, verify: () => () => Promise.resolve() })
  for (const [where, link] of [
    ['/runs/asked', 'Pause…'],
    ['/runs/asked', 'Change pace…'],
    ['/runs/asked', 'Cancel for good…'],
  ] as const) {
    await page.goto(url + where)
    await page.getByRole('link', { name: link }).focus()
    await page.keyboard.press('Enter')
    await page.locator('#form').waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL(new RegExp(`${where}#`))
    expect(await page.evaluate('document.activeElement.textContent')).toContain(link)
    expect(await page.locator('h1').isVisible()).toBe(true)
  }
})

browserTest('those who hear a page hear of another state, and not of every second', async (page) => {
  const run = await seedRun(server.redis, 'heard')
  const unloading = {
    table: 'pageviews',
    of: 5000,
    sinceMs: await run.ledger.nowMs(run.id),
    sinceRows: 0,
    waiting: null,
  }
  await run.ledger.setUnloading(run.id, { ...unloading, rows: 1000 })
  await page.goto(`${await open(server.redis)}/runs/heard`)
  await page.evaluate(`globalThis.spoken = []
new MutationObserver((changes) => {
  for (const { target } of changes) {
    const status = (target.nodeType === Node.TEXT_NODE ? target.parentElement : target).closest('[role=status]')
    if (status) spoken.push(status.textContent)
  }
}).observe(document.body, { subtree: true, childList: true, characterData: true })`)
  for (const rows of [2000, 3000, 4000]) {
    await run.ledger.producing(run.id)
    await run.ledger.setUnloading(run.id, { ...unloading, rows })
    await page.locator('#message', { hasText: `${rows.toLocaleString('en-US')} of 5,000 rows` }).waitFor()
  }
  expect(await page.evaluate('spoken')).toEqual([])
  await run.ledger.setIntent(run.id, { kind: 'pause', by: 'ada', reason: 'on request', hint: 'Resume it to go on.' })
  await page.locator('#message', { hasText: 'Paused by ada' }).waitFor()
  expect(await page.evaluate('spoken.at(-1)')).toBe('paused')
})
