import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Redis } from 'ioredis'
import { onTestFinished } from 'vitest'
import { temporaryFolder } from './folder.ts'
import { serverCandidates } from './server-candidates.ts'
import { until } from './until.ts'

export interface RedisProcess {
  url: string
  port: number
  folder: string
  child: ChildProcess
  /** Of the default user, and without anything of ours in between. */
  admin: Redis
}

/**
 * A redis-server as somebody else has set it up. It ends with the test.
 * @param first what comes before all settings, such as a file of them
 */
export async function startRedis(
  settings: readonly string[] = [],
  first: readonly string[] = [],
): Promise<RedisProcess> {
  const folder = await temporaryFolder()
  const at = settings.indexOf('--port')
  const port = at === -1 ? await freePort() : Number(settings[at + 1])
  const given = [...first, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  // A Sentinel saves nothing.
  if (first.length === 0) given.push('--save', '', ...settings)
  const child = await spawnFirst(given, folder)
  const admin = new Redis({ port, lazyConnect: true, maxRetriesPerRequest: null, enableReadyCheck: false })
  admin.on('error', () => {})
  onTestFinished(async () => {
    admin.disconnect()
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  })
  await until('redis-server answers', async () => /PONG|NOAUTH|LOADING/.test(await admin.ping().catch(String)))
  return { url: `redis://127.0.0.1:${port}`, port, folder, child, admin }
}

async function spawnFirst(given: readonly string[], cwd: string): Promise<ChildProcess> {
  for (const program of serverCandidates) {
    const child = spawn(program, given, { stdio: 'ignore', cwd })
    const isThere = await new Promise<boolean>((settle) => {
      child.once('spawn', () => settle(true))
      child.once('error', () => settle(false))
    })
    if (isThere) return child
  }
  throw new Error('no redis-server to test with')
}

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('a TCP server without a port')
  return address.port
}
