import { OperatorError, SourceChanged } from '@heapferry/domain'
import type { BigqueryAddress } from './bigquery-address.ts'

/**
 * What BigQuery refuses, of a request or of a job.
 * https://cloud.google.com/bigquery/docs/error-messages
 */
export class BigqueryFault extends Error {
  override name = 'BigqueryFault'
  readonly reason: string
  /** Of the answer; of a job none. */
  readonly status: number | null
  constructor(message: string, reason: string, status: number | null) {
    super(message)
    this.reason = reason
    this.status = status
  }
}

/** It goes over by itself: too much at a time, or a server that has a bad moment. */
export function isPassing({ reason, status }: BigqueryFault): boolean {
  // What a day allows is used up: that is told with 403 too.
  if (reason === 'quotaExceeded') return false
  return passingReasons.has(reason) || (status !== null && passingStatuses.has(status))
}

const passingReasons: ReadonlySet<string> = new Set([
  'rateLimitExceeded',
  'jobRateLimitExceeded',
  'backendError',
  'jobBackendError',
  'internalError',
  'jobInternalError',
  'tableUnavailable',
])
const passingStatuses: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

export function isNotThere(error: unknown): boolean {
  return error instanceof BigqueryFault && (error.status === 404 || error.reason === 'notFound')
}

export function isForbidden(error: unknown): boolean {
  return error instanceof BigqueryFault && error.reason === 'accessDenied'
}

/** What failed, in words of BigQuery, and what to do; what is none of its stays as it is. */
export function faultOf(error: unknown, address: BigqueryAddress, scratch: string | undefined): unknown {
  if (!(error instanceof BigqueryFault)) return error
  const hint = error.status === 401 ? ofCredentials : (hints[error.reason] ?? plainHint)
  const named = `${error.reason}${error.status === null ? '' : `, ${error.status}`}`
  return new OperatorError(
    `${address.text} says: ${error.message} (${named})`,
    typeof hint === 'string' ? hint : hint(address, scratch),
    { cause: error },
  )
}

/** A table that was queried is not what it was. */
export function asAltered(error: unknown, relation: string): unknown {
  if (!(error instanceof BigqueryFault) || !['invalidQuery', 'notFound'].includes(error.reason)) return error
  return new SourceChanged(
    `${relation} was altered in the warehouse since it was planned, or cannot be queried: ${error.message}`,
    alteredHint,
    { cause: error },
  )
}

export const alteredHint =
  'What was unloaded before stays as it is. Put the table or the column back and start the same command again, or start another run with --run NAME.'

const plainHint = 'That is its own answer. What is unloaded stays: the same command goes on.'

const ofCredentials =
  'Log in anew (gcloud auth application-default login), or check the file that GOOGLE_APPLICATION_CREDENTIALS names. What is unloaded stays: the same command goes on.'

type Hint = string | ((address: BigqueryAddress, scratch: string | undefined) => string)

const ofTime =
  'The query took too long, or was ended by somebody. Set HEAPFERRY_WAREHOUSE_TIMEOUT (seconds) higher. Then start the same command again: what is unloaded stays.'

const hints: Readonly<Record<string, Hint>> = {
  accessDenied: (address, scratch) => grantsText(address, scratch),
  notFound: ({ project, dataset }) =>
    `Check the address: bq ls ${project}: lists the datasets, bq ls ${project}:${dataset} the tables. Where it is right, whoever logs in here may not see it.`,
  quotaExceeded:
    'A quota of the project is used up, and comes back by itself, most within a day (console: IAM & Admin → Quotas); it can be raised there. Then start the same command again: what is unloaded stays.',
  billingNotEnabled:
    'The project in which queries run has no billing account. Link one to it, or have them run in another: HEAPFERRY_BIGQUERY_SCRATCH=project.dataset. Then start the same command again.',
  bytesBilledLimitExceeded:
    'The query would scan more than it had told beforehand, which heapferry does not let it. The table has grown, or the project has a limit of its own: start the same command again. What is unloaded stays.',
  responseTooLarge: (address) =>
    `Without a dataset of yours no result may be larger than 10 GB. Make one in the same location and name it: bq mk --location=… --default_table_expiration 604800 ${address.project}:heapferry, then HEAPFERRY_BIGQUERY_SCRATCH=heapferry. Start the same command again: what is unloaded stays.`,
  resourcesExceeded:
    'The query needs more memory than BigQuery gives to one. Start the same command again when less is going on; if it is the same then, make a table of the view, in a dataset of its own, and give that dataset.',
  stopped: ofTime,
  timeout: ofTime,
}

/** What an owner of the project runs for whoever may not read. */
export function grantsText({ project, dataset }: BigqueryAddress, scratch: string | undefined): string {
  return `Whoever logs in here needs roles/bigquery.jobUser on the project in which queries run, roles/bigquery.dataViewer on ${project}:${dataset}${scratch === undefined ? '' : `, and roles/bigquery.dataEditor on ${scratch}`}. docs/warehouses.md has the statements.`
}
