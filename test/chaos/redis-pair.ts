import { once } from 'node:events'
import { Redis } from 'ioredis'
import { onTestFinished } from 'vitest'
import { type RedisProcess, startRedis } from '../support/redis-process.ts'
import { until } from '../support/until.ts'

/** Two Redis servers, of which one follows the other. Both write every command to an append-only file before they answer. */
export interface RedisPair {
  readonly primary: RedisServer
  /** Kills the primary, and starts it again with its data after a while. */
  killFor(ms: number): Promise<void>
  /**
   * The follower takes over, and the old primary follows it. Redis itself waits until the follower has everything, so no
   * commit is lost: what becomes of one that is lost is another matter.
   */
  failOver(): Promise<void>
}

interface RedisServer extends Pick<RedisProcess, 'port' | 'child' | 'folder'> {
  /** Waits while the server is dead or loads its data. */
  admin: Redis
}

const settings = ['--appendonly', 'yes', '--maxmemory-policy', 'noeviction']

export async function startRedisPair(): Promise<RedisPair> {
  let primary = withAdmin(await startRedis(settings))
  let follower = withAdmin(await startRedis([...settings, '--replicaof', `127.0.0.1 ${primary.port}`]))
  await untilFollowing()

  async function untilFollowing(): Promise<void> {
    // A follower that has just copied everything writes its file anew, and has the old one until that is done.
    const isReady = /^master_link_status:up[^]*^aof_rewrite_in_progress:0[^]*^aof_rewrite_scheduled:0/m
    await until(
      'the second Redis has everything',
      async () => {
        const [replication, persistence] = await Promise.all(
          ['replication', 'persistence'].map((section) => follower.admin.info(section)),
        )
        return isReady.test(`${replication}${persistence}`)
      },
      120_000,
    )
  }

  return {
    get primary() {
      return primary
    },
    async killFor(ms) {
      const { child, port, folder } = primary
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      await new Promise((resolve) => setTimeout(resolve, ms))
      const again = await startRedis([...settings, '--port', String(port), '--dir', folder])
      primary = { ...primary, child: again.child }
    },
    async failOver() {
      await untilFollowing()
      await primary.admin.call('FAILOVER', 'TO', '127.0.0.1', String(follower.port))
      await until('the second Redis is the primary', async () =>
        /^role:master/m.test(await follower.admin.info('replication')),
      )
      const before = primary
      primary = follower
      follower = before
    },
  }
}

function withAdmin({ port, child, folder }: RedisProcess): RedisServer {
  const admin = new Redis({ port, maxRetriesPerRequest: null, maxLoadingRetryTime: 500 })
  admin.on('error', () => {})
  onTestFinished(() => admin.disconnect())
  return { port, child, folder, admin }
}
