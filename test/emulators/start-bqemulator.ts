import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { z } from 'zod'
import { freePort } from '../../packages/queue/src/free-port.ts'
import type { TestStore } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'
import { bqemulatorPython } from './install-bqemulator.ts'

export const project = 'heap-project'

/** What BigQuery answers instead, once, to the next request that fits. */
interface Refusal {
  on: RegExp
  status: number
  reason: string
  message?: string
  headers?: Record<string, string>
}

/** bqemulator with what it lacks before it, in a process that ends with `close`. */
export interface TestBigquery {
  endpoint: string
  refusals: Refusal[]
  /** Method, path and query of every request. */
  requests: string[]
  /** Where it is set, nobody is let in without it. */
  token: string | null
  /** Into which EXPORT DATA writes. */
  store: TestStore | null
  /** The job of which it says rows that are not so; `next`: of the next one that is asked for. */
  miscounts: string | null
  /** How much a dry run says that a query scans. */
  dryRunBytes: number
  /** Jobs that were begun, by their ids, with what was asked. */
  jobs: Map<string, { query: string; maximumBytesBilled: string }>
  /** Statements, one after the other. */
  run(...statements: string[]): Promise<void>
  /** Makes a dataset anew, without tables. */
  emptyDataset(dataset: string): Promise<void>
  close(): Promise<void>
}

// It insists on an extension of DuckDB that it would download.
const launcher = `
from bqemulator.storage.engine import DuckDBEngine
DuckDBEngine._load_spatial = lambda self: None
from bqemulator.cli import main
main()
`

/**
 * What the front adds: a job id is taken once (409), rows of a view cannot be listed (400), a job runs for a while, tokens,
 * bytes of a dry run, a bucket into which the files of EXPORT DATA are put that it writes into a folder. What is still lacking of BigQuery: NUMERIC has three digits behind the point, results are kept as long
 * as the process lives, and there are neither rights, quotas nor bills.
 */
export async function startBqemulator(): Promise<TestBigquery> {
  const [rest, grpc, port] = [await freePort(), await freePort(), await freePort()]
  const emulator = `http://127.0.0.1:${rest}`
  const written = mkdtempSync(path.join(tmpdir(), 'heapferry-gcs-'))
  const flags = ['start', '--rest-port', String(rest), '--grpc-port', String(grpc), '--project', project]
  const server = spawn(bqemulatorPython, ['-c', launcher, ...flags, '--log-level', 'error'], {
    stdio: 'ignore',
    env: { ...process.env, BQEMU_GCS_LOCAL_ROOT: written },
  })
  const ended = once(server, 'exit')
  const base = `${emulator}/bigquery/v2/projects/${project}`
  await until('bqemulator answers', () => {
    if (server.exitCode !== null) throw new Error(`bqemulator ended with ${server.exitCode}`)
    return fetch(`${base}/datasets`).then(
      () => true,
      () => false,
    )
  })
  const bigquery: Omit<TestBigquery, 'endpoint' | 'run' | 'emptyDataset' | 'close'> = {
    refusals: [],
    requests: [],
    token: null,
    store: null,
    miscounts: null,
    dryRunBytes: 0,
    jobs: new Map(),
  }
  const views = new Set<string>()
  let turn: Promise<unknown> = Promise.resolve()
  /** Rows of two answers get mixed up where it is asked for both at once: also of what a test asks while pages are on their way. */
  function inTurn<T>(asked: () => Promise<T>): Promise<T> {
    const answered = turn.then(asked)
    turn = answered.catch(() => {})
    return answered
  }
  const front = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  front.listen(port, '127.0.0.1')
  await once(front, 'listening')

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = `${request.method} ${request.url}`
    bigquery.requests.push(asked)
    const at = bigquery.refusals.findIndex(({ on }) => on.test(asked))
    const [refusal] = at < 0 ? [] : bigquery.refusals.splice(at, 1)
    if (refusal) return refused(response, refusal)
    if (bigquery.token !== null && request.headers.authorization !== `Bearer ${bigquery.token}`)
      return refused(response, { status: 401, reason: 'authError', message: 'Request had invalid authentication' })
    const body = Buffer.concat(await request.toArray()).toString('utf8')
    const listed = /\/tables\/([^/]+)\/data/.exec(request.url ?? '')?.[1] ?? ''
    if (views.has(listed))
      return refused(response, { status: 400, reason: 'invalid', message: 'Cannot list a table of type VIEW.' })
    let passed = body
    if (request.method === 'POST' && request.url?.endsWith('/jobs')) {
      const { jobReference, configuration } = JSON.parse(body)
      // It would write files.
      if (configuration.dryRun === true) passed = body.replace(/EXPORT DATA OPTIONS\(.*?\) AS /, '')
      else {
        if (bigquery.jobs.has(jobReference.jobId))
          return refused(response, {
            status: 409,
            reason: 'duplicate',
            message: `Already Exists: Job ${jobReference.jobId}`,
          })
        bigquery.jobs.set(jobReference.jobId, configuration.query)
      }
    }
    const { status, text } = await inTurn(async () => {
      const answered = await fetch(new URL(request.url ?? '/', emulator), {
        method: request.method ?? 'GET',
        headers: { 'content-type': 'application/json' },
        ...(passed !== '' && { body: passed }),
      })
      return { status: answered.status, text: await answered.text() }
    })
    await putWritten()
    if (request.method === 'GET' && bigquery.miscounts === 'next' && /"rowCount":"\d+"/.test(text))
      bigquery.miscounts = request.url ?? ''
    const isMiscounted = request.url === bigquery.miscounts
    const miscounted = isMiscounted ? text.replace(/"rowCount":"(\d+)"/, '"rowCount":"$13"') : text
    const said = Buffer.from(
      miscounted.replaceAll('"totalBytesProcessed":"0"', `"totalBytesProcessed":"${bigquery.dryRunBytes}"`),
    )
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': said.length })
    response.end(said)
  }

  async function putWritten(): Promise<void> {
    for (const file of await readdir(written, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue
      const at = path.join(file.parentPath, file.name)
      const [, ...key] = path.relative(written, at).split(path.sep)
      await bigquery.store?.put(key.join('/'), await readFile(at))
      await rm(at)
    }
  }

  async function run(...statements: string[]): Promise<void> {
    for (const query of statements) {
      const said = await inTurn(() => post(`${base}/queries`, { query, useLegacySql: false }))
      if (said.errors.length > 0) throw new Error(`${query.slice(0, 300)}: ${JSON.stringify(said.errors)}`)
      const view = /^create (?:or replace )?view \w+\.(\w+)/i.exec(query)?.[1]
      if (view !== undefined) views.add(view)
    }
  }

  return Object.assign(bigquery, {
    endpoint: `http://127.0.0.1:${port}`,
    run,
    async emptyDataset(dataset: string) {
      views.clear()
      await inTurn(() => fetch(`${base}/datasets/${dataset}?deleteContents=true`, { method: 'DELETE' }))
      await inTurn(() => post(`${base}/datasets`, { datasetReference: { projectId: project, datasetId: dataset } }))
    },
    async close() {
      front.closeAllConnections()
      front.close()
      server.kill('SIGTERM')
      await ended
      rmSync(written, { recursive: true })
    },
  })
}

function refused(response: ServerResponse, { status, reason, message, headers }: Omit<Refusal, 'on'>): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify({ error: { code: status, message: message ?? reason, errors: [{ reason }] } }))
}

const Said = z.object({ errors: z.array(z.unknown()).default([]) })

async function post(url: string, body: unknown): Promise<z.infer<typeof Said>> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return Said.parse(await response.json())
}
