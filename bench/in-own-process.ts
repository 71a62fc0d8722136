import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

/** What a measured process says of itself. */
export interface OwnProcess {
  /** Megabytes, of the whole process from its start to its end. */
  peakMb: number
  result: Record<string, number>
}

/** What `heapferry run` gives its workers. */
export const workerFlags = ['--max-semi-space-size=4']

const repository = path.join(import.meta.dirname, '..')

/**
 * Runs a file of this folder in a process of its own, so that its peak memory is its own. The file calls `tell` once.
 * @param flags of Node.js
 * @param root another checkout, whose file and code it is
 */
export async function inOwnProcess(
  file: string,
  args: readonly string[],
  flags: string[] = [],
  root = repository,
): Promise<OwnProcess> {
  const command = [...flags, '--import', 'tsx', path.join(root, 'bench', file), ...args]
  const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  let told = ''
  child.stdout.on('data', (data) => (told += String(data)))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}`)
  return JSON.parse(told)
}

export function tell(result: Record<string, number>): void {
  const own: OwnProcess = { peakMb: Math.round((process.resourceUsage().maxRSS * 1024) / 1e6), result }
  process.stdout.write(JSON.stringify(own))
}

/** The best of a few: whatever else the machine does only makes a run slower. */
export function fastest<T>(results: readonly T[], seconds: (result: T) => number): T {
  const [best] = results.toSorted((a, b) => seconds(a) - seconds(b))
  if (best === undefined) throw new Error('nothing was measured')
  return best
}
