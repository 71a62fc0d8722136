import { OperatorError } from '@heapferry/domain'

export interface RedshiftAddress {
  /** How it is asked: on a connection to its own port, or by an API of AWS that has one. */
  by: 'connection' | 'data_api'
  host: string
  port: number
  database: string
  schema: string
  /** Null: whoever the credentials of AWS are of. */
  user: string | null
  /** `redshift://user@host:port/database/schema`, or without `user@`, or `redshift-data://host/database/schema`: all of it, and no secret. */
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
  if (/^[\w-]+:\/{0,2}.*:.*@/.test(source) || (url?.password ?? '') !== '' || /[?&#]/.test(source)) {
    throw new OperatorError(
      'The address of a warehouse holds no password and nothing behind a ? or #: others can see the command, and it is kept with the run',
      `Give ${form} alone, and the password in PGPASSWORD (environment or .env) or in ~/.pgpass. If it was typed, it is in the history of the shell: delete it there, or change it.`,
    )
  }
  const [database, schema, ...more] = (url?.pathname ?? '').split('/').slice(1).map(decoded)
  const user = decoded(url?.username ?? '')
  const by = url?.protocol === 'redshift-data:' ? 'data_api' : 'connection'
  if (by === 'data_api' && (user !== '' || url?.port !== '')) {
    throw new OperatorError(
      `${source} names a user or a port, and the Data API has neither`,
      `Give ${dataForm}: it is logged in by IAM. With a user and a password it is ${form}.`,
    )
  }
  if (!url || url.hostname === '' || user === undefined || !database || !schema || more.some((part) => part !== '')) {
    throw new OperatorError(
      `${source} is no address of a Redshift`,
      `Give ${by === 'data_api' ? dataForm : form}: the schema is the one that Heap writes to, such as main_production. ${by === 'data_api' ? '' : 'Without user@ it is logged in by IAM.'}`.trimEnd(),
    )
  }
  const port = url.port === '' ? defaultPort : Number(url.port)
  const host = url.hostname.toLowerCase()
  const place = `${encodeURIComponent(database)}/${encodeURIComponent(schema)}`
  return {
    by,
    // Brackets are only of addresses.
    host: host.replace(/^\[(.*)\]$/, '$1'),
    port,
    database,
    schema,
    user: user === '' ? null : user,
    text:
      by === 'data_api'
        ? `redshift-data://${host}/${place}`
        : `redshift://${user === '' ? '' : `${encodeURIComponent(user)}@`}${host}:${port}/${place}`,
  }
}

const form = 'redshift://user@host:5439/database/schema'
const dataForm = 'redshift-data://NAME.abc123.eu-west-1.redshift.amazonaws.com/database/schema'

/**
 * AWS names hosts `CLUSTER.ID.REGION.redshift.amazonaws.com` and `WORKGROUP.ACCOUNT.REGION.redshift-serverless.amazonaws.com`,
 * in China with `.cn` behind; Amazon's own drivers go by that too.
 * @param named such a host, where that of the address is another
 * @throws OperatorError when neither is one
 */
export function redshiftNameOf({ text, host }: RedshiftAddress, named: string | undefined): RedshiftName {
  const [, name, region, service] =
    /^([a-z0-9-]+)\.[a-z0-9-]+\.([a-z0-9-]+)\.(redshift(?:-serverless)?)\.amazonaws\.com(?:\.cn)?$/.exec(
      named ?? host,
    ) ?? []
  if (name === undefined || region === undefined)
    throw new OperatorError(
      `${text} is logged in to by IAM, and ${host} does not tell of which cluster`,
      'Give the host name that AWS shows for the cluster or workgroup, such as NAME.abc123.eu-west-1.redshift.amazonaws.com. Where the address is that of a tunnel, set HEAPFERRY_REDSHIFT_CLUSTER to it. To log in with a password, give redshift://user@…',
    )
  return { kind: service === 'redshift' ? 'cluster' : 'workgroup', name, region }
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
