import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import path from 'node:path'
import { parseEnv } from 'node:util'
import {
  type Destination,
  errorMessage,
  hashes,
  type Mapping,
  OperatorError,
  RedisAddress,
  redisUrlOf,
  TransportName,
} from '@heapferry/domain'
import { z } from 'zod'

/** PostHog Cloud's ingestion hosts, by the names of its regions. */
const cloudHosts: Record<string, string> = { us: 'https://us.i.posthog.com', eu: 'https://eu.i.posthog.com' }

/** `us`, `eu` or an address, with a path where a proxy needs one; without a trailing `/`, a login or a query. */
const Host = z.string().transform((text, context) => {
  const cloud = cloudHosts[text.trim().toLowerCase()]
  if (cloud !== undefined) return cloud
  const url = URL.canParse(text) ? new URL(text) : null
  if (url && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '') {
    return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
  }
  context.addIssue('expected us, eu or an address such as https://posthog.example.com')
  return z.NEVER
})

/** Where people use PostHog, by where events are sent to. */
const appHosts: Record<string, string> = {
  'https://us.i.posthog.com': 'https://us.posthog.com',
  'https://eu.i.posthog.com': 'https://eu.posthog.com',
}

const TrueOrFalse = z.enum(['true', 'false'], 'expected true or false').transform((text) => text === 'true')

const Port = z.coerce.number('expected a port number').int().min(0).max(65_535)

/** `loopback`, an address or a subnet, as express takes them. */
const TrustedProxy = z
  .string()
  .refine(isProxy, 'expected addresses or subnets separated by commas, such as 127.0.0.1, 10.0.0.0/8 or loopback')

const RedisUrl = z.string().superRefine((text, context) => {
  for (const { message } of RedisAddress.safeParse(text).error?.issues ?? []) context.addIssue(message)
})

const Password = z.string().min(12, 'expected at least 12 characters')

/**
 * Every setting, by the environment variable that holds it. The only list of them: `.env.example` and the
 * documentation are tested against it.
 */
export const settingsSchema = z.object({
  /** Where the events go: `us`, `eu` (PostHog Cloud) or a URL. */
  POSTHOG_HOST: Host.optional(),
  /** The project's key, `phc_…`. Never printed, never stored. */
  POSTHOG_API_KEY: z
    .string()
    .trim()
    .regex(/^phc_\w+$/, 'expected a project key, which begins with phc_ (Project settings → Project API key)')
    .optional(),
  /** A personal key, `phx_…`, with which `verify` asks what PostHog holds. Never printed, never stored. */
  POSTHOG_PERSONAL_API_KEY: z
    .string()
    .trim()
    .regex(/^phx_\w+$/, 'expected a personal key, which begins with phx_ (Settings → Personal API keys)')
    .optional(),
  /** The project's number, where `verify` cannot find it by its key. */
  POSTHOG_PROJECT_ID: z.string().regex(/^\d+$/, 'expected the number of a project').optional(),
  /** Where PostHog is used in a browser, if POSTHOG_HOST is a proxy. */
  POSTHOG_APP_HOST: Host.transform((host) => appHosts[host] ?? host).optional(),
  /** `posthog`, or files with an event a line: `jsonl:FOLDER` or `jsonl:s3://bucket/prefix`. */
  HEAPFERRY_TO: z
    .string()
    .regex(/^(?:posthog|jsonl:.+|s3:\/\/.+)$/, 'expected posthog, jsonl:FOLDER or jsonl:s3://bucket/prefix')
    .transform((text) => (text.startsWith('s3://') ? `jsonl:${text}` : text))
    .default('posthog'),
  /** How events are sent: `v1` (an answer for every event), `batch`, `sdk` (posthog-node); `auto`: v1 where it is there. */
  HEAPFERRY_TRANSPORT: z.enum(['auto', ...TransportName.options], 'expected auto, v1, batch or sdk').default('auto'),
  /** Whether to send without asking whether a project has the key. */
  HEAPFERRY_SKIP_KEY_CHECK: TrueOrFalse.default(false),
  /** What hashed values are keyed with, where the mapping file hashes. Never printed, never stored. */
  HEAPFERRY_HASH_SALT: z.string().min(16, 'expected at least 16 characters').optional(),
  /** A Redis to use; without it heapferry starts one of its own. */
  REDIS_URL: RedisUrl.optional(),
  /** The password for REDIS_URL, where that names none: any signs, as they are. Never printed, never stored. */
  REDIS_PASSWORD: z.string().min(1).optional(),
  /** Of the Sentinels that REDIS_URL names, where they have one. Never printed, never stored. */
  REDIS_SENTINEL_PASSWORD: z.string().min(1).optional(),
  /** Of a rediss:// REDIS_URL: a file in PEM with the certificates that are trusted, instead of those that Node.js trusts. */
  REDIS_TLS_CA: z.string().min(1).optional(),
  /** Files in PEM with a certificate of one's own and its key, where Redis asks its clients for them. */
  REDIS_TLS_CERT: z.string().min(1).optional(),
  REDIS_TLS_KEY: z.string().min(1).optional(),
  /** A store with the interface of S3 that is not AWS's own. */
  HEAPFERRY_S3_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'expected an address such as http://127.0.0.1:9000' })
    .optional(),
  /** Whether a bucket is named in the path of an address (else in its host); without it, as fits the endpoint. */
  HEAPFERRY_S3_PATH_STYLE: TrueOrFalse.optional(),
  /** Whether to pay for reading a bucket that asks its readers to. */
  HEAPFERRY_S3_REQUESTER_PAYS: TrueOrFalse.default(false),
  /** Of the warehouse that a source names, where PGPASSFILE or ~/.pgpass has none. Never printed, never stored. */
  PGPASSWORD: z.string().min(1).optional(),
  /** A file with passwords of warehouses, a line each, as PostgreSQL's own clients read it; else ~/.pgpass. */
  PGPASSFILE: z.string().min(1).optional(),
  /** How a warehouse is reached: `verify` its certificate, `unverified` TLS, or `off`; `off` by default on loopback alone. */
  HEAPFERRY_WAREHOUSE_TLS: z.enum(['verify', 'unverified', 'off'], 'expected verify, unverified or off').optional(),
  /** Seconds that a warehouse may take for one statement, or be silent. */
  HEAPFERRY_WAREHOUSE_TIMEOUT: z.coerce.number('expected seconds').int().min(1).max(86_400).default(900),
  /** For BigQuery: a key file, or one of workload identity; else what Google's own tools find. */
  GOOGLE_APPLICATION_CREDENTIALS: z.string().min(1).optional(),
  /** For BigQuery: a dataset of one's own for the results of queries, `dataset` or `project.dataset`. */
  HEAPFERRY_BIGQUERY_SCRATCH: z.string().min(1).optional(),
  /** Where BigQuery answers, if not at Google's own address; without TLS on this machine alone. */
  HEAPFERRY_BIGQUERY_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'expected an address such as https://bigquery.googleapis.com' })
    .refine(hasTlsOrStaysHere, 'without TLS it has to be on this machine: expected https://')
    .optional(),
  /** As whom a Redshift writes into the bucket of --stage: `default`, or ARNs of roles with a comma between. */
  HEAPFERRY_REDSHIFT_ROLE: z
    .string()
    .regex(
      /^(?:default|arn:aws[\w-]*:iam::\d{12}:role\/[\w+=.@/-]+(?:,arn:aws[\w-]*:iam::\d{12}:role\/[\w+=.@/-]+)*)$/,
      'expected default or arn:aws:iam::123456789012:role/NAME',
    )
    .default('default'),
  /** Which Redshift AWS is asked for where the host of the address is a tunnel, or a name of one's own. */
  HEAPFERRY_REDSHIFT_CLUSTER: z
    .string()
    .toLowerCase()
    .regex(
      /^[a-z0-9-]+\.[a-z0-9-]+\.[a-z0-9-]+\.redshift(?:-serverless)?\.amazonaws\.com(?:\.cn)?$/,
      'expected the own host name of a cluster or workgroup, such as NAME.abc123.eu-west-1.redshift.amazonaws.com',
    )
    .optional(),
  /** Who reads a Snowflake with a key pair. */
  SNOWFLAKE_USER: z.string().min(1).optional(),
  /** The role and the warehouse to read it with, as in SQL; without them: those of the user. */
  SNOWFLAKE_ROLE: z.string().min(1).optional(),
  SNOWFLAKE_WAREHOUSE: z.string().min(1).optional(),
  /** By which a Snowflake writes into the bucket of --stage. */
  SNOWFLAKE_STORAGE_INTEGRATION: z.string().min(1).optional(),
  /** A PEM file with the private key of that user. */
  SNOWFLAKE_PRIVATE_KEY_FILE: z.string().min(1).optional(),
  /** Of an encrypted private key. Never printed, never stored. */
  SNOWFLAKE_PRIVATE_KEY_PASSPHRASE: z.string().min(1).optional(),
  /** Without a key pair: a programmatic access token, or one of OAuth. Never printed, never stored. */
  SNOWFLAKE_TOKEN: z.string().trim().min(1).optional(),
  /** A file that holds the token alone, read before every request. */
  SNOWFLAKE_TOKEN_FILE_PATH: z.string().min(1).optional(),
  /** What the token is, in Snowflake's words. */
  SNOWFLAKE_AUTHENTICATOR: z
    .string()
    .toUpperCase()
    .pipe(z.enum(['PROGRAMMATIC_ACCESS_TOKEN', 'OAUTH'], 'expected programmatic_access_token or oauth'))
    .default('PROGRAMMATIC_ACCESS_TOKEN'),
  /** Where a Snowflake is reached, if not at ACCOUNT.snowflakecomputing.com. */
  HEAPFERRY_SNOWFLAKE_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'expected an address such as https://acme.privatelink.snowflakecomputing.com' })
    .refine(
      hasTlsOrStaysHere,
      'expected https and no login; without TLS only an address of this machine, such as http://127.0.0.1:8080',
    )
    .optional(),
  /** The folder for everything that heapferry keeps: its Redis, identities, logs. */
  HEAPFERRY_HOME: z.string().min(1).default('.heapferry'),
  /** What producer and workers share beside Redis: a folder, or `s3://bucket/prefix`. Else below HEAPFERRY_HOME. */
  HEAPFERRY_WORK_STORE: z.string().min(1).optional(),
  /** Where `worker` and `enqueue` answer `/healthz` and `/readyz`; without it they listen nowhere. */
  HEAPFERRY_HEALTH_PORT: Port.optional(),
  /** Where the dashboard listens. Anything but loopback needs a password. */
  HEAPFERRY_DASHBOARD_HOST: z.string().min(1).default('127.0.0.1'),
  /** 0 takes any free port. */
  HEAPFERRY_DASHBOARD_PORT: Port.default(3700),
  /** Of operators, who may also pause, resume, cancel and retry. */
  HEAPFERRY_DASHBOARD_PASSWORD: Password.optional(),
  /** Of viewers, who only look. */
  HEAPFERRY_DASHBOARD_VIEWER_PASSWORD: Password.optional(),
  /** Proxies before the dashboard whose X-Forwarded-For is believed. */
  HEAPFERRY_DASHBOARD_TRUSTED_PROXIES: z
    .string()
    .transform((text) => text.split(',').map((proxy) => proxy.trim()))
    .pipe(z.array(TrustedProxy))
    .default([]),
  /** A collector of OpenTelemetry, which is told what workers do; without it nobody is. */
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'expected an address such as http://127.0.0.1:4318' })
    .optional(),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], 'expected a level of pino, such as info')
    .default('info'),
})
export type Settings = z.infer<typeof settingsSchema>
export type SettingName = keyof Settings

function hasTlsOrStaysHere(address: string): boolean {
  const { protocol, hostname, username, password } = new URL(address)
  if (username !== '' || password !== '') return false
  return protocol === 'https:' || /^(?:localhost|\[::1\]|127(?:\.\d{1,3}){3})$/.test(hostname)
}

/**
 * Settings that nobody may see. Each may also be the content of a file, which `NAME_FILE` names: that is how Docker and
 * Kubernetes hand secrets over, and what lists of processes and of a container's environment do not show.
 */
const secretNames = [
  'POSTHOG_API_KEY',
  'POSTHOG_PERSONAL_API_KEY',
  'HEAPFERRY_HASH_SALT',
  'HEAPFERRY_DASHBOARD_PASSWORD',
  'HEAPFERRY_DASHBOARD_VIEWER_PASSWORD',
  'REDIS_URL',
  'REDIS_PASSWORD',
  'REDIS_SENTINEL_PASSWORD',
  'PGPASSWORD',
  'SNOWFLAKE_PRIVATE_KEY_PASSPHRASE',
  'SNOWFLAKE_TOKEN',
] as const satisfies readonly SettingName[]

function isProxy(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', bits, ...more] = text.split('/')
  const most = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  return most > 0 && more.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
}

/**
 * The settings: flags beat the environment, which beats the file `.env` of the working folder. Empty values count as
 * not set, as in a copied `.env.example`.
 * @throws OperatorError that names every fault at once
 */
export function loadSettings(
  flags: Partial<Record<SettingName, string>> = {},
  env: NodeJS.ProcessEnv = process.env,
  folder: string = process.cwd(),
): Settings {
  const dotenv = path.join(folder, '.env')
  const file = existsSync(dotenv) ? parseEnv(readFileSync(dotenv, 'utf8')) : {}
  const given: Partial<Record<string, string>> = {}
  const flag: Partial<Record<string, string>> = flags
  for (const name of Object.keys(settingsSchema.shape)) {
    const value = [flag[name], env[name], file[name]].find((text) => text !== undefined && text !== '')
    if (value !== undefined) given[name] = value
  }
  for (const name of secretNames) {
    const secret = given[name] ?? secretInFile(`${name}_FILE`, { ...file, ...env }, folder)
    if (secret !== undefined) given[name] = secret
  }
  const parsed = settingsSchema.safeParse(given)
  if (parsed.success) {
    const { HEAPFERRY_HOME: home, HEAPFERRY_WORK_STORE: store, REDIS_URL: redis } = parsed.data
    return {
      ...parsed.data,
      HEAPFERRY_HOME: path.resolve(folder, home),
      ...(redis !== undefined && { REDIS_URL: wholeRedisUrl(redis, parsed.data, folder) }),
      ...(store !== undefined && {
        HEAPFERRY_WORK_STORE: store.startsWith('s3://') ? store : path.resolve(folder, store),
      }),
    }
  }
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new OperatorError(
    faults.length === 1
      ? `A setting is wrong. ${faults[0]}`
      : [`${faults.length} settings are wrong:`, ...faults.map((fault) => `  ${fault}`)],
    'Set them in the environment or in .env; .env.example explains each.',
  )
}

function secretInFile(setting: string, env: NodeJS.ProcessEnv, folder: string): string | undefined {
  const file = env[setting]
  if (file === undefined || file === '') return undefined
  const told = `${setting} names ${path.resolve(folder, file)}, which`
  const hint = 'Name a file that holds the value alone and that this user may read, or unset it.'
  let text: string
  try {
    text = readFileSync(path.resolve(folder, file), 'utf8').trim()
  } catch (cause) {
    throw new OperatorError(`${told} cannot be read: ${errorMessage(cause)}`, hint, { cause })
  }
  if (text === '') throw new OperatorError(`${told} is empty`, hint)
  return text
}

/** A key in a file leaves no trace in the shell's history or in the list of processes. */
export function readKeyFile(file: string, what: 'project key' | 'personal key' = 'project key'): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    throw new OperatorError(
      `The key file ${file} cannot be read`,
      `Give the path of a file that holds the ${what} alone.`,
      { cause },
    )
  }
}

/**
 * Host and key of the project that events go to.
 * @throws OperatorError when one of them is not set
 */
export function requireProject(settings: Settings): { host: string; apiKey: string; destination: PostHogProject } {
  const { POSTHOG_HOST: host, POSTHOG_API_KEY: apiKey } = settings
  const missing = [
    host === undefined && 'POSTHOG_HOST: not set (or --host us, --host eu, --host URL)',
    apiKey === undefined && 'POSTHOG_API_KEY: not set (or --api-key-file FILE)',
  ].filter((fault) => fault !== false)
  if (host === undefined || apiKey === undefined) {
    throw new OperatorError(
      ['Where should the events go?', ...missing.map((fault) => `  ${fault}`)],
      'Set both in the environment or in .env. `heapferry demo` rehearses without a PostHog.',
    )
  }
  return { host, apiKey, destination: { kind: 'posthog', host, keyFingerprint: fingerprintOf(apiKey) } }
}

/** What tells whether two project keys are the same one. */
export function fingerprintOf(apiKey: string): string {
  return createHash('sha256').update(apiKey).digest('hex').slice(0, 16)
}

/**
 * Where to ask what PostHog holds of a run, and the key that is needed there.
 *
 * The personal key opens more than one project. It goes to PostHog Cloud, or to a host that the settings name: not to one
 * that only the ledger names, where somebody else may have put it.
 * @throws OperatorError when the key is not set, or the host not named
 */
export function requireQueries(settings: Settings, destination: Destination): { appHost: string; personalKey: string } {
  const { POSTHOG_PERSONAL_API_KEY: personalKey, POSTHOG_HOST: host, POSTHOG_APP_HOST: appHost } = settings
  const sentTo = destination.kind === 'posthog' ? destination.host : host
  if (host !== undefined && sentTo !== host) {
    throw new OperatorError(
      `The run went to ${sentTo}, and POSTHOG_HOST (--host) is ${host}`,
      'Leave it out, or set it to the host that the run went to.',
    )
  }
  const known = sentTo === undefined ? undefined : (appHosts[sentTo] ?? host)
  const missing = [
    personalKey === undefined && 'POSTHOG_PERSONAL_API_KEY: not set (or --personal-key-file FILE)',
    (appHost ?? known) === undefined &&
      `POSTHOG_HOST: not set (or --host). The run went to ${sentTo ?? 'files'}; a personal key is only sent to a host that you name.`,
  ].filter((fault) => fault !== false)
  const asked = appHost ?? known
  if (personalKey === undefined || asked === undefined) {
    throw new OperatorError(
      ['To ask PostHog what it holds, more is needed:', ...missing.map((fault) => `  ${fault}`)],
      'A personal key is made in PostHog under Settings → Personal API keys, with the scopes query:read and project:read. `verify --offline` needs none.',
    )
  }
  return { appHost: asked, personalKey }
}

type PostHogProject = Extract<Destination, { kind: 'posthog' }>

/**
 * Where events go, and the key that is needed there.
 * @throws OperatorError when host or key of a project are missing
 */
export function requireDestination(settings: Settings): { destination: Destination; apiKey: string | null } {
  const folder = /^jsonl:(?<root>.+)$/.exec(settings.HEAPFERRY_TO)?.groups?.root
  if (folder === undefined) return requireProject(settings)
  const root = folder.startsWith('s3://') ? folder.replace(/\/+$/, '') : path.resolve(folder)
  return { destination: { kind: 'json_lines', root }, apiKey: null }
}

/**
 * What hashed values are keyed with; null where the mapping hashes nothing.
 * @throws OperatorError when it is needed and not set
 */
export function hashSaltFor(mapping: Mapping, { HEAPFERRY_HASH_SALT: salt }: Settings): string | null {
  if (!hashes(mapping)) return null
  if (salt !== undefined) return salt
  throw new OperatorError(
    'The mapping file hashes, and HEAPFERRY_HASH_SALT is not set',
    'Set it in the environment or in .env, for example to what `openssl rand -hex 32` prints, and keep it: only with the same salt a value has the same hash again.',
  )
}

/** How S3 and its kin are reached. Region, profile and credentials are AWS's own variables and files, which its SDK reads itself. */
export function s3OptionsOf(settings: Settings): { endpoint?: string; pathStyle: boolean; requesterPays: boolean } {
  quietenAwsSdk()
  const { HEAPFERRY_S3_ENDPOINT: endpoint, HEAPFERRY_S3_PATH_STYLE: pathStyle } = settings
  return {
    ...(endpoint !== undefined && { endpoint }),
    // Stores that are not AWS's rarely have a host name for every bucket.
    pathStyle: pathStyle ?? endpoint !== undefined,
    requesterPays: settings.HEAPFERRY_S3_REQUESTER_PAYS,
  }
}

/** Keeps AWS's SDK from printing when it will give up which Node.js. */
export function quietenAwsSdk(): void {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true'
}

/**
 * What OpenTelemetry's SDK reads in the environment, where .env alone may have it. Logs are no part of it unless somebody says
 * so: there are log files.
 */
export function openTelemetrySurroundings({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }: Settings): void {
  if (endpoint !== undefined) process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = endpoint
  process.env['OTEL_SERVICE_NAME'] ??= 'heapferry'
  process.env['OTEL_LOGS_EXPORTER'] ??= 'none'
}

/** The settings in force, for a log: with the secrets masked. */
export function shownSettings(settings: Settings): Record<string, unknown> {
  const secrets = secretNames.map((name) => [name, settings[name] === undefined ? undefined : '***'])
  const { REDIS_URL: redis } = settings
  return {
    ...settings,
    ...Object.fromEntries(secrets),
    REDIS_URL: redis === undefined ? undefined : withoutPassword(redis),
  }
}

/**
 * The address with all that is set beside it: so it is all that whoever connects has to know.
 * @throws OperatorError where a certificate is given for what is not encrypted
 */
function wholeRedisUrl(text: string, settings: Settings, folder: string): string {
  const address = RedisAddress.parse(text)
  const { rest, kind, isEncrypted, hosts } = address
  const { REDIS_PASSWORD: password, REDIS_SENTINEL_PASSWORD: ofSentinels } = settings
  const names = ['REDIS_TLS_CA', 'REDIS_TLS_CERT', 'REDIS_TLS_KEY'] as const
  const given = names.filter((name) => settings[name] !== undefined)
  // A Redis of heapferry's own, too, is one of this machine: nothing of it goes over a network.
  const isHere = hosts.every(({ host }) => host === '127.0.0.1')
  if (given.length > 0 && !isEncrypted && !isHere) {
    throw new OperatorError(
      `${given.join(' and ')} would do nothing: what goes to ${withoutPassword(text)} is not encrypted`,
      'Let REDIS_URL begin with rediss instead of redis, or take that setting out.',
    )
  }
  if (password !== undefined && rest.password === '' && !rest.searchParams.has('password'))
    rest.password = encodeURIComponent(password)
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined && !rest.searchParams.has(name)) rest.searchParams.set(name, value)
  }
  if (kind === 'sentinel') add('sentinelPassword', ofSentinels)
  if (isEncrypted) {
    const [ca, cert, key] = names.map((name) => settings[name] && path.resolve(folder, settings[name]))
    add('tlsCa', ca)
    add('tlsCert', cert)
    add('tlsKey', key)
  }
  return redisUrlOf(address)
}

const shownOfRedis = ['name', 'tlsCa', 'tlsCert', 'tlsKey']

/** Clients of Redis take one from the login, and from the query too. */
function withoutPassword(text: string): string {
  const address = RedisAddress.parse(text)
  const { rest } = address
  if (rest.password !== '') rest.password = '***'
  const shown = [...rest.searchParams].filter(([name]) => shownOfRedis.includes(name))
  rest.search = String(new URLSearchParams(shown))
  return redisUrlOf(address)
}

/** Child processes inherit the environment, and a redis-server that outlives this command would keep its secrets. */
export function takeSecretsOutOfEnvironment(): void {
  for (const secret of [...secretNames, ...credentialFiles]) delete process.env[secret]
}

/** Of warehouses, which only the producer meets. Libraries look into some of them by themselves. */
const credentialFiles = [
  'PGPASSFILE',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'SNOWFLAKE_PRIVATE_KEY_FILE',
  'SNOWFLAKE_TOKEN_FILE_PATH',
] as const satisfies readonly SettingName[]

/** The environment for a worker process: keys travel here, never in its arguments. */
export function environmentFor(settings: Settings): NodeJS.ProcessEnv {
  const {
    HEAPFERRY_DASHBOARD_PASSWORD: _,
    HEAPFERRY_DASHBOARD_VIEWER_PASSWORD: __,
    POSTHOG_PERSONAL_API_KEY: ___,
    // They are in REDIS_URL.
    REDIS_PASSWORD: ____,
    REDIS_SENTINEL_PASSWORD: _____,
    // Workers read files, never a warehouse.
    PGPASSWORD: ______,
    PGPASSFILE: _______,
    GOOGLE_APPLICATION_CREDENTIALS: ________,
    SNOWFLAKE_PRIVATE_KEY_FILE: _________,
    SNOWFLAKE_PRIVATE_KEY_PASSPHRASE: __________,
    SNOWFLAKE_TOKEN: ___________,
    SNOWFLAKE_TOKEN_FILE_PATH: ____________,
    // One listener to a port; `heapferry run` sees its workers die.
    HEAPFERRY_HEALTH_PORT: _____________,
    ...needed
  } = settings
  const unread = secretNames.map((name) => [`${name}_FILE`, undefined])
  const own = Object.entries(needed).map(([name, value]) => [name, String(value)])
  return { ...process.env, ...Object.fromEntries(unread), ...Object.fromEntries(own) }
}
