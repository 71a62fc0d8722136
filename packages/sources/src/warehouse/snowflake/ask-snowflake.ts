import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import { QueryFailed, ResultGone, type SnowflakeOptions, type WarehouseRow, type WarehouseWork } from '../warehouse.ts'
import { nameOf, type SnowflakeAddress } from './snowflake-address.ts'
import { type FaultContext, isOfOldToken, refusedText, SnowflakeRefusal } from './snowflake-fault.ts'
import { clockOffS, snowflakeToken } from './snowflake-token.ts'

const Count = z.number().int().nonnegative()

/** https://docs.snowflake.com/en/developer-guide/sql-api/reference#resultset */
const Answer = z.object({
  code: z.string().nullish(),
  message: z.string().nullish(),
  statementHandle: z.string().nullish(),
  resultSetMetaData: z
    .object({
      numRows: Count,
      rowType: z.array(z.object({ name: z.string(), type: z.string().toLowerCase() })),
      partitionInfo: z.array(z.object({ rowCount: Count })),
    })
    .nullish(),
  /** Of the first partition, or of the one that was asked for. */
  data: z.custom<WarehouseRow[]>(areRows, 'expected rows of text').nullish(),
})
/** By hand: a copy of a million cells would be made otherwise. */
function areRows(data: unknown): boolean {
  return (
    Array.isArray(data) &&
    data.every((row) => Array.isArray(row) && row.every((cell) => cell === null || typeof cell === 'string'))
  )
}
type Answer = z.infer<typeof Answer>
/** What a statement has come to. */
export type SnowflakeResult = NonNullable<Answer['resultSetMetaData']>

const firstWaitMs = 1000
const longestWaitMs = 60_000
const firstPollMs = 200
const longestPollMs = 5000
// A partition is in memory as a whole. The least that Snowflake takes, in MB.
const partitionMb = 16

/** Snowflake's SQL API, asked as often as it takes. */
export interface SnowflakeApi {
  context(): FaultContext
  /** All rows, as the API writes their cells. */
  query(sql: string): Promise<WarehouseRow[]>
  /** Lets a statement begin, and does not wait for it. @returns the handle by which its result is known for a day */
  submit(sql: string, id: RequestId): Promise<string>
  /** Waits for a statement to end. @throws ResultGone, QueryFailed */
  result(handle: string): Promise<SnowflakeResult>
  /** Waits for a statement to end, for all that it has told: names in lower case. @throws ResultGone, QueryFailed */
  told(handle: string): Promise<{ names: string[]; rows: WarehouseRow[] }>
  /** @throws ResultGone */
  partition(handle: string, partition: number): Promise<WarehouseRow[]>
}

/** By which Snowflake knows a statement that it was asked for already. */
interface RequestId {
  uuid: string
  isAgain: boolean
}

interface Request {
  method: 'GET' | 'POST'
  path: string
  query: Readonly<Record<string, string>>
  body?: object
}

/** Nothing is asked of it yet. */
export function askSnowflake(
  address: SnowflakeAddress,
  options: SnowflakeOptions & { timeoutMs: number },
  work: WarehouseWork,
): SnowflakeApi {
  const { role, warehouse, endpoint, timeoutMs } = options
  const base = (endpoint ?? `https://${address.account}.snowflakecomputing.com`).replace(/\/+$/, '')
  let hasAnswered = false
  let offS: number | null = null
  const context = (): FaultContext => ({ address, role, warehouse, clockOffS: offS })

  async function ask(request: Request, { uuid: requestId, isAgain }: RequestId = newId()): Promise<Answer> {
    for (let waitMs = firstWaitMs, again = isAgain; ; again = true) {
      const credentials = options.credentials()
      try {
        const answer = await askOnce(request, { requestId, again, token: snowflakeToken(address.account, credentials) })
        if (waitMs > firstWaitMs) work.onWait?.(null)
        return answer
      } catch (error) {
        if (isOfOldToken(error) && JSON.stringify(options.credentials()) !== JSON.stringify(credentials)) continue
        if (error instanceof SnowflakeRefusal) throw refusedText(error, context())
        // A host that nobody has reached is more likely a wrong one than one that is away.
        if (!(error instanceof Passing) || !(hasAnswered || error.isThrottled)) throw unreachable(error)
        work.onWait?.(error.message)
        await sleep(Math.max(waitMs, error.retryAfterMs), undefined, work.signal && { signal: work.signal })
        waitMs = Math.min(waitMs * 2, longestWaitMs)
      }
    }
  }

  async function askOnce(
    { method, path, query, body }: Request,
    { requestId, again, token }: { requestId: string; again: boolean; token: { type: string; text: string } },
  ): Promise<Answer> {
    const url = new URL(`${base}/api/v2/statements${path}`)
    for (const [name, value] of Object.entries({ ...query, requestId, ...(again && { retry: 'true' }) }))
      url.searchParams.set(name, value)
    const { response, text } = await fetched(url, {
      method,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${token.text}`,
        'content-type': 'application/json',
        'user-agent': 'heapferry',
        'x-snowflake-authorization-token-type': token.type,
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    })
    const { status } = response
    if (status === 408 || status === 429 || status >= 500) throw Passing.of(response)
    offS = clockOffS(response.headers.get('date'))
    const answer = answerIn(text)
    if (status === 200 || status === 202) {
      // What ends too early, behind a proxy, is no JSON either.
      if (answer === null) throw new Passing('its answer is not what the SQL API answers')
      hasAnswered = true
      return answer
    }
    throw new SnowflakeRefusal(status, answer?.code ?? '', answer?.message ?? `HTTP ${status}`)
  }

  async function fetched(url: URL, init: RequestInit): Promise<{ response: Response; text: string }> {
    try {
      const response = await fetch(url, init)
      return { response, text: await response.text() }
    } catch (error) {
      throw new Passing(reasonOf(error, timeoutMs), { cause: error })
    }
  }

  function unreachable(error: unknown): unknown {
    if (!(error instanceof Passing)) return error
    return new OperatorError(
      `${address.text} cannot be reached at ${base}: ${error.message}`,
      `Check the account in the address, ${address.account}, and that this machine may reach it by https (proxy, VPN, private link). HEAPFERRY_SNOWFLAKE_ENDPOINT names another host. What is unloaded stays: the same command goes on.`,
      { cause: error },
    )
  }

  async function post(sql: string, more: { query: Request['query']; timeoutS?: number }, id?: RequestId) {
    const request: Request = {
      method: 'POST',
      path: '',
      query: more.query,
      body: {
        statement: sql,
        ...(more.timeoutS !== undefined && { timeout: more.timeoutS }),
        ...(warehouse !== undefined && { warehouse: nameOf(warehouse) }),
        ...(role !== undefined && { role: nameOf(role) }),
        parameters: { timezone: 'UTC', query_tag: 'heapferry', client_result_chunk_size: partitionMb },
      },
    }
    const answer = await ask(request, id)
    const { statementHandle: handle } = answer
    if (typeof handle !== 'string') throw new Error('Snowflake has given no handle for a statement')
    return { handle, answer }
  }

  /** Of a statement that was begun. */
  async function askFor(handle: string, query: Readonly<Record<string, string>>): Promise<Answer> {
    try {
      return await ask({ method: 'GET', path: `/${encodeURIComponent(handle)}`, query })
    } catch (error) {
      const refusal = error instanceof OperatorError ? error.cause : undefined
      if (refusal instanceof SnowflakeRefusal && isGone(refusal)) throw goneOf(refusal)
      if (error instanceof OperatorError && refusal instanceof SnowflakeRefusal && refusal.status === 422)
        throw new QueryFailed(error)
      throw error
    }
  }

  async function result(handle: string): Promise<SnowflakeResult> {
    for (let waitMs = firstPollMs; ; waitMs = Math.min(waitMs * 2, longestPollMs)) {
      const { resultSetMetaData: ended } = await askFor(handle, {})
      if (ended) return ended
      await sleep(waitMs, undefined, work.signal && { signal: work.signal })
    }
  }

  async function partition(handle: string, number: number): Promise<WarehouseRow[]> {
    const { data } = await askFor(handle, { partition: String(number) })
    return data ?? []
  }

  /** @param first the rows of the first partition, where they are here */
  async function rowsOf(
    handle: string,
    ended: SnowflakeResult,
    first?: WarehouseRow[] | null,
  ): Promise<WarehouseRow[]> {
    const rows: WarehouseRow[] = []
    for (const [number, { rowCount }] of ended.partitionInfo.entries()) {
      const isHere = number === 0 && first?.length === rowCount
      rows.push(...(isHere ? first : await partition(handle, number)))
    }
    if (rows.length !== ended.numRows) throw rowsMissing('A statement', ended.numRows, rows.length)
    return rows
  }

  return {
    context,
    result,
    partition,
    submit: async (sql, id) => (await post(sql, { query: { async: 'true' } }, id)).handle,

    async query(sql) {
      const { handle, answer } = await post(sql, { query: {}, timeoutS: Math.ceil(timeoutMs / 1000) })
      // The first answer has the first partition alone, if any.
      return rowsOf(handle, answer.resultSetMetaData ?? (await result(handle)), answer.data)
    },

    async told(handle) {
      const ended = await result(handle)
      return { names: ended.rowType.map(({ name }) => name.toLowerCase()), rows: await rowsOf(handle, ended) }
    },
  }
}

function goneOf(cause: SnowflakeRefusal): ResultGone {
  return new ResultGone(
    `Snowflake no longer has what a statement gave (${cause.message})`,
    'It keeps that for a day. Look for what makes reading slow (the network, or a limit of requests), then start the same command again: other tables stay, this one is read anew.',
    { cause },
  )
}

/** An answer that ends too early looks like the end: only the number tells. */
export function rowsMissing(what: string, of: number, rows: number): OperatorError {
  return new OperatorError(
    `${what} has ${of} rows in Snowflake, which handed out ${rows}`,
    'Nothing of them was taken. Start the same command again; if it is the same then, tell the maintainers of heapferry.',
  )
}

function newId(): RequestId {
  return { uuid: randomUUID(), isAgain: false }
}

function isGone({ status, code }: SnowflakeRefusal): boolean {
  return status === 404 || status === 410 || code === '390404' || code === '000709'
}

function answerIn(text: string): Answer | null {
  try {
    return Answer.parse(JSON.parse(text))
  } catch {
    return null
  }
}

/** It goes over by itself: connections break, and there are too many requests. */
class Passing extends Error {
  override name = 'Passing'
  /** Whether Snowflake is there, and has no room for now. */
  isThrottled = false
  retryAfterMs = 0

  static of({ status, headers }: Response): Passing {
    const passing = new Passing(`HTTP ${status}${status === 429 ? ', too many requests' : ''}`)
    passing.isThrottled = true
    passing.retryAfterMs = Math.min(Number(headers.get('retry-after') ?? 0) || 0, longestWaitMs / 1000) * 1000
    return passing
  }
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return errorMessage(error)
  if (error.name === 'TimeoutError') return `it has said nothing for ${timeoutMs / 1000} s`
  return error.cause instanceof Error ? error.cause.message : error.message
}
