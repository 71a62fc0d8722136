import { InvalidArgumentError, Option } from 'commander'
import { loadSettings, readKeyFile, type Settings, takeSecretsOutOfEnvironment } from '@heapferry/config'
import { type Pace, RejectReason, RunId } from '@heapferry/domain'

/** What a SOURCE may be. */
export const sourceForms =
  'a file, a folder, a glob in quotes, s3://bucket/prefix, gs://bucket/prefix, redshift://user@host/db/schema, redshift-data://host/db/schema, bigquery://project/dataset or snowflake://account/db/schema'

/** Options that several commands share, so that they read the same everywhere. */
export const options = {
  host: () => new Option('--host <us|eu|URL>', 'PostHog Cloud US or EU, or the URL of another PostHog (POSTHOG_HOST)'),
  apiKeyFile: () => new Option('--api-key-file <FILE>', 'a file that holds the project key, phc_… (POSTHOG_API_KEY)'),
  skipKeyCheck: () =>
    new Option(
      '--skip-key-check',
      'send without asking whether a project has the key, to hosts that cannot tell (HEAPFERRY_SKIP_KEY_CHECK)',
    ),
  personalKeyFile: () =>
    new Option('--personal-key-file <FILE>', 'a file that holds a personal key, phx_… (POSTHOG_PERSONAL_API_KEY)'),
  project: () =>
    new Option('--project <ID>', "the project's number, where its key does not tell it (POSTHOG_PROJECT_ID)"),
  to: () =>
    new Option(
      '--to <posthog|jsonl:FOLDER>',
      "write files of JSON lines to a folder or jsonl:s3://bucket/prefix instead, as PostHog's managed migrations import them (HEAPFERRY_TO)",
    ),
  stage: () =>
    new Option(
      '--stage <BUCKET>',
      'of a warehouse: have it write the tables into this bucket itself, as Parquet; s3://bucket/prefix of a Redshift or a Snowflake, gs://bucket/prefix of a BigQuery; nothing is deleted or replaced there',
    ),
  run: () =>
    new Option('--run <NAME>', 'a name for the run; else it is made from source and project').argParser(parseRunId),
  mapping: () => new Option('--mapping <FILE>', 'a mapping file, heapferry.yaml'),
  includeRecent: () =>
    new Option('--include-recent', 'send the last 48 hours too, which PostHog asks importers to hold back').default(
      false,
    ),
  maxRejected: () =>
    new Option(
      '--max-rejected <PERCENT>',
      'pause when more of the rows of a table are rejected, looked at from its row 10,000 on; 100 never pauses',
    )
      .argParser(percentage)
      .default(1),
  reason: (also: readonly string[] = []) =>
    new Option('--reason <REASON>', 'only rows that have ended for this reason').argParser((text) =>
      oneOf([...RejectReason.options, ...also], text),
    ),
  table: () => new Option('--table <TABLE>', 'only rows of this table'),
  pace: () =>
    new Option(
      '--pace <N|none>',
      'events a second for all workers together; else 5000 for PostHog Cloud, none elsewhere',
    ).argParser(parsePace),
  json: () => new Option('--json', 'answer in JSON').default(false),
}

export interface ProjectFlags {
  host?: string
  apiKeyFile?: string
  skipKeyCheck?: boolean
  personalKeyFile?: string
  project?: string
  to?: string
}

/** Settings with what the flags say. */
export function settingsFrom(flags: ProjectFlags): Settings {
  const settings = loadSettings({
    ...(flags.host !== undefined && { POSTHOG_HOST: flags.host }),
    ...(flags.to !== undefined && { HEAPFERRY_TO: flags.to }),
    ...(flags.apiKeyFile !== undefined && { POSTHOG_API_KEY: readKeyFile(flags.apiKeyFile) }),
    ...(flags.skipKeyCheck === true && { HEAPFERRY_SKIP_KEY_CHECK: 'true' }),
    ...(flags.personalKeyFile !== undefined && {
      POSTHOG_PERSONAL_API_KEY: readKeyFile(flags.personalKeyFile, 'personal key'),
    }),
    ...(flags.project !== undefined && { POSTHOG_PROJECT_ID: flags.project }),
  })
  takeSecretsOutOfEnvironment()
  return settings
}

export function parseRunId(text: string): RunId {
  const parsed = RunId.safeParse(text)
  if (parsed.success) return parsed.data
  throw new InvalidArgumentError(parsed.error.issues[0]?.message ?? 'not a name for a run')
}

function percentage(text: string): number {
  const percent = Number(text)
  if (/^\d+(?:\.\d+)?$/.test(text) && percent <= 100) return percent
  throw new InvalidArgumentError('expected a number from 0 to 100')
}

function oneOf(known: readonly string[], text: string): string {
  if (known.includes(text)) return text
  throw new InvalidArgumentError(`expected one of ${known.join(', ')}`)
}

/** A pace as it is typed: commander turns the `null` of a parser into `''`. */
export type TypedPace = NonNullable<Pace> | 'none'

export function parsePace(text: string): TypedPace {
  if (text === 'none') return text
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected events a second, from 1 to 999999, or none')
}

export function paceOf(typed: TypedPace): Pace {
  return typed === 'none' ? null : typed
}

export function upTo999(text: string): number {
  if (/^(?:0|[1-9]\d{0,2})$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number from 0 to 999')
}
