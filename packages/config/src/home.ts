import { chmodSync, lstatSync, readdirSync } from 'node:fs'
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

/**
 * Takes from others what they may do with what is kept of runs: an earlier version, or whoever made the folders beforehand,
 * may have left it to the umask.
 * @returns what they still can, since it belongs to somebody else or lies where files have no modes
 */
export function closeHome(home: string): string[] {
  return ['runs', 'redis'].flatMap((folder) => closed(path.join(home, folder)))
}

const ofOthers = 0o077

function closed(place: string): string[] {
  const found = lstatSync(place, { throwIfNoEntry: false })
  if (!found || found.isSymbolicLink()) return []
  const inside = found.isDirectory() ? readdirSync(place).flatMap((name) => closed(path.join(place, name))) : []
  if ((found.mode & ofOthers) === 0) return inside
  try {
    chmodSync(place, found.mode & ~ofOthers & 0o7777)
  } catch {
    // Whether it is gone, or somebody else's, the next look says.
  }
  return (lstatSync(place, { throwIfNoEntry: false })?.mode ?? 0) & ofOthers ? [place, ...inside] : inside
}

/** Where producer and workers of a run share files: a folder, or `s3://bucket/prefix`. */
export function workStoreOf({ HEAPFERRY_HOME, HEAPFERRY_WORK_STORE }: Settings): string {
  return HEAPFERRY_WORK_STORE ?? path.join(HEAPFERRY_HOME, 'runs')
}

/** The user's folder for what can be fetched again. */
export function cacheFolder(): string {
  return path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'heapferry')
}
