import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import pg from 'pg'
import { z } from 'zod'
import { standInServer } from './stand-in-server.ts'

type Operation = 'BatchExecuteStatement' | 'CancelStatement' | 'DescribeStatement' | 'GetStatementResult'

export interface TestDataApi {
  endpoint: string
  /** Batches of statements that were run, in order, each once however often it was asked for. */
  batches: string[][]
  /** Operations that were asked for, with what they named the warehouse. */
  asked: { operation: Operation; target: string; region: string }[]
  /** Answered instead, once each, to the next request of that operation; without `status` the request is done and its answer lost. */
  refusals: { on: Operation; status?: number; code?: string; message?: string }[]
  /** What becomes of the next batch in which a statement fits, once each; it is not run. `STARTED` never ends by itself. */
  ends: { on: RegExp; status: 'ABORTED' | 'FAILED' | 'STARTED'; error?: string }[]
  /** The next result with several columns lacks its last row, and nobody is told. */
  shortens: boolean
  /** How many batches are being run. */
  running(): number
}

interface Batch {
  status: 'ABORTED' | 'FAILED' | 'FINISHED' | 'STARTED'
  error?: string
  results: { rows: (string | null)[][]; types: number[] }[]
}

const Target = z.union([
  z.object({ ClusterIdentifier: z.string() }).transform((one) => `cluster ${one.ClusterIdentifier}`),
  z.object({ WorkgroupName: z.string() }).transform((one) => `workgroup ${one.WorkgroupName}`),
])
const Execute = z.object({ Sqls: z.array(z.string()).min(1).max(40), Database: z.string(), ClientToken: z.string() })
const OfStatement = z.object({ Id: z.string(), NextToken: z.string().optional() })

const pageRows = 700

/**
 * A stand-in of our own for Amazon's Redshift Data API, over a real PostgreSQL: AWS JSON 1.1 as Amazon's models have it, asked by
 * AWS's own SDK. A batch is one transaction, on a connection of its own that goes on whatever becomes of whoever asked for it. As in
 * Amazon's, whole numbers come as JSON's, which have 64 bits here and not in JavaScript; booleans and doubles as such; all else as text.
 *
 * That both statements of a batch see one snapshot is PostgreSQL's `repeatable read`, which it is told here, and Redshift is said to
 * have by itself. It knows no policies, no limits of sizes and rates, and no expiry: what is refused is what a test says.
 */
export async function startDataApi(connect: { port: number; user: string }): Promise<TestDataApi> {
  const batches = new Map<string, Batch>()
  const byToken = new Map<string, string>()
  const told: TestDataApi = {
    endpoint: '',
    batches: [],
    asked: [],
    refusals: [],
    ends: [],
    shortens: false,
    running: () => [...batches.values()].filter(({ status }) => status === 'STARTED').length,
  }

  async function run(sqls: readonly string[], database: string, batch: Batch): Promise<void> {
    const client = new pg.Client({ host: '127.0.0.1', ...connect, database })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query('begin isolation level repeatable read')
      for (const sql of sqls) {
        const types = { getTypeParser: () => (value: string) => value }
        const { rows, fields } = await client.query<(string | null)[]>({ text: sql, rowMode: 'array', types })
        batch.results.push({ rows, types: fields.map(({ dataTypeID }) => dataTypeID) })
      }
      await client.query('commit')
      batch.status = 'FINISHED'
    } catch (error) {
      batch.error = `ERROR: ${error instanceof Error ? error.message : String(error)}`
      batch.status = 'FAILED'
    } finally {
      await client.end().catch(() => {})
    }
  }

  function execute(input: unknown): string {
    const { Sqls: sqls, Database: database, ClientToken: token } = Execute.parse(input)
    const known = byToken.get(token)
    if (known !== undefined) return `{"Id":"${known}"}`
    const id = randomUUID()
    byToken.set(token, id)
    const batch: Batch = { status: 'STARTED', results: [] }
    batches.set(id, batch)
    told.batches.push(sqls)
    const at = told.ends.findIndex(({ on }) => sqls.some((sql) => on.test(sql)))
    const [end] = at < 0 ? [] : told.ends.splice(at, 1)
    if (end) Object.assign(batch, { status: end.status, ...(end.error !== undefined && { error: end.error }) })
    else void run(sqls, database, batch)
    return `{"Id":"${id}"}`
  }

  function answerOf(operation: Operation, input: unknown): string {
    if (operation === 'BatchExecuteStatement') return execute(input)
    const { Id, NextToken = '0' } = OfStatement.parse(input)
    const [id = '', part] = Id.split(':')
    const batch = batches.get(id)
    if (batch === undefined) throw new Error(`there is no statement ${Id}`)
    switch (operation) {
      case 'CancelStatement':
        Object.assign(batch, { status: 'ABORTED' })
        return '{"Status":true}'
      case 'DescribeStatement':
        return JSON.stringify({
          Id: id,
          Status: batch.status,
          ...(batch.error !== undefined && { Error: batch.error }),
        })
      case 'GetStatementResult': {
        const result = batch.results[Number(part) - 1]
        if (result === undefined) throw new Error(`there is no result ${Id}`)
        if (told.shortens && result.types.length > 1) {
          told.shortens = false
          result.rows.pop()
        }
        const from = Number(NextToken)
        const records = result.rows
          .slice(from, from + pageRows)
          .map((row) => `[${row.map((cell, at) => fieldOf(cell, result.types[at])).join()}]`)
        const next = from + pageRows < result.rows.length ? `,"NextToken":"${from + pageRows}"` : ''
        return `{"Records":[${records.join()}],"TotalNumRows":${result.rows.length}${next}}`
      }
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, operation] =
      /^RedshiftData\.(BatchExecuteStatement|CancelStatement|DescribeStatement|GetStatementResult)$/.exec(
        String(request.headers['x-amz-target']),
      ) ?? []
    const [, region = ''] =
      /Credential=[^/]+\/\d{8}\/([^/]+)\/redshift-data\/aws4_request/.exec(request.headers.authorization ?? '') ?? []
    const asked = z
      .enum(['BatchExecuteStatement', 'CancelStatement', 'DescribeStatement', 'GetStatementResult'])
      .parse(operation)
    const input: unknown = JSON.parse(Buffer.concat(await request.toArray()).toString('utf8'))
    told.asked.push({ operation: asked, target: Target.safeParse(input).data ?? '', region })
    const at = told.refusals.findIndex(({ on }) => on === asked)
    const [refusal] = at < 0 ? [] : told.refusals.splice(at, 1)
    if (refusal?.status === undefined) {
      const body = answerOf(asked, input)
      if (refusal) return void response.destroy()
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' })
      return void response.end(body)
    }
    response.writeHead(refusal.status, { 'content-type': 'application/x-amz-json-1.1' })
    response.end(JSON.stringify({ __type: refusal.code, message: refusal.message }))
  }

  told.endpoint = await standInServer(answer)
  return told
}

function fieldOf(cell: string | null, type: number | undefined): string {
  if (cell === null) return '{"isNull":true}'
  if (type === 16) return `{"booleanValue":${cell === 't'}}`
  if (type === 20 || type === 21 || type === 23) return `{"longValue":${cell}}`
  if (type === 700 || type === 701) return `{"doubleValue":${cell}}`
  return JSON.stringify({ stringValue: cell })
}
