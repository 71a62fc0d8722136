import { execFile, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { chmod, link, mkdir, open, readFile, realpath, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { OperatorError } from '@heapferry/domain'
import { Redis, ReplyError } from 'ioredis'
import { freePort } from './free-port.ts'

/** A redis-server of heapferry's own: on 127.0.0.1, behind a password, with its data on disk between commands. */
export interface PrivateRedis {
  /** `redis://:password@127.0.0.1:port`; the same for as long as nothing else takes the port. */
  readonly url: string
  readonly pid: number
  /**
   * Makes sure that it answers: starts it again, with the same port and data, if it died.
   * @throws OperatorError when it cannot be started, or when another program has taken its port meanwhile
   */
  ensure(): Promise<void>
  /**
   * Shuts it down unless another client is connected, then it is left to that one. Its data stays either way.
   * Close connections of your own first: they count as clients.
   */
  close(): Promise<void>
}

/** None of the candidates exists: one may be fetched. */
export class NoRedisServer extends OperatorError {
  override name = 'NoRedisServer'
}

/** How long a server may take to start or to end; nobody holds the lock of its folder longer than twice that. */
const startMs = 60_000
/** Loopback answers within a millisecond or so; a server that forks to rewrite its file can take a good while longer. */
const probeMs = 2_000
const pollMs = 20
const strangerCutsOff = 3
const hangUpMs = 250

/**
 * Starts the private redis-server of a state folder, or finds it running. The same folder gives the same server, also
 * to two commands that start at the same moment. It runs in a session of its own: Ctrl-C in the terminal and the end
 * of this process do not end it, only `close` does.
 *
 * @param options.home state folder; the server lives in `<home>/redis`
 * @param options.serverCandidates programs tried in order; bare names are looked up on PATH
 * @throws NoRedisServer when no candidate exists; OperatorError when the server ends or stays silent instead of starting
 */
export async function openPrivateRedis(options: {
  home: string
  serverCandidates: readonly string[]
}): Promise<PrivateRedis> {
  const named = resolve(options.home, 'redis')
  await mkdir(named, { recursive: true, mode: 0o700 })
  // One name for one folder, by whatever links it is reached: it is what a server is known by.
  const folder = await realpath(named)
  // A folder that was there before may be open to others; it holds the password and people's data.
  await chmod(folder, 0o700)

  const connectOrStart = () =>
    withLock(join(folder, 'start.lock'), () => findOrStartServer(folder, options.serverCandidates))
  // The connection stays open until `close`: by it another command sees that somebody still needs the server.
  let server = await connectOrStart()
  let restarting: Promise<void> | undefined
  let closed = false

  async function restart(): Promise<void> {
    server.connection.disconnect()
    const before = server.settings
    server = await connectOrStart()
    if (server.settings.port === before.port) return
    throw new OperatorError(
      `another program has taken port ${before.port}, where the private Redis was`,
      'Start heapferry again: it will find its Redis on another port, with everything it knew.',
    )
  }

  return {
    get url() {
      return `redis://:${server.settings.password}@127.0.0.1:${server.settings.port}`
    },
    get pid() {
      return server.pid
    },
    async ensure() {
      if (closed) throw new Error('the private Redis was closed')
      if (await answers(server.connection)) return
      restarting ??= restart().finally(() => {
        restarting = undefined
      })
      await restarting
    },
    async close() {
      if (closed) return
      closed = true
      // Under the lock, so that nobody finds the server running between our look at its clients and its end.
      await withLock(join(folder, 'start.lock'), () => shutDownUnlessUsed(server))
    },
  }
}

interface Settings {
  port: number
  password: string
}

interface Server {
  settings: Settings
  connection: Redis
  pid: number
}

async function findOrStartServer(folder: string, candidates: readonly string[]): Promise<Server> {
  let settings = (await readSettings(folder)) ?? (await newSettings(folder))
  let child: Child | undefined
  let cutOffs = 0

  for (const deadlineMs = performance.now() + startMs; performance.now() < deadlineMs; await delay(pollMs)) {
    // Asked before the probe: a server that starts, is seen by nobody and ends must not look as if it was still coming.
    const ended = child?.ended() ?? false
    const probe = await probeServer(settings, folder)
    // A server that was killed cuts off who connects to it in its last moment, a stranger does so every time.
    if (probe.kind === 'cut_off' && ++cutOffs < strangerCutsOff) continue
    switch (probe.kind) {
      case 'ready':
        return { settings, connection: probe.connection, pid: probe.pid }
      case 'free':
        if (ended) throw await endedAtStart(folder)
        child ??= await spawnServer(folder, candidates)
        break
      case 'cut_off':
      case 'taken':
        // Two servers must never write the same files: one of ours that hangs is waited for, not replaced.
        if ((await livingServer(folder)) !== null) break
        // With a new password too: a stranger was just told the old one.
        settings = await newSettings(folder)
        child = undefined
        cutOffs = 0
        break
      case 'busy':
        break
    }
  }
  const pid = await livingServer(folder)
  const hangs = pid === null ? '' : ` If it hangs instead, end it: process ${pid}, which is that redis-server.`
  throw new OperatorError(
    `the private Redis in ${folder} gave no answer for ${startMs / 1000} s`,
    `Look at ${logOf(folder)}. While it is loading its data, wait and start heapferry again.${hangs}`,
  )
}

type Probe =
  /** It says that it was started with the settings of our folder. One without a password takes any, so that says nothing. */
  | { kind: 'ready'; connection: Redis; pid: number }
  /** Ours, but loading its data. */
  | { kind: 'busy' }
  | { kind: 'free' }
  /** Another program answered, or whatever has the port does not say what it is. */
  | { kind: 'taken' }
  /** The connection broke before anything was answered. */
  | { kind: 'cut_off' }

async function probeServer(settings: Settings, folder: string): Promise<Probe> {
  const connection = new Redis({
    host: '127.0.0.1',
    port: settings.port,
    password: settings.password,
    lazyConnect: true,
    // A connection that breaks stays broken: `ensure` makes a new one, under the lock.
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
  })
  // ioredis rejects `connect` with "Connection is closed." and tells the cause only here.
  const faults: Error[] = []
  connection.on('error', (fault) => faults.push(fault))
  try {
    const info = await withDeadline(connection.connect().then(() => connection.info()))
    if (info === undefined) {
      connection.disconnect()
      return { kind: 'taken' }
    }
    const pid = Number(/^process_id:(\d+)/m.exec(info)?.[1])
    if (!(await isOfFolder(info, folder))) {
      connection.disconnect()
      return { kind: 'taken' }
    }
    if (/^loading:0/m.test(info) && Number.isInteger(pid)) return { kind: 'ready', connection, pid }
    connection.disconnect()
    return { kind: 'busy' }
  } catch (cause) {
    connection.disconnect()
    const messages = [cause, ...faults].map(String)
    if (messages.some((message) => message.includes('ECONNREFUSED'))) return { kind: 'free' }
    return { kind: cause instanceof ReplyError ? 'taken' : 'cut_off' }
  }
}

async function isOfFolder(info: string, folder: string): Promise<boolean> {
  const file = /^config_file:(.+?)\r?$/m.exec(info)?.[1]
  if (file === undefined) return false
  return isSame(file, settingsFileOf(folder))
}

/** Whether two paths, by links or mounts perhaps, lead to one file. */
async function isSame(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path, { bigint: true }).catch(() => null)))
  return a?.ino !== undefined && a.ino === b?.ino && a.dev === b.dev
}

/** Undefined when it takes longer than a local server should; a rejection that comes later is then of no interest. */
async function withDeadline<T>(answer: Promise<T>): Promise<T | undefined> {
  const timeout = new AbortController()
  try {
    return await Promise.race([answer, delay(probeMs, undefined, { signal: timeout.signal })])
  } finally {
    timeout.abort()
  }
}

async function answers(connection: Redis): Promise<boolean> {
  if (connection.status !== 'ready') return false
  try {
    return (await withDeadline(connection.ping())) === 'PONG'
  } catch {
    // Whatever was wrong with this connection, the caller finds out by making another.
    return false
  }
}

interface Child {
  ended(): boolean
}

/** Standard output is the log, so that what the loader or a wrapper script says before Redis runs is there as well. */
async function spawnServer(folder: string, candidates: readonly string[]): Promise<Child> {
  const log = await open(logOf(folder), 'a', 0o600)
  try {
    for (const program of candidates) {
      const child = withoutModesForOthers(() =>
        spawn(program, [settingsFileOf(folder)], {
          cwd: folder,
          detached: true,
          stdio: ['ignore', log.fd, log.fd],
        }),
      )
      let ended = false
      child.on('exit', () => {
        ended = true
      })
      const fault = await new Promise<Error | undefined>((settle) => {
        child.once('spawn', () => settle(undefined))
        child.once('error', settle)
      })
      if (fault === undefined) {
        child.unref()
        return { ended: () => ended }
      }
    }
  } finally {
    await log.close()
  }
  throw new NoRedisServer(
    `no Redis found (tried ${candidates.join(', ')})`,
    'Install one (`apt-get install redis-server`, `brew install redis`, `dnf install valkey`), or set REDIS_URL to one that you run.',
  )
}

/** A redis-server has no setting for the modes of its files, it takes them from the umask that it inherits. */
function withoutModesForOthers<T>(start: () => T): T {
  const umask = process.umask(0o077)
  try {
    return start()
  } finally {
    process.umask(umask)
  }
}

async function endedAtStart(folder: string): Promise<OperatorError> {
  const log = await readIfThere(logOf(folder))
  const lastLines = log.trimEnd().split('\n').slice(-5)
  return new OperatorError(
    ['the private Redis ended while it started; it said last:', ...lastLines],
    `The whole log is ${logOf(folder)}. Its data is in the same folder: do not delete it, or runs cannot be resumed.`,
  )
}

async function shutDownUnlessUsed({ connection, pid }: Server): Promise<void> {
  try {
    if (!(await answers(connection))) return
    // Connections that this process has just closed may still be listed for a moment.
    for (const deadlineMs = performance.now() + hangUpMs; (await countClients(connection)) > 1; await delay(pollMs))
      if (performance.now() > deadlineMs) return
    await endServer(connection)
    for (const deadlineMs = performance.now() + startMs; await isAlive(pid); await delay(pollMs))
      if (performance.now() > deadlineMs)
        throw new Error(`the private Redis (process ${pid}) did not end after SHUTDOWN`)
  } finally {
    connection.disconnect()
  }
}

async function countClients(connection: Redis): Promise<number> {
  const clients = String(await connection.client('LIST'))
  return clients.trim().split('\n').length
}

/** @throws what Redis says when it refuses to end, for instance because the disk is full */
async function endServer(connection: Redis): Promise<void> {
  try {
    await connection.shutdown()
  } catch (refusal) {
    // Obeying means to hang up without an answer; any answer is a refusal.
    if (refusal instanceof ReplyError) throw refusal
  }
}

/**
 * The process of the server that runs in the folder; null where none does. A server of ours writes its pid there, and
 * leaves it behind when it is killed: another program may have that pid by now.
 */
async function livingServer(folder: string): Promise<number | null> {
  const pid = Number(await readIfThere(pidFileOf(folder)))
  return pid > 0 && (await isAlive(pid)) && (await worksIn(pid, folder)) ? pid : null
}

/** Whether the process is a server of the folder: on Linux by the folder it works in, elsewhere by its program. */
async function worksIn(pid: number, folder: string): Promise<boolean> {
  if (process.platform === 'linux') return isSame(`/proc/${pid}/cwd`, folder)
  return /^(?:redis|valkey)-server/.test(basename(await told('ps', '-o', 'comm=', '-p', String(pid))))
}

/** When a process began, in whatever words: together with the pid it names one process and no other. */
async function beginningOf(pid: number): Promise<string> {
  // Its 22nd field, in ticks since the machine was started. The name before may hold anything, also parentheses.
  if (process.platform === 'linux') {
    const fields = await readIfThere(`/proc/${pid}/stat`)
    return fields.slice(fields.lastIndexOf(')')).split(' ')[20] ?? ''
  }
  return (await told('ps', '-o', 'lstart=', '-p', String(pid))).replaceAll(/\s+/g, '-')
}

async function told(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args).catch(() => ({ stdout: '' }))
  return stdout.trim()
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (fault) {
    // EPERM: it lives, as somebody else's.
    return hasCode(fault, 'EPERM')
  }
  // In a container without an init process an orphan that ended stays in the list as a zombie. Elsewhere than on
  // Linux the file does not exist.
  return !/^\d+ \(.*\) Z /s.test(await readIfThere(`/proc/${pid}/stat`))
}

const settingsFileOf = (folder: string) => join(folder, 'redis.conf')
const pidFileOf = (folder: string) => join(folder, 'redis.pid')
const logOf = (folder: string) => join(folder, 'redis.log')

async function readSettings(folder: string): Promise<Settings | undefined> {
  const text = await readIfThere(settingsFileOf(folder))
  // Those of a folder that was copied or moved would have its server write where it was.
  if (!text.includes(`\ndir ${quoted(folder)}\n`)) return undefined
  const port = Number(/^port (\d+)$/m.exec(text)?.[1])
  const password = /^requirepass ([0-9a-f]+)$/m.exec(text)?.[1]
  return Number.isInteger(port) && password !== undefined ? { port, password } : undefined
}

/** The password is in a file that only the user may read: what is in argv, everybody on the machine may. */
async function newSettings(folder: string): Promise<Settings> {
  const settings = { port: await freePort(), password: randomBytes(24).toString('hex') }
  const lines = [
    'bind 127.0.0.1',
    `port ${settings.port}`,
    'protected-mode yes',
    `requirepass ${settings.password}`,
    `dir ${quoted(folder)}`,
    `pidfile ${quoted(pidFileOf(folder))}`,
    'logfile ""',
    'daemonize no',
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
  ]
  const half = `${settingsFileOf(folder)}.${randomUUID()}`
  await writeFile(half, `${lines.join('\n')}\n`, { mode: 0o600 })
  await rename(half, settingsFileOf(folder))
  return settings
}

/** redis.conf takes C-like escapes between double quotes. */
function quoted(path: string): string {
  return `"${path.replace(/["\\]/g, '\\$&')}"`
}

/** Locks that this process holds: after a restart of a container the pid in an old lock file can be our own. */
const held = new Set<string>()

/**
 * Runs `work` while no other process does the same for this file. The lock of a process that died is taken over at
 * once, also where another program has its pid by now; that of one that stands still, after a while.
 */
async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const mine = `${process.pid} ${await beginningOf(process.pid)} ${randomUUID()}`
  held.add(mine)
  // Written first and linked into place: a lock without its owner's pid is never to be seen.
  const half = `${path}.${randomUUID()}`
  await writeFile(half, mine, { mode: 0o600 })
  try {
    while (!(await linkUnlessThere(half, path))) {
      await removeIfStale(path)
      await delay(pollMs)
    }
  } finally {
    await unlink(half)
  }
  try {
    return await work()
  } finally {
    held.delete(mine)
    if ((await readIfThere(path)) === mine) await rm(path, { force: true })
  }
}

async function linkUnlessThere(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (fault) {
    if (hasCode(fault, 'EEXIST')) return false
    throw fault
  }
}

async function removeIfStale(path: string): Promise<void> {
  const owner = await readIfThere(path)
  if (owner === '' || !(await isStale(path, owner))) return
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch (fault) {
    if (hasCode(fault, 'ENOENT')) return
    throw fault
  }
  // Somebody else may have taken the stale lock over in between; then it was theirs that we moved: give it back.
  if ((await readIfThere(aside)) !== owner) await linkUnlessThere(aside, path)
  await unlink(aside)
}

async function isStale(path: string, owner: string): Promise<boolean> {
  const [pidText, beginning] = owner.split(' ')
  const pid = Number(pidText)
  const isThere = pid === process.pid ? held.has(owner) : (await isAlive(pid)) && (await beginningOf(pid)) === beginning
  if (!isThere) return true
  try {
    return Date.now() - (await stat(path)).mtimeMs > 2 * startMs
  } catch (fault) {
    if (hasCode(fault, 'ENOENT')) return false
    throw fault
  }
}

/** `''` when there is no such file, or it is about a process that ended while it was read (ESRCH, from /proc). */
async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (fault) {
    if (hasCode(fault, 'ENOENT') || hasCode(fault, 'ESRCH')) return ''
    throw fault
  }
}

function hasCode(fault: unknown, code: string): boolean {
  return fault instanceof Error && 'code' in fault && fault.code === code
}
