import type { Identities, Resolution } from '@heapferry/domain'

/** What `users` and `user_migrations` say of ids, all ids as canonical decimal strings. */
export interface IdentityFacts {
  /** from_user_id → to_user_id. */
  migrations: ReadonlyMap<string, string>
  /** user_id → identity, for ids that a migration touches. */
  identities: ReadonlyMap<string, string>
}

/**
 * Who every migrated id ends as: the identity at the end of its chain of migrations, or the only one on the chain, or
 * the last user id. A chain that passes two identities would join two people and is a conflict.
 */
export function resolveIdentities({ migrations, identities }: IdentityFacts): Map<string, Resolution> {
  const resolved = new Map<string, Resolution>()
  for (const from of migrations.keys()) resolved.set(from, resolve(from))
  return resolved

  function resolve(from: string): Resolution {
    const chain = chainFrom(from)
    const known = new Set(chain.map((id) => identities.get(id)).filter((identity) => identity !== undefined))
    if (known.size > 1)
      return { kind: 'conflict', detail: `the migrations of ${from} lead through ${known.size} identities` }
    const [identity] = known
    return { kind: 'person', distinctId: identity ?? chain.at(-1) ?? from }
  }

  function chainFrom(from: string): string[] {
    const chain = [from]
    const seen = new Set(chain)
    for (let id = migrations.get(from); id !== undefined; id = migrations.get(id)) {
      if (seen.has(id)) {
        // A cycle: every id of it is the same person, so that all must end at the same one of them.
        const cycle = chain.slice(chain.indexOf(id))
        return [...chain, cycle.reduce((least, next) => (BigInt(next) < BigInt(least) ? next : least))]
      }
      chain.push(id)
      seen.add(id)
    }
    return chain
  }
}

/** One line a resolution, ordered by id: the same facts give the same bytes. */
export function encodeIdentities(resolved: ReadonlyMap<string, Resolution>): string {
  return [...resolved]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([id, resolution]) =>
        `${JSON.stringify(resolution.kind === 'person' ? [id, resolution.distinctId] : [id, null, resolution.detail])}\n`,
    )
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
