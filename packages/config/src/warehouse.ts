import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { OperatorError } from '@heapferry/domain'
import { quietenAwsSdk, type Settings } from './settings.ts'

/** Who logs in, and where. */
export interface WarehouseLogin {
  host: string
  port: number
  database: string
  user: string
}

/** How a warehouse is reached. */
export function warehouseOptionsOf(settings: Settings): {
  /** @throws OperatorError when none is to be found */
  passwordFor(login: WarehouseLogin): string
  tls: 'verify' | 'unverified' | 'off' | undefined
  timeoutMs: number
  bigquery: { scratch: string | undefined; endpoint: string | undefined; keyFile: string | undefined }
  redshift: { role: string; cluster: string | undefined }
  snowflake: {
    role: string | undefined
    warehouse: string | undefined
    storageIntegration: string | undefined
    endpoint: string | undefined
    /** @throws OperatorError when there are none */
    credentials(): SnowflakeLogin
  }
} {
  quietenAwsSdk()
  return {
    passwordFor: (login) => settings.PGPASSWORD ?? passwordInFile(login, settings.PGPASSFILE),
    tls: settings.HEAPFERRY_WAREHOUSE_TLS,
    timeoutMs: settings.HEAPFERRY_WAREHOUSE_TIMEOUT * 1000,
    bigquery: {
      scratch: settings.HEAPFERRY_BIGQUERY_SCRATCH,
      endpoint: settings.HEAPFERRY_BIGQUERY_ENDPOINT,
      keyFile: settings.GOOGLE_APPLICATION_CREDENTIALS,
    },
    redshift: { role: settings.HEAPFERRY_REDSHIFT_ROLE, cluster: settings.HEAPFERRY_REDSHIFT_CLUSTER },
    snowflake: {
      role: settings.SNOWFLAKE_ROLE,
      warehouse: settings.SNOWFLAKE_WAREHOUSE,
      storageIntegration: settings.SNOWFLAKE_STORAGE_INTEGRATION,
      endpoint: settings.HEAPFERRY_SNOWFLAKE_ENDPOINT,
      credentials: () => snowflakeLogin(settings),
    },
  }
}

type SnowflakeLogin =
  | { kind: 'key'; user: string; pem: string; passphrase: string | undefined }
  | { kind: 'token'; type: Settings['SNOWFLAKE_AUTHENTICATOR']; text: string }

/** A key pair before a token, and a token of the environment before one in a file. */
function snowflakeLogin(settings: Settings): SnowflakeLogin {
  const { SNOWFLAKE_USER: user, SNOWFLAKE_PRIVATE_KEY_FILE: keyFile, SNOWFLAKE_TOKEN_FILE_PATH: tokenFile } = settings
  if (keyFile !== undefined) {
    if (user === undefined)
      throw new OperatorError(
        'A key pair is of a user, and SNOWFLAKE_USER is not set',
        'Set it in the environment or in .env to the user whose RSA_PUBLIC_KEY belongs to SNOWFLAKE_PRIVATE_KEY_FILE.',
      )
    const pem = secretIn(keyFile, 'SNOWFLAKE_PRIVATE_KEY_FILE')
    return { kind: 'key', user, pem, passphrase: settings.SNOWFLAKE_PRIVATE_KEY_PASSPHRASE }
  }
  const token = settings.SNOWFLAKE_TOKEN ?? (tokenFile && secretIn(tokenFile, 'SNOWFLAKE_TOKEN_FILE_PATH').trim()) ?? ''
  // Anything else would be told by whoever writes it into a request, in full.
  if (/^[\x21-\x7e]+$/.test(token)) return { kind: 'token', type: settings.SNOWFLAKE_AUTHENTICATOR, text: token }
  throw new OperatorError(
    token === ''
      ? 'There is nothing to log in to Snowflake with'
      : 'The token for Snowflake holds blanks, line ends or signs that no token has',
    'Set SNOWFLAKE_USER and SNOWFLAKE_PRIVATE_KEY_FILE (a key pair), or SNOWFLAKE_TOKEN, or SNOWFLAKE_TOKEN_FILE_PATH with a file that holds the token alone, in the environment or in .env.',
  )
}

function secretIn(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new OperatorError(
      `The file of ${setting} cannot be read: ${file}`,
      `Check ${setting}, and that this user may read the file.`,
      { cause },
    )
  }
}

/**
 * Of the first line that fits: `host:port:database:user:password`, `*` for any, a backslash before `:` and `\`.
 * https://www.postgresql.org/docs/current/libpq-pgpass.html
 */
function passwordInFile(login: WarehouseLogin, named: string | undefined): string {
  const file = named ?? path.join(homedir(), '.pgpass')
  const wanted = [login.host, String(login.port), login.database, login.user]
  const password = linesOf(file, named !== undefined)
    .map(fieldsOf)
    .find((fields) => fields.length === 5 && wanted.every((part, at) => fields[at] === '*' || fields[at] === part))?.[4]
  if (password !== undefined) return password
  throw new OperatorError(
    `There is no password of ${login.user} for ${login.host}`,
    `Set PGPASSWORD in the environment or in .env, or write a line ${wanted.join(':')}:PASSWORD into ${file} (chmod 600). To log in to a Redshift by IAM, leave the user out of the address.`,
  )
}

function linesOf(file: string, isNamed: boolean): string[] {
  const found = statSync(file, { throwIfNoEntry: false })
  if (!found && !isNamed) return []
  // PostgreSQL's own clients pass over such a file and say so; here nothing else would be left to try.
  if (found && process.platform !== 'win32' && (found.mode & 0o077) !== 0)
    throw new OperatorError(
      `Others may read the passwords in ${file}`,
      `Take that from them, chmod 600 ${file}, and think about new passwords.`,
    )
  try {
    return readFileSync(file, 'utf8')
      .split(/\r?\n/)
      .filter((line) => !line.startsWith('#'))
  } catch (cause) {
    throw new OperatorError(
      `The file of passwords ${file} cannot be read`,
      'Check PGPASSFILE, and that this user may read the file.',
      { cause },
    )
  }
}

function fieldsOf(line: string): string[] {
  const fields: string[] = ['']
  for (const [sign] of line.matchAll(/\\.|[^]/g)) {
    if (sign === ':' && fields.length < 5) fields.push('')
    else fields[fields.length - 1] += sign.length === 2 ? sign.slice(1) : sign
  }
  return fields
}
