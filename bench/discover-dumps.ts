import { defaultMapping } from '@heapferry/domain'
import { discover, inspectExport } from '@heapferry/sources'
import { tell } from './in-own-process.ts'

/** What `plan` and `run` do before they read a row: list, choose, and look into every file. */
const [source = '', endpoint] = process.argv.slice(2)
const startedMs = performance.now()
const s3 = { ...(endpoint !== undefined && { endpoint }), pathStyle: true, requesterPays: false }
const discovery = await discover(source, s3)
const discoveredMs = performance.now()
const inspected = await inspectExport(discovery, defaultMapping)
const endedMs = performance.now()
discovery.place.close()
tell({
  files: inspected.filter(({ kind }) => kind === 'inspected').length,
  'discovering s': (discoveredMs - startedMs) / 1000,
  'inspecting s': (endedMs - discoveredMs) / 1000,
  seconds: (endedMs - startedMs) / 1000,
})
