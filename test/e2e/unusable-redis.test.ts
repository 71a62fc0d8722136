import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { type RedisProcess, startRedis } from '../support/redis-process.ts'

const kinds: [string, () => Promise<RedisProcess>, RegExp][] = [
  ['a cluster without slots', () => withUser(['--cluster-enabled', 'yes']), /Redis Cluster[^]*→ [^]*CLUSTER INFO/],
  ['a Sentinel', sentinel, /is a Sentinel[^]*→ Set REDIS_URL[^]*SENTINEL get-master-addr-by-name/],
  ['a Redis whose user may not use INFO', () => withRights('-info'), /forbids[^]*'info'[^]*→ Allow it: ACL SETUSER/],
  ['a Redis whose user may not use EVAL', () => withRights('-eval'), /forbids[^]*'eval'[^]*→ Allow it: ACL SETUSER/],
]

test.each(kinds)(
  '%s is named with what to do instead, to those who look and to those who work',
  async (_, start, said) => {
    const { port } = await start()
    for (const args of [['status'], ['runs'], ['pause', 'a'], ['enqueue', 'export']]) {
      const { code, stdout, stderr } = await commandAt(`redis://worker:secret@127.0.0.1:${port}`, args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(said)
      expect(stderr).not.toMatch(/this is a bug|\n\s+at /)
    }
  },
)

test('at a read-only replica runs can be looked at; who would change one, or work, is told where to', async () => {
  const { port, admin } = await startRedis()
  await admin.acl('SETUSER', 'worker', 'on', '>secret', '~*', '&*', '+@all')
  await admin.replicaof('127.0.0.1', 1)
  const url = `redis://worker:secret@127.0.0.1:${port}`
  expect(await commandAt(url, ['runs'])).toMatchObject({ code: 0, stderr: '' })
  const { code, stderr } = await commandAt(url, ['enqueue', 'export'])
  expect(code).toBe(1)
  expect(stderr).toMatch(/^heapferry: This Redis is a read-only replica[^]*→ Set REDIS_URL to its primary/)
})

async function commandAt(url: string, args: string[]) {
  const folder = await temporaryFolder()
  await mkdir(path.join(folder, 'export'))
  await writeFile(path.join(folder, 'export', 'signup.csv'), 'event_id,user_id,time\n1,2,2023-01-01 00:00:00\n')
  const env = {
    POSTHOG_HOST: 'http://127.0.0.1:1',
    POSTHOG_API_KEY: 'phc_unusable',
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: url,
  }
  return heapferryHere(args, { cwd: folder, env })
}

function withRights(...rights: string[]): Promise<RedisProcess> {
  return withUser([], rights)
}

async function withUser(settings: string[], rights: string[] = []): Promise<RedisProcess> {
  const server = await startRedis(settings)
  await server.admin.acl('SETUSER', 'worker', 'on', '>secret', '~*', '&*', '+@all', ...rights)
  return server
}

async function sentinel(): Promise<RedisProcess> {
  const file = path.join(await temporaryFolder(), 'sentinel.conf')
  await writeFile(file, '')
  const server = await startRedis([], [file, '--sentinel'])
  await server.admin.acl('SETUSER', 'worker', 'on', '>secret', '~*', '&*', '+@all')
  return server
}
