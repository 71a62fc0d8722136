import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { BigqueryApi } from './bigquery-api.ts'
import { BigqueryFault, isPassing } from './bigquery-fault.ts'

/** Whole numbers are text in BigQuery's JSON. */
export const Count = z.coerce.number().int().nonnegative()

const Job = z.object({
  status: z.object({
    state: z.string(),
    errorResult: z.object({ reason: z.string(), message: z.string() }).optional(),
  }),
})

// https://docs.cloud.google.com/bigquery/docs/reference/rest/v2/Job#ExportDataStatistics
const Exported = z.object({
  statistics: z.object({
    query: z.object({ exportDataStatistics: z.object({ fileCount: Count, rowCount: Count.optional() }) }),
  }),
})

const DryRun = z.object({
  statistics: z.object({
    totalBytesProcessed: Count.optional(),
    query: z.object({ totalBytesProcessed: Count.optional() }).optional(),
  }),
})

export interface BigqueryJobs {
  /** How many bytes a query would scan; asking is free. */
  bytesOf(sql: string): Promise<number>
  /**
   * Has a query run, or finds it run, and waits for it.
   * @param id the same one, the same query: a number is added where a try of it has failed
   * @param sqlOf by the name of the job
   * @returns the name of the job whose result is there
   */
  done(id: string, sqlOf: (job: string) => string): Promise<string>
  /** How much a job has exported; rows where it says so. */
  exportedBy(job: string): Promise<{ files: number; rows: number | null }>
  /** Where the rows of a job's result are found, below `projects/`. */
  resultOf(job: string): string
}

const firstPollMs = 100
const longestPollMs = 5000
// BigQuery bills no less than 10 MB of each table that a query touches.
const leastBilledBytes = 1024 * 1024 * 1024

/** Queries of one project, in one location. */
export function bigqueryJobs(
  api: BigqueryApi,
  {
    project,
    location,
    timeoutMs,
    signal,
  }: { project: string; location: string; timeoutMs: number; signal?: AbortSignal },
): BigqueryJobs {
  const jobs = `${encodeURIComponent(project)}/jobs`
  const at = `location=${encodeURIComponent(location)}`

  async function bytesOf(sql: string): Promise<number> {
    const dry = { dryRun: true, query: { query: sql, useLegacySql: false } }
    const { statistics } = await api.post(
      jobs,
      { jobReference: { projectId: project, location }, configuration: dry },
      DryRun,
    )
    return statistics.totalBytesProcessed ?? statistics.query?.totalBytesProcessed ?? 0
  }

  /** @returns whether nobody had begun it before */
  async function begin(job: string, sql: string): Promise<boolean> {
    const maximumBytesBilled = Math.ceil((await bytesOf(sql)) * 1.1) + leastBilledBytes
    const body = {
      jobReference: { projectId: project, jobId: job, location },
      configuration: {
        jobTimeoutMs: String(timeoutMs),
        labels: { tool: 'heapferry' },
        query: { query: sql, useLegacySql: false, maximumBytesBilled: String(maximumBytesBilled) },
      },
    }
    try {
      await api.post(jobs, body, z.unknown())
      return true
    } catch (error) {
      if (error instanceof BigqueryFault && error.status === 409) return false
      throw error
    }
  }

  /** @returns what it has failed by */
  async function ended(job: string): Promise<BigqueryFault | null> {
    for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 2, longestPollMs)) {
      const { status } = await api.get(`${jobs}/${job}?${at}`, Job)
      if (status.state === 'DONE') {
        const { errorResult: error } = status
        return error ? new BigqueryFault(error.message, error.reason, null) : null
      }
      await sleep(pollMs, undefined, { ...(signal && { signal }) })
    }
  }

  async function done(id: string, sqlOf: (job: string) => string): Promise<string> {
    let rests = 0
    for (let tries = 0; ; tries++) {
      const job = `heapferry_${id.replaceAll('-', '_')}_${tries}`
      const isNew = await begin(job, sqlOf(job))
      const fault = await ended(job)
      if (fault === null) return job
      if (isPassing(fault)) await api.rest(fault.message, rests++)
      // What an earlier try has failed by may be mended.
      else if (isNew) throw fault
    }
  }

  async function exportedBy(job: string): Promise<{ files: number; rows: number | null }> {
    const { statistics } = await api.get(`${jobs}/${job}?${at}`, Exported)
    const { fileCount, rowCount } = statistics.query.exportDataStatistics
    return { files: fileCount, rows: rowCount ?? null }
  }

  return { bytesOf, done, exportedBy, resultOf: (job) => `${encodeURIComponent(project)}/queries/${job}?${at}` }
}
