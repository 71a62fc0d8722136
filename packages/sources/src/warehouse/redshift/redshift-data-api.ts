import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Field } from '@aws-sdk/client-redshift-data'
import { OperatorError } from '@heapferry/domain'
import { loadPeer } from '../load-peer.ts'
import type { WarehouseOptions, WarehouseRow } from '../warehouse.ts'
import { askAws } from './ask-aws.ts'
import { type RedshiftAddress, redshiftNameOf } from './redshift-address.ts'
import { type RedshiftSession, redshiftSettings } from './redshift-session.ts'

// Of several statements; the warehouse ends each itself when it takes too long.
const graceMs = 60_000
const firstPollMs = 50
const longestPollMs = 2000
const silenceMs = 60_000
// Of the SDK's own, with pauses of up to 20 s between them. Asked again, AWS knows a statement by its token, and does not run it twice.
const maxAttempts = 10

const actions = [
  'redshift-data:BatchExecuteStatement',
  'redshift-data:DescribeStatement',
  'redshift-data:GetStatementResult',
  'redshift-data:CancelStatement',
]

/**
 * A Redshift by https, without a way to its port. Each batch of statements is one transaction, and nothing of it is left for the next
 * one; so the settings are in each. Results are kept by AWS for 24 hours, up to 500 MB, with 64 KB to a row.
 * https://docs.aws.amazon.com/redshift-data/latest/APIReference/API_BatchExecuteStatement.html
 *
 * @param signal ends waiting for a statement, and the statement
 * @throws OperatorError when the address does not tell which cluster it is
 */
export async function openDataApi(
  address: RedshiftAddress,
  options: WarehouseOptions,
  signal?: AbortSignal,
): Promise<RedshiftSession> {
  const { text, database } = address
  const { kind, name, region } = redshiftNameOf(address, options.redshift?.cluster)
  const {
    RedshiftDataClient,
    BatchExecuteStatementCommand,
    CancelStatementCommand,
    DescribeStatementCommand,
    GetStatementResultCommand,
  } = await loadPeer(() => import('@aws-sdk/client-redshift-data'), {
    what: 'A Redshift is read by the Data API with the npm package @aws-sdk/client-redshift-data',
    install: '@aws-sdk/client-redshift-data',
  })
  const client = new RedshiftDataClient({
    region,
    maxAttempts,
    requestHandler: { connectionTimeout: silenceMs, socketTimeout: silenceMs },
  })
  const target = kind === 'cluster' ? { ClusterIdentifier: name } : { WorkgroupName: name }
  const ofLogin = kind === 'cluster' ? 'redshift:GetClusterCredentialsWithIAM' : 'redshift-serverless:GetCredentials'
  const asked = { text, name, region, actions: [...actions, ofLogin] }
  const settings = redshiftSettings(options.timeoutMs)

  /** Does all statements in one transaction. @returns what the results are found by, one for each */
  async function done(...statements: readonly string[]): Promise<string[]> {
    const command = new BatchExecuteStatementCommand({
      ...target,
      Database: database,
      Sqls: [...settings, ...statements],
    })
    const { Id: id = '' } = await askAws(() => client.send(command), asked)
    const untilMs = performance.now() + options.timeoutMs * statements.length + graceMs
    for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 2, longestPollMs)) {
      const told = await askAws(() => client.send(new DescribeStatementCommand({ Id: id })), asked)
      switch (told.Status) {
        case 'FINISHED':
          return statements.map((_, index) => `${id}:${settings.length + index + 1}`)
        case 'FAILED':
          throw failed(
            text,
            told.Error ?? told.SubStatements?.find(({ Error: said }) => said)?.Error ?? 'no reason is told',
          )
        case 'ABORTED':
          throw withState(told.Error ?? 'the statement was ended by somebody', '57014')
        // On its way.
        case 'ALL':
        case 'PICKED':
        case 'STARTED':
        case 'SUBMITTED':
        case undefined:
      }
      if (performance.now() > untilMs) {
        await cancelled(id)
        throw withState('the statement took too long, and was ended', '57014')
      }
      await sleep(pollMs, undefined, signal && { signal }).catch(async (stopped: unknown) => {
        await cancelled(id)
        throw stopped
      })
    }
  }

  async function cancelled(id: string): Promise<void> {
    await askAws(() => client.send(new CancelStatementCommand({ Id: id })), asked)
  }

  async function* pages(id: string): AsyncGenerator<WarehouseRow[]> {
    for (let from: string | undefined; ; ) {
      const command = new GetStatementResultCommand({ Id: id, ...(from !== undefined && { NextToken: from }) })
      const { Records: records = [], NextToken: next } = await askAws(() => client.send(command), asked)
      yield records.map((record) => record.map(textOf))
      if (next === undefined || next === '') return
      from = next
    }
  }

  async function rowsOf(id: string): Promise<WarehouseRow[]> {
    const rows: WarehouseRow[] = []
    for await (const page of pages(id)) rows.push(...page)
    return rows
  }

  async function countOf(id: string): Promise<number> {
    const [[counted] = []] = await rowsOf(id)
    return Number(counted)
  }

  return {
    async query(sql) {
      const [id = ''] = await done(sql)
      return rowsOf(id)
    },
    // As numbers, 64 bits would come as doubles, and times as the Data API writes them.
    selected: ({ sql, kind: of }) => (of === 'boolean' ? sql : `(${sql})::varchar`),
    async read({ count, select }, onRows) {
      const [ofCount = '', ofRows = ''] = await done(count, select)
      let rows = 0
      for await (const page of pages(ofRows)) {
        rows += page.length
        await onRows(page)
      }
      return { counted: await countOf(ofCount), rows }
    },
    async run({ count, statement }) {
      const [ofCount = ''] = await done(count, statement)
      return countOf(ofCount)
    },
    async close() {
      client.destroy()
    },
  }
}

/** Numbers come where something is counted, and nowhere else. */
function textOf(field: Field): string | null {
  if (field.isNull === true) return null
  if (field.stringValue !== undefined) return field.stringValue
  if (field.booleanValue !== undefined) return field.booleanValue ? 't' : 'f'
  if (field.longValue !== undefined && Number.isSafeInteger(field.longValue)) return String(field.longValue)
  throw new Error(`the Data API gives ${Object.keys(field).join()} where text was asked for`)
}

function failed(address: string, said: string): Error {
  // https://docs.aws.amazon.com/redshift/latest/mgmt/data-api-troubleshooting.html
  if (/exceeded size limit|packet for query is too large/i.test(said))
    return new OperatorError(
      `${address} says: ${said}`,
      'By the Data API a result may have 500 MB, and a row 64 KB. With --stage s3://bucket/prefix no row passes through it; by redshift://… there are no such limits. Either is another run: give --run NAME.',
    )
  const [, state] = states.find(([words]) => words.test(said)) ?? []
  return withState(said, state ?? 'XX000')
}

/**
 * The Data API tells what a server says, without its SQLSTATE.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const states: readonly (readonly [RegExp, string])[] = [
  [/column .*does not exist/i, '42703'],
  [/schema .*does not exist/i, '3F000'],
  [/(?:relation|table) .*does not exist/i, '42P01'],
  [/database .*does not exist/i, '3D000'],
  [/(?:operator|function) .*does not exist/i, '42883'],
  [/permission denied/i, '42501'],
  [/cancell?ed|statement timeout/i, '57014'],
  [/serializable isolation|due to conflict/i, '40001'],
  [/terminating connection|connection .*(?:closed|reset|lost|terminated)|shutting down|starting up/i, '57P01'],
  [/too many connections|connection limit/i, '53300'],
  [/disk full|out of memory|insufficient/i, '53200'],
]

function withState(message: string, code: string): Error {
  return Object.assign(new Error(message), { code })
}
