import type { RunId, TimeRange } from '@heapferry/domain'

/** The most rows that PostHog's query API answers with. */
export const maxRows = 50_000

/**
 * Days are counted in UTC: HogQL's own dates are those of the project's time zone. Times end in `Z`, so that the zone has
 * no say in them either.
 */
export function countQuery(run: RunId, { fromMs, toMs }: TimeRange): string {
  return [
    'SELECT intDiv(toUnixTimestamp(timestamp), 86400) AS day, event, count() AS stored,',
    'uniqExact(uuid, distinct_id, timestamp) AS different, uniqExact(uuid) AS uuids FROM events',
    `WHERE timestamp >= toDateTime(${quoted(new Date(fromMs).toISOString())})`,
    `AND timestamp < toDateTime(${quoted(new Date(toMs).toISOString())})`,
    `AND properties.$import_job_id = ${quoted(run)}`,
    `GROUP BY day, event ORDER BY day, event LIMIT ${maxRows}`,
  ].join(' ')
}

export function personsQuery(distinctIds: readonly string[]): string {
  const ids = distinctIds.map(quoted).join(', ')
  return `SELECT distinct_id, person_id FROM person_distinct_ids WHERE distinct_id IN (${ids}) LIMIT ${maxRows}`
}

/** A string of HogQL. Ids of people come from an export: anything may stand in them. */
function quoted(text: string): string {
  return `'${text.replaceAll(/[\\'\b\f\r\n\t\0\v]/g, (sign) => escapes[sign] ?? sign)}'`
}

const escapes: Record<string, string> = {
  '\\': '\\\\',
  "'": "\\'",
  '\b': '\\b',
  '\f': '\\f',
  '\r': '\\r',
  '\n': '\\n',
  '\t': '\\t',
  '\0': '\\0',
  '\v': '\\v',
}
