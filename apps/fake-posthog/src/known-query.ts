/** Events of a run, within a time. */
export interface OfRun {
  fromMs: number
  toMs: number
  run: string
}

/** The queries that heapferry sends. */
export type KnownQuery =
  | ({ kind: 'counts'; limit: number } & OfRun)
  | ({ kind: 'people'; limit: number } & OfRun)
  | ({ kind: 'ids'; event: string; after: string; limit: number } & OfRun)
  | ({ kind: 'events_of_people'; personIds: string[] } & OfRun)
  | { kind: 'persons'; ids: string[] }

const literal = String.raw`'(?:[^'\\]|\\.)*'`
const literals = new RegExp(literal, 'gs')
const time = String.raw`toDateTime\('(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)'\)`
const list = String.raw`\((${literal}(?:, ${literal})*)\)`
const ofRun = String.raw`WHERE timestamp >= ${time} AND timestamp < ${time} AND properties\.\$import_job_id = (${literal}) `
const countPattern = new RegExp(
  String.raw`^SELECT intDiv\(toUnixTimestamp\(timestamp\), 86400\) AS day, event, count\(\) AS stored, ` +
    String.raw`uniqExact\(uuid, distinct_id, timestamp\) AS different, uniqExact\(uuid\) AS uuids FROM events ` +
    String.raw`${ofRun}GROUP BY day, event ORDER BY day, event LIMIT (\d+)$`,
  's',
)
const peoplePattern = new RegExp(
  String.raw`^SELECT event, uniqExact\(person_id\) AS people FROM events ${ofRun}GROUP BY event ORDER BY event LIMIT (\d+)$`,
  's',
)
const idsPattern = new RegExp(
  String.raw`^SELECT distinct_id, person_id FROM events ${ofRun}AND event = (${literal}) AND distinct_id > (${literal}) ` +
    String.raw`GROUP BY distinct_id, person_id ORDER BY distinct_id LIMIT (\d+)$`,
  's',
)
const eventsPattern = new RegExp(
  String.raw`^SELECT person_id, uniqExact\(uuid, distinct_id, timestamp\) AS different FROM events ${ofRun}` +
    String.raw`AND person_id IN ${list} GROUP BY person_id LIMIT \d+$`,
  's',
)
const personsPattern = new RegExp(
  String.raw`^SELECT distinct_id, person_id FROM person_distinct_ids WHERE distinct_id IN ${list} LIMIT \d+$`,
  's',
)

/** What a query asks for; null for one that is not word by word one of those that heapferry sends. */
export function knownQuery(text: string): KnownQuery | null {
  for (const [pattern, read] of patterns) {
    const found = pattern.exec(text)
    if (found) return read(found.slice(1))
  }
  return null
}

const patterns: [RegExp, (parts: string[]) => KnownQuery][] = [
  [countPattern, (parts) => ({ kind: 'counts', ...ofRunIn(parts), limit: Number(parts[3]) })],
  [peoplePattern, (parts) => ({ kind: 'people', ...ofRunIn(parts), limit: Number(parts[3]) })],
  [
    idsPattern,
    (parts) => {
      const [, , , event = '', after = '', limit] = parts
      return { kind: 'ids', ...ofRunIn(parts), event: textOf(event), after: textOf(after), limit: Number(limit) }
    },
  ],
  [eventsPattern, (parts) => ({ kind: 'events_of_people', ...ofRunIn(parts), personIds: textsIn(parts[3]) })],
  [personsPattern, ([ids]) => ({ kind: 'persons', ids: textsIn(ids) })],
]

function ofRunIn([from = '', to = '', run = '']: string[]): OfRun {
  return { fromMs: Date.parse(from), toMs: Date.parse(to), run: textOf(run) }
}

function textsIn(quoted = ''): string[] {
  return [...quoted.matchAll(literals)].map(([one]) => textOf(one))
}

/** The text that a string of HogQL stands for. */
function textOf(quoted: string): string {
  return quoted.slice(1, -1).replaceAll(/\\(.)/gs, (_, sign: string) => escapes[sign] ?? sign)
}

const escapes: Record<string, string> = { b: '\b', f: '\f', r: '\r', n: '\n', t: '\t', 0: '\0', v: '\v' }
