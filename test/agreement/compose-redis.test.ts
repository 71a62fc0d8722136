import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { loadSettings } from '@heapferry/config'
import { connectRedis } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { temporaryFolder } from '../support/folder.ts'
import { serverCandidates } from '../support/server-candidates.ts'

const Compose = z.object({
  services: z.object({
    redis: z.object({ command: z.string(), environment: z.record(z.string(), z.unknown()) }),
    producer: z.object({ environment: z.record(z.string(), z.unknown()) }),
    worker: z.object({ environment: z.record(z.string(), z.unknown()) }),
    dashboard: z.object({ environment: z.record(z.string(), z.unknown()) }),
  }),
})
const text = readFileSync(path.resolve(import.meta.dirname, '../../docker-compose.yml'), 'utf8')
const { services } = Compose.parse(parse(text, { merge: true }))

test('every service of docker-compose.yml has the password of its Redis from .env, and none begins without', () => {
  const told = '${REDIS_PASSWORD:?set REDIS_PASSWORD in .env'
  expect(services.redis.environment['REDISCLI_AUTH']).toContain(told)
  for (const service of ['producer', 'worker', 'dashboard'] as const) {
    const { REDIS_URL: url, REDIS_PASSWORD: password } = services[service].environment
    expect([service, url, password]).toEqual([service, 'redis://redis:6379', expect.stringContaining(told)])
  }
})

test('the Redis of docker-compose.yml lets nobody in without its password, whatever signs that has', async () => {
  const password = `p4ss:@/%40 "wörd" $HOME '; #`
  const folder = await temporaryFolder()
  const server = serverCandidates.find((candidate) => spawnSync(candidate, ['--version']).status === 0)
  const port = await freePort()
  // In the place of the image's own, which drops privileges and then does the same.
  const entryPoint = `#!/bin/sh\nshift\nexec '${server}' "$@" --port ${port} --bind 127.0.0.1 --dir '${folder}'\n`
  await writeFile(path.join(folder, 'docker-entrypoint.sh'), entryPoint, { mode: 0o755 })
  const [, script = ''] = /^sh -c '(.*)'$/s.exec(services.redis.command) ?? []
  const env = { PATH: `${folder}:${process.env.PATH}`, REDISCLI_AUTH: password }
  const redis = spawn('sh', ['-c', script.replaceAll('$$', '$')], { env, stdio: 'ignore' })
  onTestFinished(async () => {
    if (redis.exitCode !== null) return
    redis.kill()
    await once(redis, 'exit')
  })

  const url = `redis://127.0.0.1:${port}`
  const { REDIS_URL: withPassword = '' } = loadSettings({}, { REDIS_URL: url, REDIS_PASSWORD: password }, folder)
  const known = await connectRedis(withPassword, () => {})
  onTestFinished(() => known.disconnect())
  expect(await known.config('GET', 'maxmemory-policy')).toContain('noeviction')
  await expect(connectRedis(url, () => {})).rejects.toThrow('NOAUTH')
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
