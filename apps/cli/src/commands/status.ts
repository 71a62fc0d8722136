import { Command } from 'commander'
import { type RunId, type TimelineEntry, type Verification, visible, visibleJson } from '@heapferry/domain'
import { grouped, mappingFingerprint, readRunStatus, timelineText } from '@heapferry/migration'
import { exitCodes } from '../exit-codes.ts'
import { findRun } from '../open-ledger.ts'
import { options, parseRunId } from '../options.ts'
import { answer } from '../print.ts'
import { progressLine, statusText } from '../status-text.ts'
import { wrapped } from '../terminal.ts'
import { withLedger } from '../with-ledger.ts'

const shownEntries = 20

function historyLines(timeline: readonly TimelineEntry[]): string[] {
  const older = timeline.length - shownEntries
  return [
    ...(older > 0 ? [`  ${grouped(older)} older entries are in --json`] : []),
    ...timeline.slice(-shownEntries).map((entry) => {
      const moment = new Date(entry.atMs).toISOString().slice(0, 19).replace('T', ' ')
      return `  ${moment}  ${visible(timelineText(entry))}`
    }),
  ]
}

function verificationLines(verifications: readonly (Verification | null)[]): string[] {
  return verifications.flatMap((one) => {
    if (one === null) return []
    const moment = one.verified_at.slice(0, 16).replace('T', ' ')
    const against = one.kind === 'posthog' ? 'PostHog' : 'the export'
    return wrapped(`${moment}  ${against}: ${one.verdict}. ${one.message}`, '  ')
  })
}

export function statusCommand(command: Command): void {
  command
    .argument('[RUN]', 'the name of a run; else the newest', parseRunId)
    .addOption(options.json())
    .action((name: RunId | undefined, flags: { json: boolean }) =>
      withLedger(async ({ ledger }) => {
        const { id, mapping } = await findRun(ledger, name)
        const mapping_fingerprint = mappingFingerprint(mapping)
        const status = await readRunStatus(id, ledger)
        if (status.state === 'failed') process.exitCode = exitCodes.failed
        const timeline = await ledger.timeline(id)
        const verifications = await ledger.verifications(id)
        if (flags.json) return answer(visibleJson({ ...status, mapping_fingerprint, verifications, timeline }))
        answer(`${statusText(status)}\n\n${progressLine(status, 80)}`)
        const details = [...status.details, `mapping ${mapping_fingerprint}`]
        answer(`\nDetails:\n${details.map((line) => `  ${visible(line)}`).join('\n')}`)
        const verified = verificationLines([verifications.posthog, verifications.source])
        if (verified.length > 0) answer(`\nVerification (UTC):\n${verified.join('\n')}`)
        answer(`\nHistory (UTC):\n${historyLines(timeline).join('\n')}`)
      }),
    )
}
