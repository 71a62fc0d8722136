import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import type { WarehouseOptions, WarehouseWork } from '../warehouse.ts'
import type { BigqueryAddress } from './bigquery-address.ts'
import { BigqueryFault, isPassing } from './bigquery-fault.ts'
import { type Authorize, googleCredentials } from './google-credentials.ts'

/** BigQuery's REST API, which is asked again as long as what it says goes over by itself. */
export interface BigqueryApi {
  /**
   * @param path below `projects/`, with its query
   * @throws BigqueryFault when it refuses
   */
  get<T>(path: string, answer: z.ZodType<T>): Promise<T>
  post<T>(path: string, body: unknown, answer: z.ZodType<T>): Promise<T>
  delete(path: string): Promise<void>
  /** Waits because of something that goes over by itself, the longer the more often it has. */
  rest(reason: string, times: number, atLeastMs?: number): Promise<void>
}

interface Request {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  body?: unknown
}

const publicEndpoint = 'https://bigquery.googleapis.com'
const firstWaitMs = 1000
const longestWaitMs = 60_000

// https://cloud.google.com/bigquery/docs/reference/rest/v2/ErrorProto
const Refusal = z.object({
  error: z.object({ message: z.string(), errors: z.array(z.object({ reason: z.string() })).optional() }),
})

export function bigqueryApi(address: BigqueryAddress, options: WarehouseOptions, work: WarehouseWork): BigqueryApi {
  const { endpoint = publicEndpoint, keyFile } = options.bigquery ?? {}
  let authorize: Promise<Authorize> | null = null
  let hasAnswered = false

  /** What stands in for BigQuery on this machine wants no credentials, unless some are named. */
  async function credentialsFor(url: string): Promise<Iterable<[string, string]>> {
    if (url.startsWith('http:') && keyFile === undefined) return []
    authorize ??= googleCredentials(keyFile)
    return (await authorize)(url)
  }

  async function rest(reason: string, times: number, atLeastMs = 0): Promise<void> {
    work.onWait?.(reason)
    const waitMs = Math.max(atLeastMs, Math.min(firstWaitMs * 2 ** times, longestWaitMs))
    await sleep(waitMs, undefined, { ...(work.signal && { signal: work.signal }) })
  }

  async function ask<T>(request: Request, answer: z.ZodType<T>): Promise<T> {
    const url = `${endpoint.replace(/\/+$/, '')}/bigquery/v2/projects/${request.path}`
    for (let times = 0; ; times++) {
      const got = await once(url, request)
      if (got.kind === 'silent') {
        // A host that nobody has reached is more likely a wrong one than one that is away.
        if (!hasAnswered) throw unreachable(got.error, address, endpoint)
        await rest(errorMessage(got.error), times)
        continue
      }
      if (got.kind === 'refused') {
        if (!isPassing(got.fault)) throw got.fault
        await rest(got.fault.message, times, got.retryAfterMs)
        continue
      }
      hasAnswered = true
      if (times > 0) work.onWait?.(null)
      const parsed = answer.safeParse(got.body)
      if (parsed.success) return parsed.data
      throw new OperatorError(
        `${address.text} answered ${request.method} ${request.path} with something else than its reference says: ${z.prettifyError(parsed.error)}`,
        'Check HEAPFERRY_BIGQUERY_ENDPOINT, where it is set; else tell the maintainers of heapferry.',
      )
    }
  }

  async function once(url: string, { method, body }: Request) {
    // From the first byte to the end of the answer.
    const signal = AbortSignal.any([AbortSignal.timeout(options.timeoutMs), ...(work.signal ? [work.signal] : [])])
    try {
      const headers = new Headers([...(await credentialsFor(url))])
      if (body !== undefined) headers.set('content-type', 'application/json')
      const response = await fetch(url, {
        method,
        headers,
        signal,
        // It could lead a token to another host.
        redirect: 'error',
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      if (response.ok) return { kind: 'answered' as const, body: text === '' ? null : JSON.parse(text) }
      const fault = faultIn(text, response.status)
      return { kind: 'refused' as const, fault, retryAfterMs: secondsOf(response.headers.get('retry-after')) * 1000 }
    } catch (error) {
      work.signal?.throwIfAborted()
      if (error instanceof OperatorError) throw error
      return { kind: 'silent' as const, error: plainError(error) }
    }
  }

  return {
    get: (path, answer) => ask({ method: 'GET', path }, answer),
    post: (path, body, answer) => ask({ method: 'POST', path, body }, answer),
    delete: (path) => ask({ method: 'DELETE', path }, z.unknown()).then(() => {}),
    rest,
  }
}

function faultIn(text: string, status: number): BigqueryFault {
  const refusal = Refusal.safeParse(parsedJson(text))
  if (!refusal.success) return new BigqueryFault(`HTTP ${status}`, 'unknown', status)
  const { message, errors } = refusal.data.error
  return new BigqueryFault(message, errors?.[0]?.reason ?? 'unknown', status)
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What stands between here and BigQuery answers in HTML.
    return null
  }
}

function secondsOf(header: string | null): number {
  const seconds = Number(header ?? 0)
  return Number.isFinite(seconds) ? Math.max(0, seconds) : 0
}

/** `fetch failed` says nothing: what it was stands behind it. */
function plainError(error: unknown): Error {
  const cause = error instanceof Error ? error.cause : undefined
  if (cause instanceof Error) return new Error(`${errorMessage(error)}: ${cause.message || cause.name}`)
  return error instanceof Error ? error : new Error(String(error))
}

function unreachable(error: Error, { text }: BigqueryAddress, endpoint: string): OperatorError {
  return new OperatorError(
    `${text} cannot be reached at ${endpoint}: ${error.message}`,
    'Check that this machine may reach it (firewall, proxy), and HEAPFERRY_BIGQUERY_ENDPOINT where it is set. What is unloaded stays: the same command goes on.',
    { cause: error },
  )
}
