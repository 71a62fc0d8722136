import { z } from 'zod'

interface Host {
  host: string
  /** Without it, the usual one: 6379, of Sentinels 26379. */
  port?: number
}

/** Where Redis is, as REDIS_URL says it. */
export interface RedisAddress {
  /** One server; the server that Sentinels name; the nodes of a cluster, of which some are named. */
  kind: 'single' | 'sentinel' | 'cluster'
  isEncrypted: boolean
  /** Not empty. Of `sentinel` they are the Sentinels. */
  hosts: readonly Host[]
  /** Login, database and query, behind a host that says nothing. */
  rest: URL
}

const form = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^/?#]*)@)?([^@/?#]+)([/?][^#]*)?$/
const hostForm = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/i

/**
 * `redis://user:password@host:6379/0`, `redis+sentinel://…@host1:26379,host2:26379/0?name=mymaster` or
 * `redis+cluster://…@host1:6379,host2:6379`, each also with `rediss`, which is TLS.
 */
export const RedisAddress = z.string().transform((text, context): RedisAddress => {
  const [matched, s = '', named, login = '', hostList = '', tail = ''] = form.exec(text) ?? []
  const kind = named === 'sentinel' || named === 'cluster' ? named : 'single'
  const base = `redis://${login === '' ? '' : `${login}@`}redis${tail}`
  const hosts = hostList.split(',').map(hostOf)
  const known = hosts.filter((host) => host !== null)
  const fault = (words: string): never => {
    context.addIssue(words)
    return z.NEVER
  }
  if (matched === undefined || known.length < hosts.length || !URL.canParse(base))
    return fault('expected a URL such as redis://:password@127.0.0.1:6379')
  if (kind === 'single' && known.length > 1)
    return fault(
      'several hosts are those of Sentinels (redis+sentinel://…?name=NAME) or of a cluster (redis+cluster://…)',
    )
  const rest = new URL(base)
  if (kind === 'sentinel' && !rest.searchParams.get('name'))
    return fault('what the Sentinels call the Redis is missing, such as ?name=mymaster')
  return { kind, isEncrypted: s === 's', hosts: known, rest }
})

/** The text that gives the address again. */
export function redisUrlOf({ kind, isEncrypted, hosts, rest }: RedisAddress): string {
  const scheme = `redis${isEncrypted ? 's' : ''}${kind === 'single' ? '' : `+${kind}`}`
  const login = rest.password === '' ? rest.username : `${rest.username}:${rest.password}`
  const where = `${login === '' ? '' : `${login}@`}${hostsOf({ hosts })}`
  return `${scheme}://${where}${rest.pathname}${rest.search}`
}

/** For people. */
export function hostsOf({ hosts }: Pick<RedisAddress, 'hosts'>): string {
  return hosts
    .map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`)
    .join(',')
}

function hostOf(text: string): Host | null {
  const [, six, name, port] = hostForm.exec(text) ?? []
  const host = six ?? name
  return host === undefined ? null : { host, ...(port !== undefined && { port: Number(port) }) }
}
