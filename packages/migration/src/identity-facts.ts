import { canonicalId, storableText } from '@heapferry/conversion'
import type { ExportFile, Slice } from '@heapferry/domain'
import type { IdentityFacts } from './identities.ts'

/**
 * Reads what `users` and `user_migrations` say of ids. Rows that cannot be read are left to the workers, which reject
 * them with their place.
 *
 * @param read the rows of a whole file
 */
export async function identityFacts(
  files: readonly ExportFile[],
  read: (file: ExportFile) => AsyncIterable<Slice>,
): Promise<IdentityFacts> {
  const migrations = new Map<string, string[]>()
  for (const file of files.filter(({ table }) => table.kind === 'user_migrations')) {
    for await (const [fromText, toText] of cellsOf(file, read, 'from_user_id', 'to_user_id')) {
      const from = canonicalId(fromText)
      const to = canonicalId(toText)
      if (from.kind !== 'id' || to.kind !== 'id') continue
      const known = migrations.get(from.id)
      if (!known) migrations.set(from.id, [to.id])
      else if (!known.includes(to.id)) known.push(to.id)
    }
  }

  // Only the ids that a migration touches: an export has ten times as many users.
  const touched = new Set([...migrations].flatMap(([from, all]) => [from, ...all]))
  const identities = new Map<string, string>()
  if (touched.size === 0) return { migrations, identities }
  for (const file of files.filter(({ table }) => table.kind === 'users')) {
    for await (const [idText, identity] of cellsOf(file, read, 'user_id', 'identity')) {
      const reading = canonicalId(idText)
      // As the conversion will have it, or one person would look like two.
      const known = identity === null ? '' : storableText(identity).trim()
      if (reading.kind === 'id' && known !== '' && touched.has(reading.id)) identities.set(reading.id, known)
    }
  }
  return { migrations, identities }
}

async function* cellsOf(
  file: ExportFile,
  read: (file: ExportFile) => AsyncIterable<Slice>,
  first: string,
  second: string,
): AsyncGenerator<[string | null, string | null]> {
  for await (const { columns, rows } of read(file)) {
    const [firstAt, secondAt] = [columns.indexOf(first), columns.indexOf(second)]
    for (const row of rows) {
      if (row.kind === 'row') yield [row.values[firstAt] ?? null, row.values[secondAt] ?? null]
    }
  }
}
