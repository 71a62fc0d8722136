import { execFile } from 'node:child_process'
import { access, chmod, chown, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test } from 'vitest'
import { openPrivateRedis } from '../../packages/queue/src/private-redis.ts'
import { cloneForSetup, programsWithout } from './clone.ts'

const isDebianLike = await access('/usr/bin/dpkg-deb').then(
  () => true,
  () => false,
)
const nobody = 65_534

test('on Debian a user without root and without Redis gets one that runs', async (context) => {
  context.skip(!isDebianLike, 'needs apt-get and dpkg-deb, which this machine lacks')
  const folder = await cloneForSetup()
  onTestFinished(() => rm(folder, { recursive: true }))
  const path = await programsWithout(['redis-server', 'valkey-server'], join(folder, 'programs'))
  // As root this gives up root; else it stays who it is.
  const isRoot = process.getuid?.() === 0
  if (isRoot) {
    await chmod(folder, 0o755)
    await chown(folder, nobody, nobody)
  }
  const setup = () =>
    promisify(execFile)(process.execPath, ['setup.mjs'], {
      cwd: folder,
      env: { PATH: path, HOME: folder },
      ...(isRoot ? { uid: nobody, gid: nobody } : {}),
    })

  const first = await setup()
  expect(first.stderr).toMatch(/fetching[^]*Redis is ready/)
  const server = join(folder, '.heapferry', 'bin', 'redis-server')
  expect((await readdir(join(folder, '.heapferry'))).toSorted()).toEqual(['bin', 'redis-server'])
  expect((await setup()).stderr).toBe('')

  const redis = await openPrivateRedis({ home: join(folder, 'home'), serverCandidates: [server] })
  const client = new Redis(redis.url)
  try {
    expect(await client.ping()).toBe('PONG')
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(redis.pid)])
    expect(stdout).toContain('redis-server')
  } finally {
    await client.quit()
    await redis.close()
  }
})
