import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { temporaryFolder } from './folder.ts'
import { type RedisProcess, startRedis } from './redis-process.ts'
import { until } from './until.ts'

export interface RedisWithSentinels {
  /** For REDIS_URL, with the password of the data and without that of the Sentinels. */
  url: string
  sentinelPassword: string
  /** The primary first, as it was when all began; each with a replica's settings and password. */
  servers: RedisProcess[]
  sentinels: RedisProcess[]
  /** Whom the Sentinels name now. */
  primaryPort(): Promise<number>
}

const password = 'of:its@data'
const sentinelPassword = 'of its Sentinels'

/** A primary with two replicas, watched by three Sentinels that take it for dead after a second. All end with the test. */
export async function startSentinels(): Promise<RedisWithSentinels> {
  const own = ['--requirepass', password, '--masterauth', password, '--appendonly', 'yes']
  const primary = await startRedis(own)
  const replicas = await Promise.all([1, 2].map(() => startRedis([...own, '--replicaof', `127.0.0.1 ${primary.port}`])))
  for (const { admin } of replicas)
    await until('the link is up', async () => /master_link_status:up/.test(await admin.info('replication')))
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(primary.port)))
  for (const { admin } of sentinels) {
    await until('it knows the others', async () => {
      const told = String(await admin.call('SENTINEL', 'MASTERS'))
      return told.includes('num-slaves,2,') && told.includes('num-other-sentinels,2,')
    })
  }
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
  return {
    url: `redis+sentinel://:${encodeURIComponent(password)}@${hosts}?name=own`,
    sentinelPassword,
    servers: [primary, ...replicas],
    sentinels,
    async primaryPort() {
      const told = String(await sentinels[0]?.admin.call('SENTINEL', 'get-master-addr-by-name', 'own'))
      return Number(told.split(',')[1])
    },
  }
}

async function startSentinel(port: number): Promise<RedisProcess> {
  const file = path.join(await temporaryFolder(), 'sentinel.conf')
  const lines = [
    `sentinel monitor own 127.0.0.1 ${port} 2`,
    `sentinel auth-pass own ${password}`,
    'sentinel down-after-milliseconds own 1000',
    'sentinel failover-timeout own 10000',
    `requirepass "${sentinelPassword}"`,
    `sentinel sentinel-pass "${sentinelPassword}"`,
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  return startRedis([], [file, '--sentinel'], sentinelPassword)
}
