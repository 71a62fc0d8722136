import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { onTestFinished } from 'vitest'

/** A machine of its own, as far as the network knows: with an address, and a cable that can be cut. */
export interface NetworkHost {
  /** How it, and every other host, reaches the machine that the tests run on. */
  gateway: string
  /** Makes a command one of this machine's. */
  within: readonly string[]
  /** From now on no packet passes between it and a port of the machine that the tests run on, and nobody is told. */
  cutFrom(port: number): void
  /** Packets pass again. */
  mend(): void
  /** Packets that were dropped. */
  dropped(): number
}

/** Why there can be no hosts here; null where there can. */
export function noHostsBecause(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const name = `hfcan${process.pid}`
  try {
    removeLeft()
    execFileSync('ip', ['netns', 'add', name], { stdio: 'pipe' })
    try {
      execFileSync('ip', ['netns', 'exec', name, 'iptables', '-L', '-n'], { stdio: 'pipe' })
      return null
    } finally {
      execFileSync('ip', ['netns', 'del', name])
    }
  } catch (error) {
    return `ip netns (iproute2) or iptables does not work here: ${String(error).split('\n').slice(0, 2).join(' ')}`
  }
}

/** @param nth each is in a network of its own, of which the machine that the tests run on is the gateway */
export function networkHost(nth: number): NetworkHost {
  // Names of devices have 15 letters at most.
  const name = `hf${process.pid}n${nth}`
  const device = `${name}x`
  const inside = (...args: string[]) => execFileSync('ip', ['netns', 'exec', name, ...args], { stdio: 'pipe' })
  ip('netns', 'add', name)
  // Its devices end with it, whatever else has failed.
  onTestFinished(() => ip('netns', 'del', name))
  ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
  const gateway = `${networkOf(nth)}.1`
  ip('addr', 'add', `${gateway}/24`, 'dev', device)
  ip('link', 'set', device, 'up')
  inside('ip', 'addr', 'add', `${networkOf(nth)}.2/24`, 'dev', 'eth0')
  inside('ip', 'link', 'set', 'eth0', 'up')
  inside('ip', 'link', 'set', 'lo', 'up')
  inside('ip', 'route', 'add', 'default', 'via', gateway)
  let dropped = 0

  const count = () =>
    String(inside('iptables', '-L', '-n', '-v', '-x'))
      .split('\n')
      .filter((line) => line.includes('DROP '))
      .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[0]), 0)

  return {
    gateway,
    within: ['ip', 'netns', 'exec', name],
    cutFrom(port) {
      inside('iptables', '-A', 'OUTPUT', '-p', 'tcp', '--dport', String(port), '-j', 'DROP')
      inside('iptables', '-A', 'INPUT', '-p', 'tcp', '--sport', String(port), '-j', 'DROP')
    },
    mend() {
      dropped += count()
      inside('iptables', '-F')
    },
    dropped: () => dropped + count(),
  }
}

/** Addresses that are kept for tests of networks (RFC 2544), and that nobody has. */
function networkOf(nth: number): string {
  return `198.18.${(process.pid * 4 + nth) % 250}`
}

/** Those of tests that were killed before they could do it. */
function removeLeft(): void {
  const names = execFileSync('ip', ['netns', 'list'], { stdio: 'pipe' }).toString().split(/\s+/)
  for (const name of names) {
    const pid = /^hf(?:can)?(\d+)/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) ip('netns', 'del', name)
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' })
}
