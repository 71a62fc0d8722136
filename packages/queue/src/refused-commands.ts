import { setTimeout as sleep } from 'node:timers/promises'
import { type RedisRefusal, RedisRefused } from '@heapferry/domain'
import { Command } from 'ioredis'
import type { Redis } from './redis-client.ts'
import { refusalOf, toldError } from './refusal-of.ts'

/** Told of a refusal, once a minute while it lasts, and with null when everything that was refused has been done. */
export type OnRefusal = (refusal: RedisRefusal | null, got: string) => void

const againAfterMs = 1000
const toldEveryMs = 60_000

// ioredis sends them on a new connection before it is ready, and has to be told when they fail.
const ofHandshake = new Set(['hello', 'auth', 'select', 'client', 'info', 'readonly'])

/** What becomes of a refused command. */
type AfterRefusal = <T>(error: unknown, again: () => Promise<T>, redis: Sending) => Promise<T>

const afterRefusals = new WeakMap<Redis, AfterRefusal>()

/** From now on, refused commands are told to those who sent them, as an operator's errors. */
export function tellRefusals(redis: Redis): void {
  onRefused(redis, async (error, _, { isCluster }) => {
    throw isCluster && isCutOff(error) ? new RedisRefused('cluster', error.message, { cause: error }) : toldError(error)
  })
}

/**
 * From now on, commands that Redis refuses (full, read-only, forbidden, …) are sent again until they are done, as ioredis
 * does it with those that an outage cuts off: nobody behind it, BullMQ included, has to know, and no chunk spends an
 * attempt. A refused command has done nothing: Redis looks before the first write, of a script too.
 */
export function waitOutRefusals(redis: Redis, onRefusal: OnRefusal): void {
  let waiting = 0
  let isTold = false
  const toldAtMs = new Map<RedisRefusal, number>()

  onRefused(redis, async (error, again, sending) => {
    for (let fault = error; ; ) {
      const refusal = refusalHere(sending, fault)
      if (refusal === null || !(fault instanceof Error)) throw fault
      const nowMs = performance.now()
      if (nowMs - (toldAtMs.get(refusal) ?? Number.NEGATIVE_INFINITY) >= toldEveryMs) {
        toldAtMs.set(refusal, nowMs)
        isTold = true
        onRefusal(refusal, fault.message)
      }
      waiting++
      await sleep(againAfterMs)
      try {
        const answer = await again()
        if (waiting === 1 && isTold) {
          isTold = false
          onRefusal(null, '')
        }
        return answer
      } catch (next) {
        fault = next
      } finally {
        waiting--
      }
    }
  })
}

/** Does the same with work that is no single command, such as a pipeline: it must be safe to be done again. */
export async function withRefusals<T>(redis: Redis, work: () => Promise<T>): Promise<T> {
  return work().catch((error: unknown) => {
    const afterRefusal = afterRefusals.get(redis)
    if (afterRefusal === undefined) throw error
    return afterRefusal(error, work, redis)
  })
}

/** What of a connection is taken over: of a cluster it has one parameter more than of one Redis. */
interface Sending {
  status: string
  isCluster: boolean
  sendCommand(command: Command, ...where: unknown[]): unknown
  duplicate(...how: unknown[]): Redis
  disconnect(reconnect?: boolean): void
}

function onRefused(connection: Redis, afterRefusal: AfterRefusal): void {
  const redis: Sending = connection
  const send = redis.sendCommand.bind(redis)
  const duplicate = redis.duplicate.bind(redis)
  // ioredis sends those that were queued, or cut off, through here once more.
  const seen = new WeakSet<Command>()

  async function sendAgain({ name, args, constructor }: Command): Promise<unknown> {
    // Scripts that BullMQ defines are of a class that knows whether a connection has been told them whole.
    const OfItsClass = isOfCommands(constructor) ? constructor : Command
    const command = new OfItsClass(name, args, { replyEncoding: 'utf8' })
    seen.add(command)
    try {
      return await send(command)
    } catch (error) {
      const isForgotten = error instanceof Error && error.message.startsWith('NOSCRIPT') && OfItsClass !== Command
      if (isForgotten) return sendAgain(command)
      turnToPrimary(redis, error)
      throw error
    }
  }

  redis.sendCommand = (command, ...where) => {
    const answer = send(command, ...where)
    if (seen.has(command)) return answer
    // Whatever it is: nobody waits for what is handed out when it comes through here once more.
    seen.add(command)
    const isOfHandshake = redis.status === 'connect' && ofHandshake.has(command.name)
    // Those of a pipeline come in an order, in which they cannot be sent again one by one.
    if (where[0] !== undefined || isOfHandshake || command.name === 'quit') return answer
    return Promise.resolve(answer).catch((error: unknown) => {
      if (refusalHere(redis, error) === null) throw error
      turnToPrimary(redis, error)
      // BullMQ takes a job that is waited for longer than it said for a dead connection: there is none for now.
      if (command.name === 'bzpopmin') return sleep(againAfterMs / 2, null)
      return afterRefusal(error, () => sendAgain(command), redis)
    })
  }
  redis.duplicate = (...how) => {
    const copy = duplicate(...how)
    onRefused(copy, afterRefusal)
    return copy
  }
  afterRefusals.set(connection, afterRefusal)
}

/**
 * Of a node of a cluster ioredis says after a while that it is gone, where it would wait for the one Redis. What it cut off
 * is sent again, as it is there: everything that is sent may be done twice.
 */
function refusalHere({ isCluster, status }: Sending, error: unknown): RedisRefusal | null {
  const isEnded = status === 'disconnecting' || status === 'end'
  return refusalOf(error) ?? (isCluster && !isEnded && isCutOff(error) ? 'cluster' : null)
}

function isCutOff(error: unknown): error is Error {
  return (
    error instanceof Error && /^(?:Connection is closed|Command aborted due to connection close)/.test(error.message)
  )
}

function isOfCommands(made: { prototype: unknown }): made is typeof Command {
  return made === Command || made.prototype instanceof Command
}

/** After a fail-over the primary is behind the same name, but not behind the same connection. */
function turnToPrimary(redis: Sending, error: unknown): void {
  if (refusalOf(error) === 'read_only' && redis.status === 'ready' && !redis.isCluster) redis.disconnect(true)
}
