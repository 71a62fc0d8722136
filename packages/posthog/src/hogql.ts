import type { RunId, TimeRange } from '@heapferry/domain'

/** The most rows that PostHog's query API answers with. */
export const maxRows = 50_000

/**
 * Days are counted in UTC: HogQL's own dates are those of the project's time zone. Times end in `Z`, so that the zone has
 * no say in them either.
 */
export function countQuery(run: RunId, range: TimeRange): string {
  return [
    'SELECT intDiv(toUnixTimestamp(timestamp), 86400) AS day, event, count() AS stored,',
    'uniqExact(uuid, distinct_id, timestamp) AS different, uniqExact(uuid) AS uuids FROM events',
    whereSent(run, range),
    `GROUP BY day, event ORDER BY day, event LIMIT ${maxRows}`,
  ].join(' ')
}

/** Different people under each event. Of a range as a whole: they do not add up. */
export function peopleQuery(run: RunId, range: TimeRange): string {
  return [
    'SELECT event, uniqExact(person_id) AS people FROM events',
    whereSent(run, range),
    `GROUP BY event ORDER BY event LIMIT ${maxRows}`,
  ].join(' ')
}

/** Whose the ids of an event are, in the order of the ids, from the first behind `after` on. */
export function idsQuery(
  run: RunId,
  { event, range, after, limit }: { event: string; range: TimeRange; after: string; limit: number },
): string {
  return [
    'SELECT distinct_id, person_id FROM events',
    whereSent(run, range),
    `AND event = ${quoted(event)} AND distinct_id > ${quoted(after)}`,
    `GROUP BY distinct_id, person_id ORDER BY distinct_id LIMIT ${limit}`,
  ].join(' ')
}

/** Events of each of some people. */
export function eventsOfPeopleQuery(run: RunId, personIds: readonly string[], range: TimeRange): string {
  return [
    'SELECT person_id, uniqExact(uuid, distinct_id, timestamp) AS different FROM events',
    whereSent(run, range),
    `AND person_id IN (${personIds.map(quoted).join(', ')})`,
    `GROUP BY person_id LIMIT ${maxRows}`,
  ].join(' ')
}

export function personsQuery(distinctIds: readonly string[]): string {
  const ids = distinctIds.map(quoted).join(', ')
  return `SELECT distinct_id, person_id FROM person_distinct_ids WHERE distinct_id IN (${ids}) LIMIT ${maxRows}`
}

function whereSent(run: RunId, { fromMs, toMs }: TimeRange): string {
  return [
    `WHERE timestamp >= toDateTime(${quoted(new Date(fromMs).toISOString())})`,
    `AND timestamp < toDateTime(${quoted(new Date(toMs).toISOString())})`,
    `AND properties.$import_job_id = ${quoted(run)}`,
  ].join(' ')
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
