/** The two queries that heapferry sends. */
export type KnownQuery =
  | { kind: 'counts'; fromMs: number; toMs: number; run: string; limit: number }
  | { kind: 'persons'; ids: string[] }

const literal = String.raw`'(?:[^'\\]|\\.)*'`
const literals = new RegExp(literal, 'gs')
const time = String.raw`toDateTime\('(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)'\)`
const countPattern = new RegExp(
  String.raw`^SELECT intDiv\(toUnixTimestamp\(timestamp\), 86400\) AS day, event, count\(\) AS stored, ` +
    String.raw`uniqExact\(uuid, distinct_id, timestamp\) AS different, uniqExact\(uuid\) AS uuids FROM events ` +
    String.raw`WHERE timestamp >= ${time} AND timestamp < ${time} AND properties\.\$import_job_id = (${literal}) ` +
    String.raw`GROUP BY day, event ORDER BY day, event LIMIT (\d+)$`,
  's',
)
const personsPattern = new RegExp(
  String.raw`^SELECT distinct_id, person_id FROM person_distinct_ids WHERE distinct_id IN \((${literal}(?:, ${literal})*)\) LIMIT \d+$`,
  's',
)

/** What a query asks for; null for one that is not word by word one of the two. */
export function knownQuery(text: string): KnownQuery | null {
  const counts = countPattern.exec(text)
  if (counts) {
    const [, from = '', to = '', run = '', limit = ''] = counts
    return { kind: 'counts', fromMs: Date.parse(from), toMs: Date.parse(to), run: textOf(run), limit: Number(limit) }
  }
  const persons = personsPattern.exec(text)
  return persons && { kind: 'persons', ids: [...(persons[1] ?? '').matchAll(literals)].map(([one]) => textOf(one)) }
}

/** The text that a string of HogQL stands for. */
function textOf(quoted: string): string {
  return quoted.slice(1, -1).replaceAll(/\\(.)/gs, (_, sign: string) => escapes[sign] ?? sign)
}

const escapes: Record<string, string> = { b: '\b', f: '\f', r: '\r', n: '\n', t: '\t', 0: '\0', v: '\v' }
