import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { loadSettings } from '@heapferry/config'
import { connectRedis } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { temporaryFolder } from '../support/folder.ts'
import { serverCandidates } from '../support/server-candidates.ts'

const Service = z.object({ environment: z.record(z.string(), z.unknown()), secrets: z.array(z.string()) })
const Compose = z.object({
  services: z.object({
    redis: z.object({ command: z.tuple([z.literal('sh'), z.literal('-c'), z.string()]), secrets: z.array(z.string()) }),
    producer: Service,
    worker: Service,
    dashboard: Service,
  }),
  secrets: z.record(z.string(), z.object({ file: z.string() })),
})
const text = readFileSync(path.resolve(import.meta.dirname, '../../docker-compose.yml'), 'utf8')
const { services, secrets } = Compose.parse(parse(text, { merge: true }))

test('every service of docker-compose.yml has the password of its Redis, from a file alone', () => {
  expect(secrets['redis_password']?.file).toMatch(/secrets\}\/redis_password$/)
  expect(services.redis.secrets).toEqual(['redis_password'])
  for (const service of ['producer', 'worker', 'dashboard'] as const) {
    const { environment } = services[service]
    expect([service, services[service].secrets]).toEqual([service, expect.arrayContaining(['redis_password'])])
    expect([service, environment['REDIS_URL'], environment['REDIS_PASSWORD_FILE']]).toEqual([
      service,
      'redis://redis:6379',
      '/run/secrets/redis_password',
    ])
  }
  expect(text).not.toMatch(/REDIS_PASSWORD:/)
})

test('the Redis of docker-compose.yml lets nobody in without its password, whatever signs that has', async () => {
  const password = `p4ss:@/%40 \\ "wörd" $HOME '; #`
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'redis_password'), `${password}\n`)
  const port = await freePort()
  const redis = redisIn(folder, port)
  onTestFinished(async () => {
    if (redis.exitCode !== null) return
    redis.kill()
    await once(redis, 'exit')
  })

  for await (const line of createInterface({ input: redis.stdout })) if (line.includes('Ready to accept')) break
  const url = `redis://127.0.0.1:${port}`
  const given = { REDIS_URL: url, REDIS_PASSWORD_FILE: path.join(folder, 'redis_password') }
  const { REDIS_URL: withPassword = '' } = loadSettings({}, given, folder)
  const known = await connectRedis(withPassword, () => {})
  onTestFinished(() => known.disconnect())
  expect(await known.config('GET', 'maxmemory-policy')).toContain('noeviction')
  expect(await known.config('GET', 'appendonly')).toContain('yes')
  await expect(connectRedis(url, () => {})).rejects.toThrow('NOAUTH')
})

test('the Redis of docker-compose.yml does not start without a password', async () => {
  const withEmptyFile = await temporaryFolder()
  await writeFile(path.join(withEmptyFile, 'redis_password'), '')
  for (const folder of [withEmptyFile, await temporaryFolder()]) {
    const redis = redisIn(folder, await freePort())
    onTestFinished(() => void redis.kill())
    const outputs = createInterface({ input: redis.stdout })
    for await (const line of outputs) expect(line).not.toContain('Ready to accept')
    expect(redis.exitCode ?? (await once(redis, 'exit'))[0]).toBeGreaterThan(0)
  }
})

/** Of this machine instead of the image's, with its secret and all that it writes in a folder. */
function redisIn(folder: string, port: number) {
  const server = serverCandidates.find((candidate) => spawnSync(candidate, ['--version']).status === 0)
  const script = services.redis.command[2]
    .replaceAll('$$', '$')
    .replaceAll(/\/tmp\/|\/run\/secrets\//g, `${folder}/`)
    .replace('exec redis-server', `exec '${server}'`)
    .replace('/data', folder)
    .trimEnd()
  return spawn('sh', ['-c', `${script} --port ${port} --bind 127.0.0.1`], { stdio: ['ignore', 'pipe', 'ignore'] })
}
