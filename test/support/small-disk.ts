import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import path from 'node:path'
import { onTestFinished } from 'vitest'

/** A disk of its own takes the right to mount one. */
export function canMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}

/** @param size as mount takes it: `64k`, `200m` */
export function mounted(folder: string, size: string): string {
  mkdirSync(folder)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder])
  onTestFinished(() => void execFileSync('umount', ['--lazy', folder]))
  return folder
}

/** @returns what makes room again */
export function fill(folder: string): () => void {
  const file = path.join(folder, 'filler')
  const filler = openSync(file, 'w')
  try {
    for (;;) writeSync(filler, Buffer.alloc(4096))
  } catch {
    // No room is left.
  } finally {
    closeSync(filler)
  }
  return () => execFileSync('rm', [file])
}
