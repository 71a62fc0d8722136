import { createHash } from 'node:crypto'
import { defaultMapping } from '@heapferry/domain'
import { encodeIdentities, resolvePeople } from '@heapferry/migration'
import { discover, inspectExport, openPlace, sourceAt } from '@heapferry/sources'
import { tell } from './in-own-process.ts'

/** As `enqueue` does it before anything else: reads all people of an export, resolves them and leaves them to workers. */
const [source = '', store = ''] = process.argv.slice(2)
const s3 = { pathStyle: false, requesterPays: false }
const startedMs = performance.now()
const discovery = await discover(source, s3)
const inspected = await inspectExport(discovery, defaultMapping)
const files = inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : []))
const resolved = await resolvePeople(files, sourceAt(discovery.place).readAll, {
  mapping: defaultMapping,
  hashSalt: null,
  listNamed: false,
})
const resolvedMs = performance.now()
const parts = encodeIdentities(resolved)
const hash = createHash('sha256')
for (const part of parts) hash.update(part)
hash.digest('hex')
await (await openPlace(store, s3)).put('identities', parts)
const { people, ids, migrations, components, largestComponent, conflicts } = resolved.summary
tell({
  migrations,
  ids,
  people,
  components,
  'ids of the largest': largestComponent,
  conflicts: conflicts.total,
  'resolving s': (resolvedMs - startedMs) / 1000,
  'all s': (performance.now() - startedMs) / 1000,
  'packed MB': parts.reduce((sum, part) => sum + part.byteLength, 0) / 1e6,
})
