import { counted, grouped } from '@heapferry/migration'
import type { RetryAnswer } from './commands/retry.ts'

/** What a retry came to, and what to do about rows that are left. */
export function retryText({ run, sent, skipped, rejected, left, rejected_in_run: remaining }: RetryAnswer): string {
  const hints: [keyof RetryAnswer['left'], (rows: string) => string][] = [
    ['too_young', (rows) => `${rows} less than 48 hours old: repeat the command later to send them`],
    ['unmended', (rows) => `${rows} in the file with neither cells nor text: fix them first`],
    ['chunk_not_done', (rows) => `${rows} in chunks that are not done: wait until the run has completed`],
    [
      'sent_otherwise',
      (rows) =>
        `${rows} that an interrupted retry may have sent as other events: repeat\n` +
        '  that one unchanged, or check in PostHog and send them with --anyway',
    ],
    ['not_rejected', (rows) => `${rows} no longer rejected`],
    ['retried_before', (rows) => `${rows} in the file that an earlier retry sent or skipped`],
  ]
  const leftLines = hints.flatMap(([reason, text]) => {
    const rows = left[reason] ?? 0
    return rows === 0 ? [] : [`  ${text(grouped(rows))}`]
  })
  return [
    `${run}: ${grouped(sent)} sent, ${grouped(skipped)} skipped, ${grouped(rejected)} rejected again.`,
    ...(leftLines.length === 0 ? [] : ['Left as they were:', ...leftLines]),
    remaining === 0
      ? 'The run has no rejected rows now.'
      : `The run has ${counted(remaining, 'rejected row')} now: heapferry rejected ${run}`,
  ].join('\n')
}
