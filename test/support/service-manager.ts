import { onTestFinished } from 'vitest'
import { heapferry, type HeapferryProcess } from './heapferry.ts'

type Role = 'producer' | 'worker'

/** Starts commands of one run, each again when it dies, until a producer ends well or all are stopped. */
export interface ServiceManager {
  /** @returns the first of the processes that it will be */
  keepRunning(role: Role, args: readonly string[]): HeapferryProcess
  /** Those that run now. */
  of(role: Role): HeapferryProcess[]
  /** How often a process was replaced after it died. */
  replaced: Record<Role, number>
  /** What processes said that ended without being killed or told to. */
  lastWords: string[]
  stop(): Promise<void>
}

/** @param env asked for at every start */
export function serviceManager(cwd: string, env: () => Record<string, string>): ServiceManager {
  const slots = new Set<{ role: Role; process: HeapferryProcess }>()
  const replaced = { producer: 0, worker: 0 }
  const lastWords: string[] = []
  let stopping = false

  const keepRunning = (role: Role, args: readonly string[]): HeapferryProcess => {
    const slot = { role, process: heapferry(args, { cwd, env: env() }) }
    slots.add(slot)
    // Before the process itself is ended with the test: nothing replaces it then.
    onTestFinished(() => void (stopping = true))
    void slot.process.ended.then(({ code, signal, stderr }) => {
      slots.delete(slot)
      if (stopping || (role === 'producer' && code === 0)) return
      if (signal !== 'SIGKILL') lastWords.push(`${role} ended with ${code ?? signal}: ${stderr.slice(-2000)}`)
      replaced[role]++
      keepRunning(role, args)
    })
    return slot.process
  }
  return {
    keepRunning,
    of: (wanted) => [...slots].filter(({ role }) => role === wanted).map(({ process }) => process),
    replaced,
    lastWords,
    async stop() {
      stopping = true
      for (const { process } of slots) process.child.kill('SIGTERM')
      await Promise.all([...slots].map(({ process }) => process.ended))
    },
  }
}
