import { homedir } from 'node:os'
import path from 'node:path'
import type { RunId } from '@heapferry/domain'
import type { Settings } from './settings.ts'

/** Where things lie below HEAPFERRY_HOME. */
export function homeOf(home: string) {
  return {
    /** What is kept of a run: logs, reports. */
    folder: (run: RunId): string => path.join(home, 'runs', run),
    log: (run: RunId, role: string): string => path.join(home, 'runs', run, `${role}.log`),
  }
}

/** Where producer and workers of a run share files: a folder, or `s3://bucket/prefix`. */
export function workStoreOf({ HEAPFERRY_HOME, HEAPFERRY_WORK_STORE }: Settings): string {
  return HEAPFERRY_WORK_STORE ?? path.join(HEAPFERRY_HOME, 'runs')
}

/** The user's folder for what can be fetched again. */
export function cacheFolder(): string {
  return path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'heapferry')
}
