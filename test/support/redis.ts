import { connectRedis, openPrivateRedis, type PrivateRedis, type Redis } from '@heapferry/queue'
import { afterAll, beforeAll } from 'vitest'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { serverCandidates } from './server-candidates.ts'

/** A real redis-server for the tests of one file, empty at its start and gone after it. */
export function redisForTests(): { readonly redis: Redis; readonly server: PrivateRedis } {
  let open: { redis: Redis; server: PrivateRedis; home: string } | undefined
  beforeAll(async () => {
    const home = await mkdtemp(path.join(tmpdir(), 'heapferry-redis-'))
    const server = await openPrivateRedis({ home, serverCandidates })
    open = { home, server, redis: await connectRedis(server.url, () => {}) }
  })
  afterAll(async () => {
    open?.redis.disconnect()
    await open?.server.close()
    if (open) await rm(open.home, { recursive: true, force: true })
  })
  const opened = () => {
    if (!open) throw new Error('the tests have not begun')
    return open
  }
  return {
    get redis() {
      return opened().redis
    },
    get server() {
      return opened().server
    },
  }
}
