// posthog-node as its documentation shows it: a call for each row, and shutdown at the end.
import { createReadStream } from 'node:fs'
import { parse } from 'csv-parse'
import { PostHog } from 'posthog-node'

const [file, host] = process.argv.slice(2)
const client = new PostHog('phc_bench000000000000000000000000000000000000', { host, historicalMigration: true })
for await (const row of createReadStream(file).pipe(parse({ columns: true }))) {
  const { user_id: distinctId, time, ...properties } = row
  client.capture({ distinctId, event: '$pageview', properties, timestamp: new Date(`${time.replace(' ', 'T')}Z`) })
}
await client.shutdown(600_000)
