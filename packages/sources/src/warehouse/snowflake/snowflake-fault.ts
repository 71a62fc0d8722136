import { OperatorError } from '@heapferry/domain'
import type { SnowflakeAddress } from './snowflake-address.ts'
import { quoted } from './snowflake-address.ts'

/** Snowflake has answered that it does not do what it was asked. */
export class SnowflakeRefusal extends Error {
  override name = 'SnowflakeRefusal'
  readonly status: number
  /** Six digits; empty where there are none. */
  readonly code: string
  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Names that are not there any more, or were never. */
const altered = new Set(['000904', '002003', '002043', '001044', '002037'])

/** The table, or a column of it, is not what it was when it was planned. */
export function isOfAlteredTable(error: unknown): boolean {
  return error instanceof SnowflakeRefusal && altered.has(error.code)
}

/** A token whose time is over, where the next one may be at hand already. */
export function isOfOldToken(error: unknown): boolean {
  return error instanceof SnowflakeRefusal && (error.code === '390114' || error.code === '390318')
}

/** What is told of a fault: whom it concerns. */
export interface FaultContext {
  address: SnowflakeAddress
  /** As SQL writes it; those of the user where none is set. */
  role: string | undefined
  warehouse: string | undefined
  /** How far the clock of this machine is away from Snowflake's, where it said what time it is. */
  clockOffS: number | null
}

/** What was refused, in Snowflake's words, and what to do. */
export function refusedText(refusal: SnowflakeRefusal, context: FaultContext): OperatorError {
  const { status, code, message } = refusal
  return new OperatorError(
    `${context.address.text} says: ${message}${code === '' ? ` (HTTP ${status})` : ` (${code})`}`,
    hintOf(refusal, context),
    { cause: refusal },
  )
}

function hintOf({ status, code, message }: SnowflakeRefusal, context: FaultContext): string {
  const { address } = context
  const hint = hints[code]?.(context)
  if (hint !== undefined) return hint
  if (status === 401) return ofLogin(context)
  if (status === 403 || /network policy|not allowed to access/i.test(message))
    return 'A network policy does not let this machine in, or lacks for a programmatic access token, which needs one: have an administrator look at the network policies of the user and the account.'
  if (status === 404)
    return `Check the account in the address, ${address.account}: it is what stands before .snowflakecomputing.com on its web page. A private link, or another domain, is named by HEAPFERRY_SNOWFLAKE_ENDPOINT.`
  return 'What is unloaded stays. Mend what it says and start the same command again.'
}

const hints: Readonly<Record<string, (context: FaultContext) => string>> = {
  '000606': ofWarehouse,
  '000609': ofWarehouse,
  '090073': ({ warehouse }) =>
    `The budget of the warehouse ${warehouse ?? ''} is used up (a resource monitor). Raise it, or name another one in SNOWFLAKE_WAREHOUSE. Then start the same command again: what is unloaded stays.`,
  '000604': () => 'Somebody has ended the statement. Start the same command again: what is unloaded stays.',
  '000630': () =>
    'The statement took too long. Set HEAPFERRY_WAREHOUSE_TIMEOUT (seconds) higher for counting and looking; for the reading of a whole table the limit is STATEMENT_TIMEOUT_IN_SECONDS of the warehouse, the user or the account. Then start the same command again: what is unloaded stays.',
  '002003': ofRights,
  '002043': ofRights,
  '003001': ofRights,
  '390114': ofOldToken,
  '390144': ofLogin,
  '390189': ({ role }) =>
    `Check SNOWFLAKE_ROLE (${role ?? 'not set'}): GRANT ROLE … TO USER …; a programmatic access token may be restricted to another role.`,
  '390201': ofRights,
  '390318': ofOldToken,
}

function ofLogin({ clockOffS }: FaultContext): string {
  const clock =
    clockOffS !== null && Math.abs(clockOffS) > 30
      ? ` The clock of this machine is ${Math.abs(clockOffS)} seconds ${clockOffS > 0 ? 'ahead of' : 'behind'} Snowflake's: set it right, since a token of a key pair holds for an hour by that clock.`
      : ' Is the clock of this machine right? A token of a key pair holds for an hour by it.'
  return `Check SNOWFLAKE_USER, and that its RSA_PUBLIC_KEY (DESC USER) is the one of SNOWFLAKE_PRIVATE_KEY_FILE; or the token of SNOWFLAKE_TOKEN, and SNOWFLAKE_AUTHENTICATOR where it is one of OAuth.${clock}`
}

function ofOldToken(): string {
  return 'The token is too old. Give a new one in SNOWFLAKE_TOKEN, or in the file of SNOWFLAKE_TOKEN_FILE_PATH, which is read before every request. Then start the same command again: what is unloaded stays.'
}

function ofWarehouse({ warehouse, role }: FaultContext): string {
  return `Name a warehouse in SNOWFLAKE_WAREHOUSE (${warehouse ?? 'not set'}) that the role ${role ?? 'of the user'} may use: GRANT USAGE ON WAREHOUSE … TO ROLE …; an XS is enough.`
}

function ofRights(context: FaultContext): string {
  return `Check the names, and the rights. ${grantsText(context)}`
}

/** What an administrator runs for a role that may not read a schema. */
export function grantsText({ address, role }: FaultContext): string {
  const to = role === undefined ? '…' : role
  const database = quoted(address.database)
  return `Of a database that Heap shares: GRANT IMPORTED PRIVILEGES ON DATABASE ${database} TO ROLE ${to}; of one of your own: GRANT USAGE ON DATABASE ${database} TO ROLE ${to}; GRANT USAGE ON SCHEMA ${database}.${quoted(address.schema)} TO ROLE ${to}; GRANT SELECT ON ALL TABLES IN SCHEMA ${database}.${quoted(address.schema)} TO ROLE ${to}; GRANT SELECT ON ALL VIEWS IN SCHEMA ${database}.${quoted(address.schema)} TO ROLE ${to};`
}
