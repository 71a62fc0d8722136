import { createHash } from 'node:crypto'
import { defaultMapping } from '@heapferry/domain'
import { encodeIdentities, identityFacts, resolveIdentities } from '@heapferry/migration'
import { discover, inspectExport, openPlace, sourceAt } from '@heapferry/sources'
import { tell } from './in-own-process.ts'

/** As `enqueue` does it before anything else: reads all people of an export, resolves them and leaves them to workers. */
const [source = '', store = ''] = process.argv.slice(2)
const s3 = { pathStyle: false, requesterPays: false }
const startedMs = performance.now()
const discovery = await discover(source, s3)
const inspected = await inspectExport(discovery, defaultMapping)
const files = inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : []))
const facts = await identityFacts(files, sourceAt(discovery.place).readAll, { mapping: defaultMapping, hashSalt: null })
const migrations = facts.migrations.length
const readMs = performance.now()
const resolved = resolveIdentities(facts, { listNamed: false })
const resolvedMs = performance.now()
const parts = encodeIdentities(resolved)
const hash = createHash('sha256')
for (const part of parts) hash.update(part)
hash.digest('hex')
await (await openPlace(store, s3)).put('identities', parts)
const { people, ids, components, largestComponent, conflicts } = resolved.summary
tell({
  migrations,
  ids,
  people,
  components,
  'ids of the largest': largestComponent,
  conflicts: conflicts.total,
  'reading s': (readMs - startedMs) / 1000,
  'resolving s': (resolvedMs - readMs) / 1000,
  'all s': (performance.now() - startedMs) / 1000,
  'packed MB': parts.reduce((sum, part) => sum + part.byteLength, 0) / 1e6,
})
