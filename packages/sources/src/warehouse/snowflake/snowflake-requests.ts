import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import type { SnowflakeOptions, WarehouseWork } from '../warehouse.ts'
import type { SnowflakeAddress } from './snowflake-address.ts'
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
export type Answer = z.infer<typeof Answer>
/** What a statement has come to. */
export type SnowflakeResult = NonNullable<Answer['resultSetMetaData']>

const firstWaitMs = 1000
const longestWaitMs = 60_000

/** By which Snowflake knows a statement that it was asked for already. */
export interface RequestId {
  uuid: string
  isAgain: boolean
}

export interface ApiRequest {
  method: 'GET' | 'POST'
  path: string
  query: Readonly<Record<string, string>>
  body?: object
}

/** Requests to Snowflake's SQL API, each made as often as it takes. */
export interface SnowflakeRequests {
  context(): FaultContext
  /** @throws OperatorError where it is refused, or nobody was ever reached */
  ask(request: ApiRequest, take: TakeRows, id?: RequestId): Promise<Answer>
}

/** Nothing is asked yet. */
export function snowflakeRequests(
  address: SnowflakeAddress,
  options: SnowflakeOptions & { timeoutMs: number },
  work: WarehouseWork,
): SnowflakeRequests {
  const { role, warehouse, endpoint, timeoutMs } = options
  const base = (endpoint ?? `https://${address.account}.snowflakecomputing.com`).replace(/\/+$/, '')
  let hasAnswered = false
  let offS: number | null = null
  const context = (): FaultContext => ({ address, role, warehouse, clockOffS: offS })

  async function ask(
    request: ApiRequest,
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
        work.signal?.throwIfAborted()
        // A host that nobody has reached is more likely a wrong one than one that is away.
        if (!(error instanceof Passing) || !(hasAnswered || error.isThrottled)) throw unreachable(error)
        work.onWait?.(error.message)
        await sleep(Math.max(waitMs, error.retryAfterMs), undefined, work.signal && { signal: work.signal })
        waitMs = Math.min(waitMs * 2, longestWaitMs)
      }
    }
  }

  async function askOnce(
    { method, path, query, body }: ApiRequest,
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
    const signal = work.signal ? AbortSignal.any([ending.signal, work.signal]) : ending.signal
    const response = await heard(fetch(url, { ...init, signal }))

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

  return { context, ask }
}

function newId(): RequestId {
  return { uuid: randomUUID(), isAgain: false }
}

async function answerIn(chunks: AsyncIterable<Buffer>, onRows: TakeRows['onRows']): Promise<Answer | null> {
  try {
    return Answer.parse(await readAnswer(chunks, onRows))
  } catch (error) {
    if (error instanceof NoAnswer || error instanceof z.ZodError) return null
    throw error
  }
}

/** Rows that nobody wants. */
export const nobody: TakeRows = { onStart() {}, async onRows() {} }

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
