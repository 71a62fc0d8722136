import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import path from 'node:path'
import { z } from 'zod'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { until } from '../support/until.ts'
import { fakesnowPython } from './install-fakesnow.ts'

const Told = z.object({
  statements: z.array(z.string()),
  bodies: z.array(z.record(z.string(), z.unknown())),
  copies: z.array(z.string()),
})

/** fakesnow with a SQL API of ours before it, in a process that ends with `close`. */
export interface TestSnowflake {
  endpoint: string
  /** Statements of Snowflake, one after the other. */
  run(...statements: string[]): Promise<void>
  /** A statement of DuckDB, in which everything lies. */
  inDuckDb(sql: string): Promise<void>
  /** Changes what it does; tells the statements that it has begun, with what was said beside them. */
  state(changes: {
    partition_rows?: number
    expire?: true
    token?: string
    public_key?: string
    who?: string
    /** Where the bucket is that it copies into. */
    store?: string
    /** The next COPY INTO tells more rows of a file than are in it. */
    miscounts?: true
    statements?: []
    bodies?: []
  }): Promise<z.infer<typeof Told>>
  /** Those that read a whole table. */
  readings(): Promise<string[]>
  close(): Promise<void>
}

export const passphrase = 'rotten apple 5d2e'

/** A key pair, the private half of it encrypted. */
export function newKeyPair(): { publicKey: string; privateKey: string } {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase },
  })
}

/**
 * What it lacks of Snowflake: shares, roles, warehouses and what they cost, limits of requests, a result that is gone after
 * a day by itself, nanoseconds, and a schema that hides what may not be read.
 */
export async function startFakesnow(): Promise<TestSnowflake> {
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const server = spawn(fakesnowPython, [path.join(import.meta.dirname, 'fakesnow-server.py'), String(port)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  server.stderr.on('data', (data) => (said += data))
  const post = async (route: string, body: string): Promise<unknown> => {
    const response = await fetch(`${endpoint}/test/${route}`, { method: 'POST', body })
    const text = await response.text()
    if (!response.ok) throw new Error(`${body.slice(0, 200)}: ${text}\n${said.slice(-2000)}`)
    return JSON.parse(text)
  }
  const ended = once(server, 'exit')
  await until('fakesnow answers', () => {
    if (server.exitCode !== null) throw new Error(`fakesnow ended with ${server.exitCode}: ${said}`)
    return post('state', '{}').then(
      () => true,
      () => false,
    )
  })
  const state: TestSnowflake['state'] = async (changes) => Told.parse(await post('state', JSON.stringify(changes)))
  return {
    endpoint,
    async run(...statements) {
      for (const sql of statements) await post('sql', sql)
    },
    inDuckDb: async (sql) => void (await post('duckdb', sql)),
    state,
    readings: async () => (await state({})).statements.filter((sql) => sql.includes(' AS "') && !sql.includes('LIMIT')),
    async close() {
      server.kill('SIGTERM')
      await ended
    },
  }
}
