import { setTimeout as sleep } from 'node:timers/promises'
import { OperatorError } from '@heapferry/domain'
import { QueryFailed, ResultGone, type SnowflakeOptions, type WarehouseRow, type WarehouseWork } from '../warehouse.ts'
import type { TakeRows } from './read-answer.ts'
import { nameOf, type SnowflakeAddress } from './snowflake-address.ts'
import { type FaultContext, SnowflakeRefusal } from './snowflake-fault.ts'
import {
  type Answer,
  type ApiRequest,
  nobody,
  type RequestId,
  type SnowflakeResult,
  snowflakeRequests,
} from './snowflake-requests.ts'

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

/** Nothing is asked of it yet. */
export function askSnowflake(
  address: SnowflakeAddress,
  options: SnowflakeOptions & { timeoutMs: number },
  work: WarehouseWork,
): SnowflakeApi {
  const { role, warehouse, timeoutMs } = options
  const { ask, context } = snowflakeRequests(address, options, work)

  async function post(
    sql: string,
    more: { query: ApiRequest['query']; timeoutS?: number },
    { take = nobody, id }: { take?: TakeRows; id?: RequestId },
  ) {
    const request: ApiRequest = {
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

function isGone({ status, code }: SnowflakeRefusal): boolean {
  return status === 404 || status === 410 || code === '390404' || code === '000709'
}

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
