import { redisMemory } from '@heapferry/queue'
import { expect, test } from 'vitest'
import { makeCertificates, tlsSettings } from '../support/certificates.ts'
import { startClusterOfOne } from '../support/redis-cluster.ts'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { startRedis } from '../support/redis-process.ts'
import { startSentinels } from '../support/redis-sentinels.ts'
import { connected, refusalTo, rights, works } from './whole-run.ts'

test('a Redis over TLS is trusted by the authority that is given, and by no other', async () => {
  const certificates = await makeCertificates()
  const port = await freePort()
  await startRedis(tlsSettings(certificates, port))
  const url = `rediss://127.0.0.1:${port}`
  expect(await refusalTo(url)).toMatchObject({ message: expect.stringMatching(/does not answer: .*certificate/) })
  expect(await refusalTo(`${url}?tlsCa=${certificates.folder}/none.crt`)).toMatchObject({
    message: expect.stringContaining('none.crt, for the TLS of Redis, cannot be read'),
    hint: expect.stringContaining('REDIS_TLS_CA'),
  })
  const redis = await connected(`${url}?tlsCa=${certificates.ca}`)
  await works(redis)
})

test('a Redis that asks its clients for a certificate is shown it', async () => {
  const certificates = await makeCertificates()
  const { ca, client } = certificates
  const port = await freePort()
  await startRedis(tlsSettings(certificates, port, 'yes'))
  const url = `rediss://127.0.0.1:${port}?tlsCa=${ca}`
  expect(await refusalTo(url)).toMatchObject({
    message: expect.stringContaining('does not answer'),
    hint: expect.stringContaining('REDIS_TLS_CERT'),
  })
  await works(await connected(`${url}&tlsCert=${client.cert}&tlsKey=${client.key}`))
})

test('any node leads to its cluster, in which a user with the rights of the hint can do all there is to do', async () => {
  const { admin, port } = await startClusterOfOne()
  await admin.acl('SETUSER', 'worker', 'on', '>secret', ...rights)
  const redis = await connected(`redis://worker:secret@127.0.0.1:${port}`)
  expect(redis.isCluster).toBe(true)
  await works(redis)
  const keys = await admin.keys('*')
  expect(keys.filter((key) => key !== 'heapferry-ledger:runs' && !key.includes('{ways}'))).toEqual([])
})

test('a cluster that evicts is refused, whichever node does', async () => {
  const { url } = await startClusterOfOne(['--maxmemory-policy', 'allkeys-lru'])
  expect(await refusalTo(url)).toMatchObject({ message: expect.stringContaining('may throw away') })
})

test('the memory of a cluster is that of its fullest node', async () => {
  const { url } = await startClusterOfOne(['--maxmemory', '64mb'])
  const { usedBytes, maxBytes } = await redisMemory(await connected(url))
  expect(maxBytes).toBe(64 * 1024 * 1024)
  expect(usedBytes).toBeGreaterThan(0)
})

test('Sentinels lead to the Redis that they watch; a wrong name, and a password that is missing, are told', async () => {
  const { url, sentinelPassword, servers } = await startSentinels()
  const withPassword = `${url}&sentinelPassword=${encodeURIComponent(sentinelPassword)}`
  await works(await connected(withPassword))
  expect(await servers[0]?.admin.exists('heapferry-ledger:runs')).toBe(1)
  expect(await refusalTo(url)).toMatchObject({ message: expect.stringMatching(/does not answer: .*NOAUTH/) })
  expect(await refusalTo(withPassword.replace('name=own', 'name=other'))).toMatchObject({
    message: expect.stringMatching(/does not answer: .*No such master/),
    hint: expect.stringContaining('?name='),
  })
})
