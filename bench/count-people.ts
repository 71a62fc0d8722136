import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { defaultMapping, type ExportFile, type Source } from '@heapferry/domain'
import { convertersOf, decodeIdentities } from '@heapferry/migration'
import { discover, inspectExport, sourceAt } from '@heapferry/sources'
import { openScratch } from '../apps/cli/src/open-scratch.ts'
import { countPeople } from '../packages/migration/src/verify/count-people.ts'
import { monthsOf } from '../packages/migration/src/verify/day-ranges.ts'
import { runOf } from '../test/support/chunk.ts'
import { tell } from './in-own-process.ts'
import { openFile, stopwatch } from './read-chunks.ts'

/** As `verify` counts the people of an export: of a folder of people who are resolved, and of one file of pageviews. */
const [source = '', store = '', folder = ''] = process.argv.slice(2)
const { place, file } = await openFile(folder, 'pageviews.csv')
const discovery = await discover(source, { pathStyle: false, requesterPays: false })
const inspected = await inspectExport(discovery, defaultMapping)
const ofPeople = inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : []))
const identities = decodeIdentities(await readFile(path.join(store, 'identities')))
const [people, events] = [sourceAt(discovery.place), sourceAt(place)]
const readAll: Source['readAll'] = (one) => (one === file ? events : people).readAll(one)

const nowMs = Date.now()
const days = Array.from({ length: 20 * 366 }, (_, nth) => Math.floor(nowMs / 86_400_000) - nth)
const scratch = openScratch(folder)
const files: ExportFile[] = [...ofPeople, file]
const spent = stopwatch()
const counted = await countPeople(files, monthsOf(days), {
  source: { readAll },
  converterFor: convertersOf(runOf('bench', { createdAtMs: nowMs }), identities, null),
  rejected: new Map(),
  retried: new Map(),
  scratch,
  anonymous: 'full',
  signal: new AbortController().signal,
})
const { seconds, cpuSeconds } = spent()
await scratch.close()
const counts = [...counted.counts.values()].flatMap((ofRange) => [...ofRange.values()])
const rows = counts.reduce((sum, one) => sum + one.rows, 0)
tell({ rows, counts: counts.length, seconds, 'rows/s': rows / seconds, 'CPU µs/row': (cpuSeconds * 1e6) / rows })
