import { readdirSync, readFileSync } from 'node:fs'

export function processIds(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name))
}

export function commandLineOf(pid: string): string {
  return procFile(pid, 'cmdline').replaceAll('\0', ' ')
}

/** The worker processes that a run command has started. */
export function workersOf(parent: number | undefined): number[] {
  return processIds()
    .filter((pid) => procFile(pid, 'stat').split(') ').at(-1)?.split(' ')[1] === String(parent))
    .filter((pid) => commandLineOf(pid).includes('worker'))
    .map(Number)
}

function procFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    // The process has ended.
    return ''
  }
}
