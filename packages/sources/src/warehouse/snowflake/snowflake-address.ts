import { OperatorError } from '@heapferry/domain'

export interface SnowflakeAddress {
  /** `organization-account`, or a locator with its region, as it stands in the host. */
  account: string
  /** As Snowflake keeps it, mostly in upper case. */
  database: string
  schema: string
  /** `snowflake://account/database/schema`: all of it, and no secret. */
  text: string
}

/** @throws OperatorError that repeats nothing of an address which may hold a password */
export function parseSnowflakeAddress(source: string): SnowflakeAddress {
  if (/[@?#]|:.*:/.test(source)) {
    throw new OperatorError(
      'The address of a Snowflake holds no user, no password and nothing behind a ? or #: others can see the command, and it is kept with the run',
      `Give ${form} alone. The user, role and warehouse are named by SNOWFLAKE_USER, SNOWFLAKE_ROLE and SNOWFLAKE_WAREHOUSE, and the key by SNOWFLAKE_PRIVATE_KEY_FILE (environment or .env). If a password was typed, it is in the history of the shell: delete it there, or change it.`,
    )
  }
  const [, host = '', database, schema] = /^snowflake:\/\/([a-z0-9_.-]+)\/([^/]+)\/([^/]+)\/?$/i.exec(source) ?? []
  const names = [database, schema].map((name) => (name === undefined ? undefined : nameIn(name)))
  if (names[0] === undefined || names[1] === undefined) {
    throw new OperatorError(
      `${source} is no address of a Snowflake`,
      `Give ${form}: the account as in the address of its web page, before .snowflakecomputing.com, and the database and schema that Heap shares, such as HEAP_MAIN_PRODUCTION/HEAP.`,
    )
  }
  // Hosts have no underscores, where names of accounts have.
  const account = host
    .toLowerCase()
    .replace(/\.snowflakecomputing\.com$/, '')
    .replaceAll('_', '-')
  return {
    account,
    database: names[0],
    schema: names[1],
    text: `snowflake://${account}/${names.map((name) => encodeURIComponent(asTyped(name ?? ''))).join('/')}`,
  }
}

const form = 'snowflake://account/database/schema'

/** What a name is called that is typed as in SQL: in upper case, but in quotes as it stands there. */
export function nameOf(typed: string): string {
  const quotes = /^"(.+)"$/s.exec(typed)
  return quotes?.[1] === undefined ? typed.toUpperCase() : quotes[1].replaceAll('""', '"')
}

function asTyped(name: string): string {
  return name === name.toUpperCase() ? name : quoted(name)
}

function nameIn(part: string): string | undefined {
  try {
    return nameOf(decodeURIComponent(part))
  } catch {
    return undefined
  }
}

/** A name in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A text in SQL, in which a backslash is a sign of its own. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
