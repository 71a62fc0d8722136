import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { RedisRefusal } from '@heapferry/domain'
import { connectRedis, type Redis } from '@heapferry/queue'
import { onTestFinished } from 'vitest'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { type RedisProcess } from '../support/redis-process.ts'
import { until } from '../support/until.ts'

export interface Fault {
  refusal: RedisRefusal
  settings?: string[]
  /** Whether what is there can be read meanwhile: true where it is not said. */
  isReadable?: boolean
  begin(server: RedisProcess): Promise<unknown>
  end(server: RedisProcess): Promise<unknown>
}

/** What can become of a Redis while it is used. */
export const faults: [string, Fault][] = [
  [
    'is full',
    {
      refusal: 'full',
      begin: ({ admin }) => admin.config('SET', 'maxmemory', '1'),
      end: ({ admin }) => admin.config('SET', 'maxmemory', '0'),
    },
  ],
  [
    'became a read-only replica',
    {
      refusal: 'read_only',
      begin: async ({ admin }) => admin.replicaof('127.0.0.1', await freePort()),
      end: ({ admin }) => admin.replicaof('NO', 'ONE'),
    },
  ],
  [
    'takes a right away',
    {
      refusal: 'forbidden',
      begin: ({ admin }) => admin.acl('SETUSER', 'worker', '-@write'),
      end: ({ admin }) => admin.acl('SETUSER', 'worker', '+@all'),
    },
  ],
  [
    'cannot save to its disk',
    {
      refusal: 'disk_full',
      settings: ['--save', '3600 1', '--rdb-save-incremental-fsync', 'no'],
      begin: async ({ admin, folder }) => {
        // No file can take the place of a folder with something in it.
        await mkdir(path.join(folder, 'dump.rdb'))
        await writeFile(path.join(folder, 'dump.rdb', 'something'), '')
        await savedInBackground(admin)
      },
      end: async ({ admin, folder }) => {
        await rm(path.join(folder, 'dump.rdb'), { recursive: true })
        await savedInBackground(admin)
      },
    },
  ],
  [
    'has lost its replicas',
    {
      refusal: 'too_few_replicas',
      begin: ({ admin }) => admin.config('SET', 'min-replicas-to-write', '1'),
      end: ({ admin }) => admin.config('SET', 'min-replicas-to-write', '0'),
    },
  ],
  [
    'has lost its primary',
    {
      refusal: 'no_primary',
      isReadable: false,
      begin: async ({ admin }) => {
        await admin.config('SET', 'replica-serve-stale-data', 'no')
        await admin.replicaof('127.0.0.1', await freePort())
      },
      end: ({ admin }) => admin.replicaof('NO', 'ONE'),
    },
  ],
  [
    'is busy with a script',
    {
      refusal: 'busy',
      isReadable: false,
      // Far above what a script of heapferry's own takes on a busy machine.
      settings: ['--busy-reply-threshold', '200'],
      begin: async ({ admin }) => {
        const busy = admin.duplicate()
        onTestFinished(() => busy.disconnect())
        void busy.eval('while true do end', 0).catch(() => {})
        await until('it is busy', async () => admin.get('x').then(() => false, isBusy))
      },
      end: ({ admin }) => admin.call('SCRIPT', 'KILL'),
    },
  ],
]

const isBusy = (error: unknown) => String(error).includes('BUSY')

async function savedInBackground(admin: Redis): Promise<void> {
  await admin.bgsave().catch(() => {})
  await until('it has tried', async () => /rdb_bgsave_in_progress:0/.test(await admin.info('persistence')))
}

/** As a worker is connected, with what it is told. */
export async function worker({ port, admin }: RedisProcess) {
  await admin.acl('SETUSER', 'worker', 'on', '>secret', '~*', '&*', '+@all')
  const told: (RedisRefusal | null)[] = []
  const redis = await connectRedis(
    `redis://worker:secret@127.0.0.1:${port}`,
    () => {},
    (refusal) => told.push(refusal),
  )
  onTestFinished(() => redis.disconnect())
  return { redis, told }
}
