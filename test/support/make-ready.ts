import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fetchRedisServer } from '@heapferry/queue'
import { build, isStale } from '../../build.mjs'
import { serverCandidates } from './server-candidates.ts'

/** Before any test: those that start the command run what is compiled from these sources, and find a redis-server. */
export async function setup(): Promise<void> {
  if (isStale()) await build()
  if (serverCandidates.some((program) => spawnSync(program, ['--version']).status === 0)) return
  await fetchRedisServer(path.resolve(import.meta.dirname, '../../.heapferry'), (line) => console.log(line))
}
