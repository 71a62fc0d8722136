import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { env } from 'node:process'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { browserTest } from './browser-test.ts'
import { faultless } from './faultless.ts'
import { open, runWithFailedChunk, type SeededRun, seedRun, tallyOf } from './support.ts'

const server = redisForTests()
const widths = [1440, 900, 360]
const folder = env['HEAPFERRY_LOOKS']

/** How each state comes about, and what the page says of it first. */
const states: Record<string, { says: RegExp; seed: (name: string) => Promise<SeededRun> }> = {
  planning: { says: /planning/, seed: begun },
  unloading: {
    says: /unloading/,
    async seed(name) {
      const run = await begun(name)
      const sinceMs = await run.ledger.nowMs(run.id)
      const rows = { rows: 123_456, of: 1_234_567, sinceMs, sinceRows: 0 }
      await run.ledger.setUnloading(run.id, { table: 'pageviews', ...rows, waiting: null })
      return run
    },
  },
  running: { says: /running/, seed: underWay },
  waiting: {
    says: /waiting/,
    async seed(name) {
      const run = await underWay(name)
      const nowMs = Math.round(performance.now())
      const waiting = { detail: '429 Too Many Requests', sinceMs: nowMs - 60_000, retryAtMs: nowMs + 3_600_000 }
      await run.ledger.setWaiting(run.id, 'worker-1:7', waiting)
      return run
    },
  },
  paused: {
    says: /paused/,
    async seed(name) {
      const run = await underWay(name)
      await run.ledger.setIntent(run.id, {
        kind: 'pause',
        by: 'ada',
        reason: 'on request',
        hint: 'Resume it to go on.',
      })
      return run
    },
  },
  stalled: {
    says: /standing still/,
    async seed(name) {
      const run = await underWay(name)
      await run.ledger.removePulse(run.id, 'worker-1:7')
      await server.redis.hset(`heapferry-ledger:run:${run.id}`, 'wantedAtMs', 1)
      await server.redis.del(`heapferry-ledger:run:${run.id}:samples`)
      return run
    },
  },
  failed: {
    says: /failed/,
    async seed(name) {
      const { run } = await runWithFailedChunk({ redis: server.redis, server: server.server }, name)
      await run.ledger.seal(run.id, 'identities', 0)
      await run.ledger.seal(run.id, 'events', 1)
      return run
    },
  },
  completed: { says: /completed/, seed: done },
  cancelled: {
    says: /cancelled/,
    async seed(name) {
      const run = await underWay(name)
      await run.ledger.setIntent(run.id, { kind: 'cancel', by: 'ada' })
      return run
    },
  },
}

browserTest(
  'the page of a run in any state says what status says, fits every screen, and has no fault that axe finds',
  async (page, trouble) => {
    const url = await open(server.redis, { retry: () => {}, verify: () => () => Promise.resolve() })
    for (const [state, { says, seed }] of Object.entries(states)) {
      const run = await seed(state)
      await page.goto(`${url}/runs/${run.id}`)
      expect([state, await page.locator('#title .state').textContent()]).toEqual([state, expect.stringMatching(says)])
      await looked(page, state)
      await faultless(page, state)

      const { stdout } = await heapferryAnswer(['status', run.id, '--json'], {
        cwd: await temporaryFolder(),
        env: { REDIS_URL: server.server.url },
      })
      const { message, totals } = JSON.parse(stdout)
      expect(words(await page.locator('#message').textContent())).toBe(words(message))
      const shown = await page.locator('#tables tfoot td').allTextContents()
      const counters = ['planned', 'read', 'sent', 'skipped', 'rejected'].map((one) => totals[one])
      expect(await page.locator('main').textContent()).not.toMatch(/NaN|undefined|null|Infinity/)
      if (totals.planned > 0)
        expect([state, ...shown.map((text) => Number(text.replaceAll(',', '')))]).toEqual([state, ...counters])
    }
    expect(trouble).toEqual([])
  },
)

browserTest('so do the pages beside it, and reports also on paper', async (page, trouble) => {
  const url = await open(server.redis, { retry: () => {}, verify: () => () => Promise.resolve() })
  const { id } = await done('beside')
  await done('another')
  await underWay('third')
  const pages = {
    runs: '/',
    machines: '/machines',
    files: `/runs/${id}/files`,
    rejected: `/runs/${id}/rejected`,
    verification: `/runs/${id}/verification`,
    verify: `/runs/${id}/verify`,
    cancel: '/runs/third/cancel',
    nothing: '/runs/nobody',
  }
  for (const [name, address] of Object.entries(pages)) {
    await page.goto(url + address)
    await looked(page, name)
    await faultless(page, name)
  }
  const report = await page.context().request.get(`${url}/runs/${id}/report.html`)
  // Without the policy of a page that was served.
  await page.goto('about:blank')
  await page.setContent(await report.text())
  await looked(page, 'report')
  await faultless(page, 'report')
  await page.emulateMedia({ media: 'print', colorScheme: 'light' })
  // A4 between its margins.
  await page.setViewportSize({ width: 680, height: 1009 })
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(680)
  expect(
    await page.evaluate(
      "[...document.querySelectorAll('tr, svg, li')].filter((part) => getComputedStyle(part).breakInside !== 'avoid' && !part.closest('figure')).length",
    ),
  ).toBe(0)
  expect(trouble.filter((line) => !line.includes('404'))).toEqual([])
})

/** On each screen it is no wider than that. Where HEAPFERRY_LOOKS names a folder, its pictures are left there. */
async function looked(page: Page, name: string): Promise<void> {
  for (const width of widths) {
    await page.setViewportSize({ width, height: 900 })
    // The chart follows its box.
    await expect.poll(() => page.evaluate('document.documentElement.scrollWidth'), { message: name }).toBe(width)
    if (folder === undefined) continue
    await mkdir(folder, { recursive: true })
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: path.join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true })
    }
  }
}

/** Rates, and the time that is left by them, are others a moment later. */
function words(text: string | null): string | undefined {
  return text?.replace(/\d[\d,]*(?:\/s| s| min)?/g, '#')
}

async function begun(name: string): Promise<SeededRun> {
  const run = await seedRun(server.redis, name, { createdAtMs: Date.now() - 300_000, source: '/exports/heap' })
  await run.ledger.producing(run.id)
  return run
}

/** Half of it is done, one worker is at it, and some rows are rejected. */
async function underWay(name: string): Promise<SeededRun> {
  const run = await begun(name)
  const { ledger, id } = run
  await run.table('users', 2000, [tallyOf({ read: 2000, sent: 2000 })])
  const tally = tallyOf({ read: 12_345, sent: 12_200, skipped: { held_back: 100 }, rejected: { missing_time: 45 } })
  const chunks = await run.table('pageviews', 24_690, [tally, null])
  await ledger.seal(id, 'identities', 1)
  await ledger.seal(id, 'events', 2)
  for (const chunk of chunks.slice(1)) await run.queue('events').queue.add('pageviews 2', chunk, { jobId: chunk.id })
  const nowMs = await ledger.nowMs(id)
  const points = Array.from({ length: 120 }, (_, at) => `${nowMs - 120_000 + at * 1000}:${at * 100}:${at * 99}:0`)
  const base = `heapferry-ledger:run:${id}`
  await server.redis.del(`${base}:history`)
  await server.redis.rpush(`${base}:history`, ...points)
  const rows = { table: 'pageviews', firstRow: 12_346, rows: 12_345, read: 500 }
  const inHand = chunks.slice(1).map((chunk) => ({ id: chunk.id, ...rows }))
  const pulse = { atMs: 1, startedAtMs: 1, movedAtMs: 1, memoryBytes: 1e8, rate: 1234, awaits: null }
  await ledger.setPulse(id, { ...pulse, worker: 'worker-1:7', chunks: inHand })
  const answers = { 200: 123, 429: 4 }
  await ledger.addAnswers(id, { byStatus: answers, byTime: [100, 20, 5, 2, 0, 0, 0, 0], totalMs: 12_345 })
  return run
}

async function done(name: string): Promise<SeededRun> {
  const run = await begun(name)
  const { ledger, id } = run
  const tally = { read: 24_690, sent: 24_545, skipped: { held_back: 100 }, rejected: { missing_time: 45 } }
  const [chunk] = await run.table('pageviews', 24_690, [tallyOf(tally)])
  if (!chunk) throw new Error('no chunk was planned')
  await ledger.seal(id, 'identities', 0)
  await ledger.seal(id, 'events', 1)
  const day = 19_400
  const days = Array.from({ length: 90 }, (_, at) => {
    const missing = at === 40 ? 20 : 0
    return { day: day + at, sent: 270, expected: 270, found: 270 - missing, missing }
  })
  const sum = (of: 'sent' | 'expected' | 'found') => days.reduce((all, one) => all + one[of], 0)
  const totals = { sent: sum('sent'), expected: sum('expected'), found: sum('found'), copies: 0 }
  const people = [{ from: day, to: day + 29, expected: 120, found: 120, outcome: 'same' as const }]
  const events = [
    { event: null, days, people: null },
    { event: '$pageview', days, people },
  ]
  await ledger.setVerification(
    id,
    {
      kind: 'posthog',
      run: id,
      verdict: 'missing',
      message: '20 of 24,300 events are missing in PostHog.',
      verified_at: new Date().toISOString(),
      by: 'ada',
      look_again_at: null,
      totals: { read: 24_690, shared_uuids: 0, ...totals },
      events: [{ event: '$pageview', days: 90, differing_days: 1, ...totals }],
      more_events: 0,
      differing: [{ event: '$pageview', day: '2023-03-22', sent: 270, expected: 270, found: 250 }],
      more_differing: 0,
      people: null,
      unique_people: { compared: 1, left_out: 0, differing: [], more_differing: 0, sample: null },
      notes: ['Look into PostHog’s ingestion warnings (Data management).'],
    },
    events,
  )
  return run
}
