import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { onTestFinished } from 'vitest'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { temporaryFolder } from './folder.ts'
import { serverCandidates } from './server-candidates.ts'
import { until } from './until.ts'

export interface RedisProcess {
  url: string
  port: number
  folder: string
  child: ChildProcess
  settings: readonly string[]
  /** Of the default user, and without anything of ours in between. */
  admin: Redis
}

/**
 * A redis-server as somebody else has set it up. It ends with the test.
 * @param first what comes before all settings, such as a file of them
 * @param password where the file names one
 */
export async function startRedis(
  settings: readonly string[] = [],
  first: readonly string[] = [],
  password: string | undefined = settings[settings.indexOf('--requirepass') + 1 || settings.length],
): Promise<RedisProcess> {
  const setting = (name: string): string | undefined => settings[settings.lastIndexOf(name) + 1 || settings.length]
  const folder = setting('--dir') ?? (await temporaryFolder())
  const port = Number(setting('--port') ?? (await freePort()))
  const given = [...first, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  // Its own choice, the port and 10,000, may be somebody's connection.
  if (settings.includes('--cluster-enabled') && !settings.includes('--cluster-port'))
    given.push('--cluster-port', String(await freePort()))
  // A Sentinel saves nothing.
  if (first.length === 0) given.push('--save', '', ...settings)
  const child = await spawnFirst(given, folder)
  const login = password === undefined ? {} : { password }
  const admin = new Redis({ ...login, port, lazyConnect: true, maxRetriesPerRequest: null, enableReadyCheck: false })
  admin.on('error', () => {})
  onTestFinished(async () => {
    admin.disconnect()
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  })
  await until('redis-server answers', async () => /PONG|NOAUTH|LOADING/.test(await admin.ping().catch(String)))
  return { url: `redis://127.0.0.1:${port}`, port, folder, child, settings, admin }
}

/** Ends a server at once, with all that it has not written, or as it is told to end. */
export async function killRedis({ child }: RedisProcess, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
  // One that has just become a replica does not end before it has written its first file: it has to be told again.
  await until('it has ended', () => child.exitCode !== null || child.signalCode !== null || !child.kill(signal))
}

/** Starts one that has ended, at its port and with its files. */
export function startAgain({ port, folder, settings }: RedisProcess): Promise<RedisProcess> {
  return startRedis([...settings, '--port', String(port), '--dir', folder])
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
