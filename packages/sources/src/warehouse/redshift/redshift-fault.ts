import { errorMessage, OperatorError } from '@heapferry/domain'
import { isThrottledByAws, passesAtAws } from './ask-aws.ts'
import type { RedshiftAddress } from './redshift-address.ts'

/**
 * It goes over by itself: connections break, servers restart, and there are too many sessions.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (passesAtAws(error)) return true
  const code = codeOf(error)
  if (code === undefined) return /connection (?:terminated|ended)|timeout exceeded|read timeout/i.test(error.message)
  return (
    /^(?:08...|57P0[123]|53300|40001|40P01|ECONNRESET|EPIPE|ETIMEDOUT|ECONNREFUSED|ECONNABORTED|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN)$/.test(
      code,
    ) ||
    // Redshift's own words for a lost node, and for what WLM has no room for.
    (code === 'XX000' && /connection|could not complete because of conflict/i.test(error.message))
  )
}

/** Whether the warehouse is there, and has no room for now. */
export function isThrottled(error: unknown): boolean {
  return error instanceof Error && (/^(?:53300|57P03)$/.test(codeOf(error) ?? '') || isThrottledByAws(error))
}

/** The table, or a column of it, is not what it was when it was planned. */
export function isOfAlteredTable(error: unknown): boolean {
  return error instanceof Error && /^(?:42703|42P01|42883|42804|3F000)$/.test(codeOf(error) ?? '')
}

/** What stands behind a fault that was told already. */
export function reasonOf(error: unknown): unknown {
  return error instanceof OperatorError && error.cause !== undefined ? error.cause : error
}

/** What failed, in words of the warehouse, and what to do. What goes over by itself, and what is none of its, stays as it is. */
export function faultOf(error: unknown, address: RedshiftAddress, tls: 'verify' | 'unverified' | 'off'): unknown {
  if (error instanceof OperatorError || !(error instanceof Error) || isThrottled(error)) return error
  const code = codeOf(error)
  const hint = hintOf(code, error.message, address, tls)
  return new OperatorError(
    `${address.text} ${isSqlState(code) ? 'says' : 'cannot be reached'}: ${errorMessage(error)}${code === undefined ? '' : ` (${code})`}`,
    hint,
    { cause: error },
  )
}

function hintOf(
  code: string | undefined,
  message: string,
  address: RedshiftAddress,
  tls: 'verify' | 'unverified' | 'off',
): string {
  if (/SSL|TLS|certificate|CERT/i.test(`${code} ${message}`)) {
    return tls === 'off'
      ? 'Set HEAPFERRY_WAREHOUSE_TLS to verify, or to unverified behind a tunnel, where the name of the certificate is another.'
      : 'Check the name of the host. A certificate of your own authority is named in NODE_EXTRA_CA_CERTS. HEAPFERRY_WAREHOUSE_TLS=unverified believes whoever answers, =off uses no TLS: only on a path that nobody else is on.'
  }
  const known = hints[code ?? '']
  if (known !== undefined) return known(address)
  if (isSqlState(code)) return 'That is its own answer. What is unloaded stays: the same command goes on.'
  return `Check host and port (${address.host}:${address.port}), and that this machine may reach them: security group, VPN, "publicly accessible". What is unloaded stays: the same command goes on.`
}

const hints: Readonly<Record<string, (address: RedshiftAddress) => string>> = {
  '28P01': ofLogin,
  '28000': ofLogin,
  '3D000': ({ database }) => `Check the name of the database, ${database}, in the address.`,
  '42501': ({ schema, user }) => grantsText(schema, user),
  '57014': () =>
    'The statement took too long, or was ended by an administrator or a rule of WLM. Set HEAPFERRY_WAREHOUSE_TIMEOUT (seconds) higher, or give the user a queue with more time. Then start the same command again: what is unloaded stays.',
  '53100': ofRoom,
  '53200': ofRoom,
}

function ofLogin({ user, host }: RedshiftAddress): string {
  if (user === null)
    return `A temporary password of AWS was not taken. Check that ${host} leads to the cluster that it is for, which HEAPFERRY_REDSHIFT_CLUSTER names where that is set.`
  return `Check the user ${user} in the address, and its password in PGPASSWORD or ~/.pgpass.`
}

function ofRoom(): string {
  return 'The cluster has no room for the result. Start the same command again when less is going on there: what is unloaded stays.'
}

/**
 * What the owner of a schema runs for a user who may not read it.
 * @param user null where only AWS knows who it is
 */
export function grantsText(schema: string, user: string | null): string {
  const who = quoted(user ?? 'IAMR:ROLE')
  return `Have its owner run: GRANT USAGE ON SCHEMA ${quoted(schema)} TO ${who}; GRANT SELECT ON ALL TABLES IN SCHEMA ${quoted(schema)} TO ${who};${user === null ? ' ROLE is the role of AWS that this is; of a user of AWS it is "IAM:USER".' : ''}`
}

function isSqlState(code: string | undefined): boolean {
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code)
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** A name in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A text in SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
