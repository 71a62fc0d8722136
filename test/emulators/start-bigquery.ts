import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { alterTaps, makeHeap, makeTaps, source, syncAgain, tapRows, unloadByHand } from './heap-in-bigquery.ts'
import { startBqemulator, type TestBigquery } from './start-bqemulator.ts'
import type { TestWarehouse } from './warehouse-contract.ts'

const accessToken = 'ya29.correct-horse-7c1f'
const subjectToken = 'subject-battery-staple-99'

/** Credentials of workload identity: the only ones of Google's for which a token can be had on this machine. */
async function startTokens(): Promise<{ keyFile: string; close(): void }> {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify({
        access_token: accessToken,
        issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        token_type: 'Bearer',
        expires_in: 3600,
      }),
    )
  })
  const port = await freePort()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const folder = mkdtempSync(path.join(tmpdir(), 'heapferry-google-'))
  const subjectFile = path.join(folder, 'subject')
  const keyFile = path.join(folder, 'credentials.json')
  writeFileSync(subjectFile, subjectToken)
  writeFileSync(
    keyFile,
    JSON.stringify({
      type: 'external_account',
      audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `http://127.0.0.1:${port}/token`,
      credential_source: { file: subjectFile },
    }),
  )
  return { keyFile, close: () => void server.close() }
}

/** bqemulator with Heap's tables, as the contracts of warehouses want it. */
export async function startBigquery(): Promise<TestWarehouse & { bigquery: TestBigquery }> {
  const [bigquery, tokens] = [await startBqemulator(), await startTokens()]
  bigquery.token = accessToken
  await bigquery.emptyDataset('scratch')
  return {
    bigquery,
    source,
    endpoint: bigquery.endpoint,
    settings: (endpoint) => ({
      HEAPFERRY_BIGQUERY_ENDPOINT: endpoint,
      HEAPFERRY_BIGQUERY_SCRATCH: 'scratch',
      GOOGLE_APPLICATION_CREDENTIALS: tokens.keyFile,
    }),
    options: (endpoint) => ({
      passwordFor: () => '',
      tls: undefined,
      timeoutMs: 60_000,
      bigquery: { endpoint, scratch: 'scratch', keyFile: tokens.keyFile },
    }),
    secrets: [accessToken, subjectToken],
    makeHeap: () => makeHeap(bigquery),
    makeTaps: () => makeTaps(bigquery),
    tapRows,
    unloadByHand,
    alter: (how) => alterTaps(bigquery, how),
    sync: () => syncAgain(bigquery),
    expire: () => bigquery.emptyDataset('scratch'),
    queries: async () => bigquery.jobs.size,
    asksForRows: /\/tables\/heapferry_\w+\/data\?startIndex=/,
    busy: (on) => ({
      on,
      kind: 'status',
      status: 403,
      code: '',
      body: JSON.stringify({
        error: { code: 403, message: 'Exceeded rate limits', errors: [{ reason: 'rateLimitExceeded' }] },
      }),
    }),
    withoutLastRow: (text) => {
      const page = JSON.parse(text)
      return JSON.stringify({ ...page, rows: [] })
    },
    async close() {
      tokens.close()
      await bigquery.close()
    },
  }
}
