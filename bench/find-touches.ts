import { conversionVersion, defaultMapping, type IdentitiesRecord, RunId } from '@heapferry/domain'
import { loadIdentities, saveFirstTouch, saveIdentities } from '@heapferry/migration'
import { discover, inspectExport, openWorkStore, sourceAt } from '@heapferry/sources'
import { tell } from './in-own-process.ts'

/** As `enqueue` does it once people are resolved: what was first of each of them. */
const [root = '', storeRoot = '', rows = ''] = process.argv.slice(2)
const s3 = { pathStyle: false, requesterPays: false }
const discovery = await discover(root, s3)
const inspected = await inspectExport(discovery, defaultMapping)
const files = inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : []))
const store = await openWorkStore(storeRoot, s3)
let record: IdentitiesRecord | null = null
const ledger = {
  files: async () => files,
  identities: async () => record,
  async setIdentities(_: RunId, identities: IdentitiesRecord) {
    record = identities
  },
}
const run = {
  id: RunId.parse('bench'),
  root,
  source: root,
  destination: { kind: 'posthog', host: 'http://127.0.0.1', keyFingerprint: '0123456789abcdef' },
  mapping: defaultMapping,
  saltFingerprint: null,
  includeRecent: false,
  conversion: conversionVersion,
  maxRejectedPercent: 1,
  createdAtMs: Date.UTC(2024, 0, 1),
  chunkBytes: 1,
} as const
const source = { read: sourceAt(discovery.place).readAll, hashSalt: null }
const startedMs = performance.now()
await saveIdentities(run, files, source, { ledger, store })
const resolvedMs = performance.now()
const made = await saveFirstTouch(run, files, source, {
  store,
  identities: () => loadIdentities(run, { ledger, store }),
  signal: new AbortController().signal,
})
const seconds = (performance.now() - resolvedMs) / 1000
tell({
  sessions: Number(rows),
  'resolving people s': (resolvedMs - startedMs) / 1000,
  'first touch s': seconds,
  's per million sessions': (seconds * 1e6) / Number(rows),
  'made MB': (made?.files ?? []).reduce((sum, { version }) => sum + version.sizeBytes, 0) / 1e6,
})
