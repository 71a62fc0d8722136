import type { Identities, Resolution } from '@heapferry/domain'

/** What `users` and `user_migrations` say of ids, all ids as canonical decimal strings. */
export interface IdentityFacts {
  /** from_user_id → every to_user_id that it is led to, in the order of the export. */
  migrations: ReadonlyMap<string, readonly string[]>
  /** user_id → identity, for ids that a migration touches. */
  identities: ReadonlyMap<string, string>
}

/**
 * Who every migrated id ends as: the only identity among the ids that its migrations lead to, itself included, or else
 * the last of those ids. Where they lead to two identities, merging would join two people: a conflict.
 */
export function resolveIdentities({ migrations, identities }: IdentityFacts): Map<string, Resolution> {
  const resolved = new Map<string, Resolution>()
  for (const from of migrations.keys()) resolved.set(from, resolve(from))
  return resolved

  function resolve(from: string): Resolution {
    const known = new Set(reachable(from).flatMap((id) => identities.get(id) ?? []))
    if (known.size > 1)
      return { kind: 'conflict', detail: `the migrations of ${from} lead to ${known.size} identities` }
    const [identity] = known
    return { kind: 'person', distinctId: identity ?? lastOf(from) }
  }

  function reachable(from: string): string[] {
    const seen = new Set([from])
    // A set hands out what is added to it while it is walked.
    for (const id of seen) for (const to of migrations.get(id) ?? []) seen.add(to)
    return [...seen]
  }

  /** The end of the chain of first migrations. */
  function lastOf(from: string): string {
    const chain = [from]
    for (let next = migrations.get(from)?.[0]; next !== undefined; next = migrations.get(next)?.[0]) {
      // A cycle: every id of it is the same person, so that all must end at the same one of them.
      if (chain.includes(next)) return chain.slice(chain.indexOf(next)).reduce(smaller)
      chain.push(next)
    }
    return chain.at(-1) ?? from
  }
}

function smaller(a: string, b: string): string {
  return BigInt(b) < BigInt(a) ? b : a
}

/** One line a resolution, ordered by id: the same facts give the same bytes. */
export function encodeIdentities(resolved: ReadonlyMap<string, Resolution>): string {
  return [...resolved]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, resolution]) => {
      const line = resolution.kind === 'person' ? [id, resolution.distinctId] : [id, null, resolution.detail]
      return `${JSON.stringify(line)}\n`
    })
    .join('')
}

/** @throws SyntaxError or TypeError when the text was not made by `encodeIdentities` */
export function decodeIdentities(text: string): Identities {
  const resolved = new Map<string, Resolution>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [id, distinctId, detail]: unknown[] = JSON.parse(line)
    if (typeof id !== 'string') throw new TypeError('an identity without an id')
    if (typeof distinctId === 'string') resolved.set(id, { kind: 'person', distinctId })
    else resolved.set(id, { kind: 'conflict', detail: String(detail) })
  }
  return { resolve: (userId) => resolved.get(userId) }
}
