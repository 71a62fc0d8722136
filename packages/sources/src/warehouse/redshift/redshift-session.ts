import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadPeer } from '../load-peer.ts'
import type { WarehouseColumn, WarehouseOptions, WarehouseRow } from '../warehouse.ts'
import { type RedshiftAddress, redshiftNameOf } from './redshift-address.ts'
import { faultOf } from './redshift-fault.ts'
import { iamLogin, type Login } from './redshift-iam.ts'

/** Where one statement is asked after the other; of no use any more after one that has failed. */
export interface RedshiftSession {
  /** The rows as text: nothing is made a number, a time or a boolean of. */
  query(sql: string): Promise<WarehouseRow[]>
  /** How a column is selected, so that its text comes whole. */
  selected(column: WarehouseColumn): string
  /**
   * The rows of `select`, some at a time, and what `count` counts in the same snapshot.
   * @throws what `onRows` throws, too
   */
  read(
    statements: { count: string; select: string },
    onRows: (rows: readonly WarehouseRow[]) => Promise<void>,
  ): Promise<{ counted: number; rows: number }>
  /** Does what `statement` says, which gives no rows. @returns what `count` counts in the same snapshot */
  run(statements: { count: string; statement: string }): Promise<number>
  close(): Promise<void>
}

// A cluster of one node hands out no more at a time.
const fetchRows = 1000

// The server ends a statement itself; only when it says nothing at all somebody else has to.
const graceMs = 15_000
const connectTimeoutMs = 30_000
const keepAliveMs = 30_000
const goodbyeMs = 1000
const cancelMs = 2000

/**
 * No cursor of `pg-cursor` or `pg-query-stream` may be used here: Redshift ignores their limit of rows, and sends all at
 * once. It works with PostgreSQL, so no test would tell. DECLARE and FETCH are the documented way.
 *
 * @param signal ends the statement that is waited for, and the session
 * @throws OperatorError when there is nothing to connect to, or nobody is let in
 */
export async function connectRedshift(
  address: RedshiftAddress,
  options: WarehouseOptions,
  signal?: AbortSignal,
): Promise<RedshiftSession> {
  const { default: pg } = await loadPeer(() => import('pg'), {
    what: 'A Redshift is read by the npm package pg',
    install: 'pg',
  })
  const { host, port, database } = address
  const { user, password } = await loginOf(address, options)
  const tls = options.tls ?? (isLoopback(host) ? 'off' : 'verify')
  const socket = new Socket()
  const client = new pg.Client({
    host,
    port,
    database,
    user,
    password,
    ssl: tls === 'off' ? false : { rejectUnauthorized: tls === 'verify' },
    stream: () => socket,
    application_name: 'heapferry',
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: options.timeoutMs + graceMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
  })
  // It is told beside the statement that fails for it, and would end the process if nobody heard.
  let broken: unknown
  client.on('error', (error) => {
    broken = error
  })
  async function query(text: string): Promise<WarehouseRow[]> {
    try {
      // One of several statements would have several answers; only single ones are asked.
      const answer = await client.query<(string | null)[]>({ text, rowMode: 'array', types: asText })
      const { rows } = answer
      // What pg answers hangs together: rows in it that nobody needs any more would lie about until all is collected, 60 MB of them.
      answer.rows = []
      return rows
    } catch (error) {
      throw broken === undefined || hasCode(error) ? error : broken
    }
  }
  const session: RedshiftSession = {
    query,
    selected: ({ sql }) => sql,
    async read({ count, select }, onRows) {
      // Redshift knows one level above all snapshots; PostgreSQL needs to be told that all statements see the same one.
      await query('begin transaction isolation level repeatable read read only')
      const [[counted] = []] = await query(count)
      await query(`declare heapferry cursor for ${select}`)
      const rows = await fetchAll(query, onRows)
      await query('close heapferry')
      await query('commit')
      return { counted: Number(counted), rows }
    },
    async run({ count, statement }) {
      await query('begin transaction isolation level repeatable read')
      const [[counted] = []] = await query(count)
      await query(statement)
      await query('commit')
      return Number(counted)
    },
    async close() {
      signal?.removeEventListener('abort', stop)
      if (broken === undefined) await Promise.race([client.end(), sleep(goodbyeMs)])
      socket.destroy()
    },
  }
  let pid: number | null = null
  /** The cluster would go on with a statement whose reader is gone: https://docs.aws.amazon.com/redshift/latest/dg/PG_CANCEL_BACKEND.html */
  async function cancelStatement(): Promise<void> {
    if (pid === null) return
    const other = await connectRedshift(address, options)
    try {
      await other.query(`select pg_cancel_backend(${pid})`)
    } finally {
      await other.close()
    }
  }
  function stop(): void {
    // Where that cannot be asked, its timeout ends the statement.
    const asked = cancelStatement().catch(() => {})
    void Promise.race([asked, sleep(cancelMs)]).finally(() => socket.destroy())
  }
  signal?.addEventListener('abort', stop)
  try {
    await client.connect()
    for (const setting of redshiftSettings(options.timeoutMs)) await query(setting)
    const [[answer] = []] = await query('select pg_backend_pid()')
    pid = Number(answer)
  } catch (error) {
    signal?.removeEventListener('abort', stop)
    socket.destroy()
    throw faultOf(error, address, tls)
  }
  return session
}

/** So that every value is the same text whatever the user's or the cluster's own settings are, digits and zones included. */
export function redshiftSettings(timeoutMs: number): string[] {
  return [
    "set timezone to 'UTC'",
    "set datestyle to 'ISO, YMD'",
    'set extra_float_digits to 2',
    `set statement_timeout to ${timeoutMs}`,
  ]
}

const asText = { getTypeParser: () => (value: string) => value }

function hasCode(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code !== undefined
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/** Asked anew for every connection: temporary passwords are old soon. */
async function loginOf(address: RedshiftAddress, options: WarehouseOptions): Promise<Login> {
  const { host, port, database, user } = address
  if (user !== null) return { user, password: options.passwordFor({ host, port, database, user }) }
  return iamLogin(address, redshiftNameOf(address, options.redshift?.cluster))
}

/** The next rows are on their way while those before them are written. */
async function fetchAll(
  query: (sql: string) => Promise<WarehouseRow[]>,
  onRows: (rows: readonly WarehouseRow[]) => Promise<void>,
): Promise<number> {
  const fetch = (): Promise<WarehouseRow[]> => {
    const next = query(`fetch forward ${fetchRows} from heapferry`)
    // Somebody awaits it, but later.
    next.catch(() => {})
    return next
  }
  let rows = 0
  let next = fetch()
  for (;;) {
    const batch = await next
    if (batch.length === 0) return rows
    next = fetch()
    rows += batch.length
    await onRows(batch)
  }
}
