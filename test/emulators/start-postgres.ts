import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { postgresVersions } from './install-postgres.ts'

/** A PostgreSQL of other authors, which speaks Redshift's protocol and most of its SQL; in processes that end with `close`. */
export interface TestPostgres {
  port: number
  /** It may write here. */
  folder: string
  /** As a superuser, without a password. */
  query(sql: string): Promise<unknown[]>
  /** Ends all connections of a user, as a restart of a cluster does. */
  endSessions(user: string): Promise<void>
  close(): Promise<void>
}

/**
 * What it lacks of Redshift: UNLOAD, SVV tables, SUPER, WLM, the limits of cursors; and it takes part in the protocol where
 * Redshift does not, so that what works here need not work there.
 *
 * @param auth how users other than `postgres` log in
 * @param tls with a certificate that nobody has signed
 */
export async function startPostgres(
  auth: 'trust' | 'scram-sha-256' = 'trust',
  { tls = false }: { tls?: boolean } = {},
): Promise<TestPostgres> {
  const bin = binaries()
  // It refuses to run as root.
  const owner = process.getuid?.() === 0 ? unprivileged() : null
  const folder = mkdtempSync(path.join(tmpdir(), 'heapferry-postgres-'))
  if (owner) chownSync(folder, owner.uid, owner.gid)
  const data = path.join(folder, 'data')
  execFileSync(
    path.join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N'],
    { ...owner, cwd: folder, stdio: 'ignore' },
  )
  if (tls) {
    const files = ['-keyout', path.join(data, 'server.key'), '-out', path.join(data, 'server.crt')]
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', ...files],
      { ...owner, cwd: folder, stdio: 'ignore' },
    )
  }
  const port = await freePort()
  const flags = {
    ...(tls && { ssl: 'on' }),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    fsync: 'off',
    max_connections: '20',
  }
  const server = spawn(
    path.join(bin, 'postgres'),
    ['-D', data, '-p', String(port), ...Object.entries(flags).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...owner, cwd: folder, stdio: 'ignore' },
  )
  const ended = once(server, 'exit')
  const client = await connected(port, () => server.exitCode)
  await refuseCastsOfBooleans(client)
  if (auth !== 'trust') {
    await client.query(
      `copy (select 'host all postgres 127.0.0.1/32 trust' union all select 'host all all 127.0.0.1/32 ${auth}') to '${data}/pg_hba.conf'`,
    )
    await client.query('select pg_reload_conf()')
  }
  return {
    port,
    folder,
    query: async (sql) => (await client.query(sql)).rows,
    async endSessions(user) {
      await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${user}'`)
    },
    async close() {
      await client.end()
      server.kill('SIGINT')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function binaries(): string {
  const [newest] = readdirSync(postgresVersions).toSorted((a, b) => Number(b) - Number(a))
  return path.join(postgresVersions, newest ?? '', 'bin')
}

function unprivileged(): { uid: number; gid: number } {
  return { uid: idOfNobody('-u'), gid: idOfNobody('-g') }
}

function idOfNobody(flag: string): number {
  return Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
}

/** As Redshift does, with these words. https://github.com/dbt-labs/dbt-utils/issues/1016 */
async function refuseCastsOfBooleans(client: pg.Client): Promise<void> {
  for (const type of ['varchar', 'text'])
    await client.query(`
      create function no_cast_to_${type}(boolean) returns ${type} language plpgsql as
        $$ begin raise exception 'cannot cast type boolean to character varying' using errcode = '42846'; end $$;
      update pg_cast set castfunc = 'no_cast_to_${type}(boolean)'::regprocedure where castsource = 'boolean'::regtype and casttarget = '${type}'::regtype`)
}

async function connected(port: number, exitCode: () => number | null): Promise<pg.Client> {
  for (;;) {
    if (exitCode() !== null) throw new Error(`PostgreSQL ended with ${exitCode()}`)
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
    try {
      await client.connect()
      return client
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
