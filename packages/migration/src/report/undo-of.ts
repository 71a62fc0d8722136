import type { Run } from '@heapferry/domain'
import type { Report } from './report.ts'

/** What can be done about a run that should not have been, and how to find what it sent. */
export function undoOf({ id, destination, createdAtMs }: Run): Report['undo'] {
  if (destination.kind === 'json_lines') {
    return {
      steps: [`Delete the files below ${destination.root}: nothing was sent anywhere.`],
      events_query: '',
      persons_query: '',
    }
  }
  // A run's name has no sign that HogQL's strings would have to escape. PostHog wants every query bounded in time.
  const until = new Date(createdAtMs + 86_400_000).toISOString().slice(0, 10)
  const where = `properties.$import_job_id = '${id}' AND timestamp >= '2010-01-01' AND timestamp < '${until}'`
  return {
    steps: [
      'PostHog cannot delete single events. If the project was only made for a trial, delete the project.',
      `Every event of this run carries $import_job_id = ${id}. To leave it out of an insight, filter by that property.`,
      'Deleting people together with their events (Persons, or the bulk delete API) also deletes their live events, and their ids cannot be used again: do so only for people who came with this run alone. The second query lists everyone whom the run has touched.',
      "PostHog's support can delete the events that the first query counts. Merged people stay merged.",
    ],
    events_query: `SELECT event, count() AS events, min(timestamp) AS first, max(timestamp) AS last FROM events WHERE ${where} GROUP BY event ORDER BY events DESC LIMIT 1000`,
    persons_query: `SELECT person_id, any(distinct_id) AS distinct_id, count() AS events FROM events WHERE ${where} GROUP BY person_id ORDER BY events DESC LIMIT 50000`,
  }
}
