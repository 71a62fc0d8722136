import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import { QueryFailed, ResultGone, type SnowflakeOptions, type WarehouseRow, type WarehouseWork } from '../warehouse.ts'
import { nameOf, type SnowflakeAddress } from './snowflake-address.ts'
import { type FaultContext, isOfOldToken, refusedText, SnowflakeRefusal } from './snowflake-fault.ts'
import { NoAnswer, readAnswer, type TakeRows } from './read-answer.ts'
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
  /** Rows of the first partition, or of the one that was asked for, are taken out of it before. */
  data: z.array(z.unknown()).max(0).nullish(),
})
type Answer = z.infer<typeof Answer>
/** What a statement has come to. */
export type SnowflakeResult = NonNullable<Answer['resultSetMetaData']>

const firstWaitMs = 1000
const longestWaitMs = 60_000
const firstPollMs = 200
const longestPollMs = 5000
// What a broken connection costs. The least that Snowflake takes, in MB.
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
  /** All rows of a partition, as they come. @throws ResultGone */
  partition(handle: string, partition: number, take: TakeRows): Promise<void>
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

  async function ask(
    request: Request,
    take: TakeRows,
    { uuid: requestId, isAgain }: RequestId = newId(),
  ): Promise<Answer> {
    for (let waitMs = firstWaitMs, again = isAgain; ; again = true) {
      const credentials = options.credentials()
      try {
        const token = snowflakeToken(address.account, credentials)
        const answer = await askOnce(request, take, { requestId, again, token })
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
    take: TakeRows,
    { requestId, again, token }: { requestId: string; again: boolean; token: { type: string; text: string } },
  ): Promise<Answer> {
    const url = new URL(`${base}/api/v2/statements${path}`)
    for (const [name, value] of Object.entries({ ...query, requestId, ...(again && { retry: 'true' }) }))
      url.searchParams.set(name, value)
    const { response, chunks } = await fetched(url, {
      method,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${token.text}`,
        'content-type': 'application/json',
        'user-agent': 'heapferry',
        'x-snowflake-authorization-token-type': token.type,
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const { status } = response
    if (status === 408 || status === 429 || status >= 500) {
      await response.body?.cancel()
      throw Passing.of(response)
    }
    offS = clockOffS(response.headers.get('date'))
    const isAnswer = status === 200 || status === 202
    if (isAnswer) take.onStart()
    const answer = await answerIn(chunks, isAnswer ? take.onRows : nobody.onRows)
    if (isAnswer) {
      // What ends too early, behind a proxy, is no JSON either.
      if (answer === null) throw new Passing('its answer is not what the SQL API answers')
      hasAnswered = true
      return answer
    }
    throw new SnowflakeRefusal(status, answer?.code ?? '', answer?.message ?? `HTTP ${status}`)
  }

  async function fetched(url: URL, init: RequestInit): Promise<{ response: Response; chunks: AsyncGenerator<Buffer> }> {
    const ending = new AbortController()
    /** What takes long here does not count: only silence there. */
    async function heard<T>(coming: Promise<T>): Promise<T> {
      const silence = setTimeout(() => ending.abort(new Silence()), timeoutMs)
      try {
        return await coming
      } catch (error) {
        throw new Passing(reasonOf(error, timeoutMs), { cause: error })
      } finally {
        clearTimeout(silence)
      }
    }
    const response = await heard(fetch(url, { ...init, signal: ending.signal }))

    async function* chunksOf(): AsyncGenerator<Buffer> {
      const reader = response.body?.getReader()
      try {
        for (;;) {
          const next = reader && (await heard(reader.read()))
          if (!next || next.done) return
          yield Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
        }
      } finally {
        // Nobody wants the rest of it.
        ending.abort()
      }
    }
    return { response, chunks: chunksOf() }
  }

  function unreachable(error: unknown): unknown {
    if (!(error instanceof Passing)) return error
    return new OperatorError(
      `${address.text} cannot be reached at ${base}: ${error.message}`,
      `Check the account in the address, ${address.account}, and that this machine may reach it by https (proxy, VPN, private link). HEAPFERRY_SNOWFLAKE_ENDPOINT names another host. What is unloaded stays: the same command goes on.`,
      { cause: error },
    )
  }

  async function post(
    sql: string,
    more: { query: Request['query']; timeoutS?: number },
    { take = nobody, id }: { take?: TakeRows; id?: RequestId },
  ) {
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
    const answer = await ask(request, take, id)
    const { statementHandle: handle } = answer
    if (typeof handle !== 'string') throw new Error('Snowflake has given no handle for a statement')
    return { handle, answer }
  }

  /** Of a statement that was begun. */
  async function askFor(handle: string, query: Readonly<Record<string, string>>, take: TakeRows): Promise<Answer> {
    try {
      return await ask({ method: 'GET', path: `/${encodeURIComponent(handle)}`, query }, take)
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
      const { resultSetMetaData: ended } = await askFor(handle, {}, nobody)
      if (ended) return ended
      await sleep(waitMs, undefined, work.signal && { signal: work.signal })
    }
  }

  async function partition(handle: string, number: number, take: TakeRows): Promise<void> {
    await askFor(handle, { partition: String(number) }, take)
  }

  /** @param first the rows of the first partition, where they are here */
  async function rowsOf(handle: string, ended: SnowflakeResult, first: WarehouseRow[] = []): Promise<WarehouseRow[]> {
    const rows: WarehouseRow[] = []
    for (const [number, { rowCount }] of ended.partitionInfo.entries()) {
      const taken = new Taken()
      const isHere = number === 0 && first.length === rowCount
      if (!isHere) await partition(handle, number, taken)
      rows.push(...(isHere ? first : taken.rows))
    }
    if (rows.length !== ended.numRows) throw rowsMissing('A statement', ended.numRows, rows.length)
    return rows
  }

  return {
    context,
    result,
    partition,
    submit: async (sql, id) => (await post(sql, { query: { async: 'true' } }, { id })).handle,

    async query(sql) {
      // The first answer has the first partition alone, if any.
      const first = new Taken()
      const more = { query: {}, timeoutS: Math.ceil(timeoutMs / 1000) }
      const { handle, answer } = await post(sql, more, { take: first })
      return rowsOf(handle, answer.resultSetMetaData ?? (await result(handle)), first.rows)
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

async function answerIn(chunks: AsyncIterable<Buffer>, onRows: TakeRows['onRows']): Promise<Answer | null> {
  try {
    return Answer.parse(await readAnswer(chunks, onRows))
  } catch (error) {
    if (error instanceof NoAnswer || error instanceof z.ZodError) return null
    throw error
  }
}

const nobody: TakeRows = { onStart() {}, async onRows() {} }

/** Rows that are few. */
class Taken implements TakeRows {
  readonly rows: WarehouseRow[] = []

  onStart(): void {
    this.rows.length = 0
  }

  onRows = async (rows: readonly WarehouseRow[]): Promise<void> => {
    this.rows.push(...rows)
  }
}

class Silence extends Error {
  override name = 'TimeoutError'
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
