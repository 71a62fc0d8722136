import { mkdir, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { sessionColumns } from '@heapferry/conversion'
import { openWorkStore } from '@heapferry/sources'
import { openScratch } from '../apps/cli/src/open-scratch.ts'
import { IndexBuilder } from '../packages/migration/src/sessions/build-index.ts'
import { openStoredIndex } from '../packages/migration/src/sessions/stored-index.ts'
import { tell } from './in-own-process.ts'
import { stopwatch } from './read-chunks.ts'

/** Builds an index of so many sessions, then asks for the sessions of a million rows, a slice of a thousand at a time. */

const [folder = '', count = '0'] = process.argv.slice(2)
const sessions = Number(count)
const startMs = Date.UTC(2022, 0, 1)
const lookups = Math.min(1_000_000, sessions)

const scratch = openScratch(folder)
await mkdir(folder, { recursive: true })
const store = await openWorkStore(folder, { pathStyle: false, requesterPays: false })
const builder = new IndexBuilder(scratch)
const building = stopwatch()
for (let nth = 0; nth < sessions; nth++) {
  builder.addSession(nameOf(nth), startMs + nth * 700, cellsOf(nth))
  if (builder.isFull) await builder.spill()
}
await builder.write(store, 'sessions', { hasSessions: true, signal: new AbortController().signal })
const built = building()
await scratch.close()

const index = await openStoredIndex(store, 'sessions')
const asking = stopwatch()
// In order of time, as an export's rows come: sessions of one hour lie all over the index.
const from = Math.floor((sessions - lookups) / 2)
for (let nth = 0; nth < lookups; nth += 1000) {
  const found = await index.find(
    Array.from({ length: 1000 }, (_, row) => {
      // Three rows a session.
      const session = from + Math.floor((nth + row) / 3)
      return { name: nameOf(session), timeMs: startMs + session * 700 + 1000 }
    }),
  )
  if (found.some((one) => one === null || one.isMissing)) throw new Error('a session is not found')
}
const asked = asking()
await index.close()

let bytes = 0
for (const file of await readdir(path.join(folder, 'sessions'))) {
  bytes += (await stat(path.join(folder, 'sessions', file))).size
}
tell({
  sessions,
  'building seconds': built.seconds,
  'building CPU seconds': built.cpuSeconds,
  'bytes/session': bytes / sessions,
  'rows/s asked': lookups / asked.seconds,
  'CPU µs/row asked': (asked.cpuSeconds * 1e6) / lookups,
})

function nameOf(nth: number): string {
  return `heapferry session\0${(nth * 7_919_000_003) % 2 ** 53}`
}

function cellsOf(nth: number): (string | null)[] {
  const cells: Record<string, string> = {
    referrer: nth % 3 === 0 ? '' : `https://www.google.com/search?q=${nth % 5000}`,
    landing_page: `www.example.com/products/${(nth * 31) % 20_000}`,
    landing_page_query: nth % 4 === 0 ? `?utm_source=google&gclid=Cj0${(nth * 7_919) % 2 ** 40}` : '',
    utm_source: nth % 4 === 0 ? 'google' : '',
    utm_medium: nth % 4 === 0 ? 'cpc' : '',
    utm_campaign: nth % 4 === 0 ? `brand-${nth % 40}` : '',
    platform: ['Mac OS X 10.15.7', 'Windows 10', 'iOS 15.4', 'Android 13'][nth % 4] ?? '',
    browser: `Chrome ${100 + (nth % 20)}.0.${nth % 5000}`,
    device_type: nth % 2 === 0 ? 'Desktop' : 'Mobile',
  }
  return sessionColumns.map((column) => cells[column] ?? null)
}
