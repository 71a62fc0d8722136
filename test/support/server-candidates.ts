import path from 'node:path'

/** Where a redis-server may be: on PATH, or where one is put for a clone. */
export const serverCandidates = [
  'redis-server',
  'valkey-server',
  path.resolve(import.meta.dirname, '../../.heapferry/bin/redis-server'),
]
