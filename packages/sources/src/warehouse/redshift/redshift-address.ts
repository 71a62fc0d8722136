import { OperatorError } from '@heapferry/domain'

export interface RedshiftAddress {
  host: string
  port: number
  database: string
  schema: string
  /** Null: whoever the credentials of AWS are of. */
  user: string | null
  /** `redshift://user@host:port/database/schema`, or without `user@`: all of it, and no secret. */
  text: string
}

/** What the APIs of AWS know it by. */
export interface RedshiftName {
  kind: 'cluster' | 'workgroup'
  name: string
  region: string
}

const defaultPort = 5439

/** @throws OperatorError that repeats nothing of an address which may hold a password */
export function parseRedshiftAddress(source: string): RedshiftAddress {
  const url = URL.canParse(source) ? new URL(source) : null
  // Also of what cannot be parsed: who writes a password there may not know that some signs have to be escaped.
  if (/^\w+:\/{0,2}.*:.*@/.test(source) || (url?.password ?? '') !== '' || /[?&#]/.test(source)) {
    throw new OperatorError(
      'The address of a warehouse holds no password and nothing behind a ? or #: others can see the command, and it is kept with the run',
      `Give ${form} alone, and the password in PGPASSWORD (environment or .env) or in ~/.pgpass. If it was typed, it is in the history of the shell: delete it there, or change it.`,
    )
  }
  const [database, schema, ...more] = (url?.pathname ?? '').split('/').slice(1).map(decoded)
  const user = decoded(url?.username ?? '')
  if (!url || url.hostname === '' || user === undefined || !database || !schema || more.some((part) => part !== '')) {
    throw new OperatorError(
      `${source} is no address of a Redshift`,
      `Give ${form}: the schema is the one that Heap writes to, such as main_production. Without user@ it is logged in by IAM.`,
    )
  }
  const port = url.port === '' ? defaultPort : Number(url.port)
  const host = url.hostname.toLowerCase()
  return {
    // Brackets are only of addresses.
    host: host.replace(/^\[(.*)\]$/, '$1'),
    port,
    database,
    schema,
    user: user === '' ? null : user,
    text: `redshift://${user === '' ? '' : `${encodeURIComponent(user)}@`}${host}:${port}/${encodeURIComponent(database)}/${encodeURIComponent(schema)}`,
  }
}

const form = 'redshift://user@host:5439/database/schema'

/**
 * AWS names hosts `CLUSTER.ID.REGION.redshift.amazonaws.com` and `WORKGROUP.ACCOUNT.REGION.redshift-serverless.amazonaws.com`,
 * in China with `.cn` behind; Amazon's own drivers go by that too. Null for any other host.
 */
export function redshiftNameOf(host: string): RedshiftName | null {
  const [, name, region, service] =
    /^([a-z0-9-]+)\.[a-z0-9-]+\.([a-z0-9-]+)\.(redshift(?:-serverless)?)\.amazonaws\.com(?:\.cn)?$/.exec(host) ?? []
  if (name === undefined || region === undefined) return null
  return { kind: service === 'redshift' ? 'cluster' : 'workgroup', name, region }
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
