import { largestRequest, type TransportName } from '@heapferry/domain'
import { duration, type ExportPlan, grouped } from '@heapferry/migration'
import { figure, sizeText } from './figure-text.ts'
import { wrapped } from './terminal.ts'

/** What PostHog asks to be told before a large import: where from, how, how much, how fast. */
export function supportRequest({ tables, totals, delivery }: ExportPlan, transport: TransportName | 'auto'): string[] {
  const of = (...kinds: string[]): number =>
    tables.filter(({ kind }) => kinds.includes(kind)).reduce((sum, { events }) => sum + events.count, 0)
  const span = totals.time === null ? '' : `, from ${totals.time.from.slice(0, 10)} to ${totals.time.to.slice(0, 10)}`
  const about = totals.events.exact ? '' : 'about '
  return [
    'Subject: Import of our history from Heap',
    '',
    'Hello PostHog team,',
    '',
    'we are going to import our history from Heap into the project ______ (US / EU).',
    '',
    `- From: an export of Heap's tables, ${grouped(tables.length)} tables, ${sizeText(totals.bytes)}.`,
    ...wrapped(
      `How: with heapferry, which sends ${endpoints[transport]} with historical_migration: true, at most ${grouped(largestRequest(delivery.events_per_second))} events or 4 MB a request. Every event has its own time and uuid. On 429 and 5xx it waits, as long as Retry-After says.`,
      '- ',
    ),
    `- Volume: ${about}${grouped(totals.events.count)} events${span},`,
    `  ${sizeText(delivery.bytes.count)} of JSON. Among them are ${grouped(of('users', 'identify'))} $identify and $set,`,
    `  and ${grouped(of('user_migrations'))} $create_alias, which come first.`,
    `- Speed: ${grouped(delivery.events_per_second)} events per second, ${figure(delivery.requests)} requests, ${duration(delivery.seconds)} in all.`,
    '',
    'Is there a speed or a time that suits you better?',
  ]
}

const endpoints: Record<TransportName | 'auto', string> = {
  auto: 'POST /i/v1/analytics/events (POST /batch/ where that is not there)',
  v1: 'POST /i/v1/analytics/events',
  batch: 'POST /batch/',
  sdk: 'POST /batch/ through posthog-node',
}
