import { grouped, hasCompleted } from '@heapferry/migration'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Command } from 'commander'
import { createLogger, requireProject } from '@heapferry/config'
import { defaultMapping, RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { writeSampleExport } from '@heapferry/sample-export'
import { exitCodes } from '../exit-codes.ts'
import { typed } from '../installation.ts'
import { migrate } from '../migrate.ts'
import { openLedger } from '../open-ledger.ts'
import { openRequestedRun } from '../open-requested-run.ts'
import { settingsFrom } from '../options.ts'
import { answer, say } from '../print.ts'
import { person } from '../person.ts'
import { progressView } from '../progress-view.ts'
import { statusText } from '../status-text.ts'
import { stopSignal } from '../stop-signal.ts'

const apiKey = 'phc_rehearsal0000000000000000000000000000000000'

export function demoCommand(command: Command): void {
  command
    .addHelpText(
      'after',
      `
Everything runs on this machine and is gone afterwards: a Redis of its own, the
stand-in, the export. The export has the faults that real ones have, so some
rows end as rejected: that is part of the show.`,
    )
    .action(demo)
}

async function demo(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-demo-'))
  const stop = stopSignal('Stopping the demo.')
  try {
    say('1. Generating a Heap export, with the faults that real ones have.')
    const source = path.join(folder, 'heap-export')
    const sample = await writeSampleExport({
      folder: source,
      seed: 1,
      people: 4000,
      pageviewRows: 60_000,
      eventRows: 30_000,
      traps: true,
    })
    const rows = Object.values(sample.tables).reduce((sum, table) => sum + table.rows, 0)
    say(`   ${grouped(rows)} rows of ${Object.keys(sample.tables).length} tables`)

    say('2. Starting a Redis, and a stand-in for PostHog that keeps its rules.')
    const posthog = await startFakePostHog({ apiKey, keep: 'ids' })
    // Nothing of the user's own settings takes part: a demo must not reach a real project or a shared Redis.
    const { HEAPFERRY_DASHBOARD_HOST: _, REDIS_URL: __, ...own } = settingsFrom({})
    const settings = {
      ...own,
      HEAPFERRY_DASHBOARD_HOST: '127.0.0.1',
      HEAPFERRY_HOME: folder,
      POSTHOG_HOST: posthog.url,
      POSTHOG_API_KEY: apiKey,
    }
    const logger = createLogger({ level: 'warn', role: 'demo', file: path.join(folder, 'demo.log') })
    const opened = await openLedger(settings, logger, 'works')
    try {
      say('3. Migrating: users and identities first, then events, oldest first.')
      const { destination } = requireProject(settings)
      const request = {
        source,
        name: RunId.parse('demo'),
        destination,
        mapping: defaultMapping,
        hashSalt: null,
        includeRecent: false,
        maxRejectedPercent: 100,
        pace: undefined,
        by: person(),
      }
      const production = await openRequestedRun(request, opened.ledger, settings, stop)
      if (production === null) {
        process.exitCode = exitCodes.stopped
        return
      }
      const status = await migrate({
        production,
        opened,
        settings,
        workers: 2,
        dashboard: true,
        view: progressView(false),
        logger,
        stop,
        whenOver: () => lookAround(stop),
      })
      if (status) answer(`\n${statusText(status)}`)
      if (stop.aborted || status === null) {
        process.exitCode = exitCodes.stopped
        return
      }
      say(
        `\n4. The stand-in holds ${grouped(posthog.stored.size)} events. It was sent more: rows that Heap\n   exported twice have one uuid, and PostHog keeps one of them.\n`,
      )
      say(`Now your own:   ${typed} run ./your-export --host us --api-key-file key.txt`)
      say(`Everything else: ${typed} --help`)
      process.exitCode = hasCompleted(status) ? exitCodes.done : exitCodes.failed
    } finally {
      await opened.close()
      await posthog.stop()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const lookAroundMs = 60_000

/** Somebody at a terminal may want to see the dashboard, which ends with the demo. */
async function lookAround(stop: AbortSignal): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY || stop.aborted) return
  say('\nDone. The dashboard stays open until you press Enter, or for a minute.')
  const enter = once(process.stdin, 'data', { signal: AbortSignal.any([stop, AbortSignal.timeout(lookAroundMs)]) })
  await enter.catch(() => {})
  process.stdin.pause()
}
