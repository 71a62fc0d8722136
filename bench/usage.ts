import { readdirSync, readFileSync } from 'node:fs'

const ticksPerSecond = 100

export interface Usage {
  cpuSeconds: number
  /** Of several processes: the sum of what each took at most. */
  peakBytes: number
}

/** What a process and all that it has started take, by Linux' /proc. What is not looked at before it ends is missing. */
export function usageOfTree(root: number): { look(): void; total(): Usage } {
  const seen = new Map<number, Usage>()
  return {
    look() {
      for (const pid of [root, ...descendantsOf(root)]) {
        const usage = usageOf(pid)
        if (usage) seen.set(pid, usage)
      }
    },
    total: () => ({
      cpuSeconds: [...seen.values()].reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
      peakBytes: [...seen.values()].reduce((sum, { peakBytes }) => sum + peakBytes, 0),
    }),
  }
}

function descendantsOf(parent: number): number[] {
  return childrenOf(parent).flatMap((child) => [child, ...descendantsOf(child)])
}

export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => statOf(pid)?.[1] === String(parent))
}

export function usageOf(pid: number): Usage | undefined {
  const stat = statOf(pid)
  const peak = /VmHWM:\s+(\d+) kB/.exec(readOrNothing(`/proc/${pid}/status`))?.[1]
  if (!stat || peak === undefined) return undefined
  return { cpuSeconds: (Number(stat[11]) + Number(stat[12])) / ticksPerSecond, peakBytes: Number(peak) * 1024 }
}

/** The fields of /proc/PID/stat from the third on (state, parent, …); the second may hold spaces. */
function statOf(pid: number): string[] | undefined {
  const text = readOrNothing(`/proc/${pid}/stat`)
  return text === '' ? undefined : text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // The process has ended meanwhile.
    return ''
  }
}
