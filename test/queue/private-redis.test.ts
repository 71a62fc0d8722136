import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { OperatorError } from '@heapferry/domain'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openPrivateRedis, type PrivateRedis } from '../../packages/queue/src/private-redis.ts'
import { startRedis } from '../support/redis-process.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'

let home: string
const opened: PrivateRedis[] = []

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'heapferry-private-redis-'))
})

afterEach(async () => {
  const servers = opened.splice(0)
  for (const server of servers) await server.close()
  const alive = servers.map(({ pid }) => pid).filter(isAlive)
  for (const pid of alive) process.kill(pid, 'SIGKILL')
  await rm(home, { recursive: true })
  expect(alive).toEqual([])
})

async function open(candidates = serverCandidates): Promise<PrivateRedis> {
  const server = await openPrivateRedis({ home, serverCandidates: candidates })
  opened.push(server)
  return server
}

/** Runs commands on a connection of its own, which is gone afterwards also for the server. */
async function ask<T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { retryStrategy: () => null })
  redis.on('error', () => undefined)
  try {
    return await work(redis)
  } finally {
    if (redis.status === 'ready') await redis.quit()
    else redis.disconnect()
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  return !isZombie(pid)
}

/** A process that ended is listed until its parent has taken note. Only Linux has the file. */
function isZombie(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

async function death(pid: number): Promise<void> {
  while (isAlive(pid)) await delay(5)
}

const closeIt = async (server: PrivateRedis) => {
  await server.close()
  opened.splice(opened.indexOf(server), 1)
}

test('what was written is there again after close and open, at the same address', async () => {
  const first = await open()
  await ask(first.url, (redis) => redis.set('ledger', 'row 7'))
  await closeIt(first)
  expect(isAlive(first.pid)).toBe(false)

  const second = await open()
  expect(second.pid).not.toBe(first.pid)
  expect(second.url).toBe(first.url)
  expect(await ask(second.url, (redis) => redis.get('ledger'))).toBe('row 7')
})

test('a killed server comes back by ensure with the same address and data', async () => {
  const server = await open()
  const { pid, url } = server
  await ask(url, (redis) => redis.set('ledger', 'row 7'))
  process.kill(pid, 'SIGKILL')
  await death(pid)

  // Two at once: both wait for the one restart.
  await Promise.all([server.ensure(), server.ensure()])
  expect(server.pid).not.toBe(pid)
  expect(server.url).toBe(url)
  expect(await ask(url, (redis) => redis.get('ledger'))).toBe('row 7')
})

test('a port whose holder cuts off who connects, as a server does that is just killed, is asked again and not left', async () => {
  const server = await open()
  const { pid, url } = server
  process.kill(pid, 'SIGKILL')
  await death(pid)
  const dying = createServer((socket) => {
    socket.destroy()
    dying.close()
  })
  // A process that has ended may have its port for a moment more.
  await until('the port is free', () =>
    once(dying.listen(Number(new URL(url).port), '127.0.0.1'), 'listening').then(
      () => true,
      () => false,
    ),
  )
  await server.ensure()
  expect(server.url).toBe(url)
})

test.runIf(process.platform === 'linux')(
  'while it is away no connection of any program is given its port, not even a client’s that tries it again',
  async () => {
    const [least = 0] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split('\t').map(Number)
    expect(least).toBeGreaterThan(1024)
    expect(Number(new URL((await open()).url).port)).toBeLessThan(least)
  },
)

test('ensure leaves a server alone that answers', async () => {
  const server = await open()
  const { pid } = server
  await server.ensure()
  expect(server.pid).toBe(pid)
})

test('commands that start at the same moment, in one process and in others, share one server', async () => {
  const elsewhere = `
    import { openPrivateRedis } from ${JSON.stringify(new URL('../../packages/queue/src/private-redis.ts', import.meta.url).href)}
    const server = await openPrivateRedis({ home: ${JSON.stringify(home)}, serverCandidates: ${JSON.stringify(serverCandidates)} })
    process.stdout.write(String(server.pid), () => process.exit())
  `
  const inAnotherProcess = async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      elsewhere,
    ])
    return Number(stdout)
  }
  const [one, two, three, four] = await Promise.all([inAnotherProcess(), inAnotherProcess(), open(), open()])
  expect(new Set([one, two, three.pid, four.pid]).size).toBe(1)
  // The two other processes have ended, the server that one of them may have started has not.
  expect(await ask(three.url, (redis) => redis.ping())).toBe('PONG')
})

test('a lock left behind by a process that died holds nobody up', async () => {
  const server = await open()
  await closeIt(server)
  const dead = execFile(process.execPath, ['--version'])
  await new Promise((settle) => dead.once('exit', settle))
  await writeFile(join(home, 'redis', 'start.lock'), `${dead.pid} of-the-dead`)
  await open()
  await closeIt(opened[0] ?? (await open()))
  // After a restart of a container our own pid may be the one in the file.
  await writeFile(join(home, 'redis', 'start.lock'), `${process.pid} of-an-earlier-life`)
  await open()
})

test('without the password it answers nothing, and the password is in no command line and in no file for others', async () => {
  const server = await open()
  const { port, password } = new URL(server.url)
  const stranger = ask(`redis://127.0.0.1:${port}`, (redis) => redis.get('ledger'))
  await expect(stranger).rejects.toThrow(/NOAUTH/)

  const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(server.pid)])
  expect(stdout).toContain('redis')
  expect(stdout).not.toContain(password)
  expect((await stat(join(home, 'redis'))).mode & 0o777).toBe(0o700)
  expect((await stat(join(home, 'redis', 'redis.conf'))).mode & 0o777).toBe(0o600)
})

test('Ctrl-C in the terminal does not reach it: it is in a session of its own', async () => {
  const server = await open()
  const { stdout } = await promisify(execFile)('ps', ['-o', 'sid=', '-p', String(server.pid)])
  expect(Number(stdout)).toBe(server.pid)
})

test('it keeps what it is told: an append-only file, and never evicts', async () => {
  const server = await open()
  const settings = await ask(server.url, (redis) => redis.config('GET', 'append*', 'maxmemory-policy', 'save'))
  expect(settings).toEqual(expect.arrayContaining(['appendonly', 'yes', 'appendfsync', 'everysec', 'noeviction']))
})

test('close leaves it running while another client is connected', async () => {
  const server = await open()
  const other = await open()
  await closeIt(server)
  expect(isAlive(server.pid)).toBe(true)
  await closeIt(other)
  expect(isAlive(server.pid)).toBe(false)
})

test.each([
  ['hangs up on everybody', (socket: Socket) => socket.end()],
  ['speaks another protocol', (socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ['takes connections and says nothing', (_socket: Socket) => undefined],
])('when a program that %s has its port, it opens on another with its data', async (_name, onConnection) => {
  const before = await open()
  await ask(before.url, (redis) => redis.set('ledger', 'row 7'))
  await closeIt(before)

  const sockets: Socket[] = []
  const squatter = createServer((socket) => {
    sockets.push(socket)
    onConnection(socket)
  })
  await new Promise<void>((settle) => squatter.listen(Number(new URL(before.url).port), '127.0.0.1', settle))
  try {
    const after = await open()
    expect(new URL(after.url).port).not.toBe(new URL(before.url).port)
    // The squatter was told the old password.
    expect(new URL(after.url).password).not.toBe(new URL(before.url).password)
    expect(await ask(after.url, (redis) => redis.get('ledger'))).toBe('row 7')
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise((settle) => squatter.close(settle))
  }
})

test('a pid file that names another program misleads nobody', async () => {
  const server = await open()
  await closeIt(server)
  await writeFile(join(home, 'redis', 'redis.pid'), `${process.ppid}\n`)
  const again = await open()
  expect(again.pid).not.toBe(process.ppid)
  expect(await ask(again.url, (redis) => redis.ping())).toBe('PONG')
})

test('a Redis of somebody else at its port, which takes any password, is neither used nor ended', async () => {
  const before = await open()
  await ask(before.url, (redis) => redis.set('ledger', 'row 7'))
  await closeIt(before)
  const stranger = await startRedis(['--port', new URL(before.url).port])

  const after = await open()
  expect(after.pid).not.toBe(stranger.child.pid)
  expect(await ask(after.url, (redis) => redis.get('ledger'))).toBe('row 7')
  await closeIt(after)
  expect(await stranger.admin.dbsize()).toBe(0)
})

test('one that has our very password is not used either', async () => {
  const before = await open()
  const { port, password } = new URL(before.url)
  await closeIt(before)
  const stranger = await startRedis(['--port', port, '--requirepass', password])
  const after = await open()
  expect(after.pid).not.toBe(stranger.child.pid)
  await closeIt(after)
  expect(await ask(before.url, (redis) => redis.dbsize())).toBe(0)
})

test('a pid file of another program and a port of one that says nothing hold nobody up together', async () => {
  const before = await open()
  await ask(before.url, (redis) => redis.set('ledger', 'row 7'))
  await closeIt(before)
  await writeFile(join(home, 'redis', 'redis.pid'), `${process.ppid}\n`)
  const sockets: Socket[] = []
  const squatter = createServer((socket) => sockets.push(socket))
  await new Promise<void>((settle) => squatter.listen(Number(new URL(before.url).port), '127.0.0.1', settle))
  try {
    const after = await open()
    expect(await ask(after.url, (redis) => redis.get('ledger'))).toBe('row 7')
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise((settle) => squatter.close(settle))
  }
})

test('a lock whose pid belongs to another program by now holds nobody up', async () => {
  const server = await open()
  await closeIt(server)
  await writeFile(join(home, 'redis', 'start.lock'), `${process.ppid} 1 of-the-dead`)
  await open()
})

test('a folder that is reached by a link has the same server, and a copy of it one of its own', async () => {
  const server = await open()
  await ask(server.url, (redis) => redis.set('ledger', 'row 7'))
  const original = home
  const link = `${home}-link`
  const copy = `${home}-copy`
  try {
    await symlink(home, link)
    home = link
    expect((await open()).pid).toBe(server.pid)

    await cp(original, copy, { recursive: true })
    home = copy
    const own = await open()
    expect(own.pid).not.toBe(server.pid)
    await ask(own.url, (redis) => redis.set('ledger', 'row 8'))
    expect(await ask(server.url, (redis) => redis.get('ledger'))).toBe('row 7')
    expect(await ask(own.url, (redis) => redis.config('GET', 'dir'))).toEqual(['dir', join(copy, 'redis')])
  } finally {
    for (const one of opened.splice(0)) await one.close()
    home = original
    await rm(link, { force: true })
    await rm(copy, { recursive: true, force: true })
  }
})

test('a candidate that does not exist is passed over for the next', async () => {
  const server = await open([join(home, 'nowhere', 'redis-server'), ...serverCandidates])
  expect(await ask(server.url, (redis) => redis.ping())).toBe('PONG')
})

test('without any redis-server the error says what to install or set', async () => {
  const missing = await open([join(home, 'nowhere', 'redis-server')]).catch((fault: unknown) => fault)
  expect(missing).toBeInstanceOf(OperatorError)
  expect(missing).toMatchObject({
    message: expect.stringContaining('nowhere/redis-server'),
    hint: expect.stringMatching(/apt-get install redis-server.*REDIS_URL/),
  })
})

test('a server that ends while it starts is quoted with the last lines of its log', async () => {
  const server = await open()
  await closeIt(server)
  const settings = join(home, 'redis', 'redis.conf')
  await writeFile(settings, `${await readFile(settings, 'utf8')}no-such-directive yes\n`)
  const fault = await open().catch((cause: unknown) => cause)
  expect(fault).toBeInstanceOf(OperatorError)
  expect(fault).toMatchObject({
    message: expect.stringContaining('no-such-directive'),
    hint: expect.stringContaining('redis.log'),
  })
})

test('a folder with spaces and quotes in its name is taken as it is', async () => {
  home = join(home, `it's a "folder"`)
  const server = await open()
  await ask(server.url, (redis) => redis.set('ledger', 'row 7'))
  expect(await readFile(join(home, 'redis', 'redis.pid'), 'utf8')).toBe(`${server.pid}\n`)
})
