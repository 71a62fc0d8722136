import { OperatorError } from './errors.ts'

/** Why a Redis that answers does not do what it is told. All of it passes, some of it not before a person does something. */
export const redisRefusals = [
  'full',
  'disk_full',
  'read_only',
  'forbidden',
  'cluster',
  'loading',
  'no_primary',
  'too_few_replicas',
  'busy',
] as const
export type RedisRefusal = (typeof redisRefusals)[number]

/** For people: what is the matter, and what to do. */
export const redisRefusalTexts: Readonly<Record<RedisRefusal, { problem: string; hint: string }>> = {
  full: {
    problem: 'Redis is full: its maxmemory is reached',
    hint: 'Raise it there (CONFIG SET maxmemory, and in redis.conf), or free memory of other programs.',
  },
  disk_full: {
    problem: 'Redis cannot save to its disk, and takes no writes until it can',
    hint: 'Make room on the disk of Redis; its log says more.',
  },
  read_only: {
    problem: 'This Redis is a read-only replica',
    hint: 'Set REDIS_URL to its primary, or make this one the primary (REPLICAOF NO ONE).',
  },
  forbidden: {
    problem: 'Redis forbids its user a command or a key that heapferry needs',
    hint: 'Allow it: ACL SETUSER NAME ~heapferry* +@all -@dangerous +info, or name another user in REDIS_URL.',
  },
  cluster: {
    problem: 'The Redis Cluster does not answer for all of its keys',
    hint: 'While a node is replaced or slots are moved, wait. Else bring back its nodes: redis-cli CLUSTER INFO and CLUSTER NODES tell which are missing.',
  },
  loading: {
    problem: 'Redis is loading its data',
    hint: 'Wait until it has: its log says how far it is.',
  },
  no_primary: {
    problem: 'This Redis is a replica that has lost its primary',
    hint: 'Set REDIS_URL to the primary, or bring it back.',
  },
  too_few_replicas: {
    problem: 'Redis takes no writes because it has fewer replicas than min-replicas-to-write',
    hint: 'Bring its replicas back, or lower min-replicas-to-write there.',
  },
  busy: {
    problem: 'Redis is busy with a script that somebody runs there',
    hint: 'Wait until it has ended, or end it with redis-cli SCRIPT KILL.',
  },
}

/** Redis answers, and refused a command: nothing of it was done. */
export class RedisRefused extends OperatorError {
  override name = 'RedisRefused'
  readonly refusal: RedisRefusal
  constructor(refusal: RedisRefusal, got: string, options?: ErrorOptions) {
    const { problem, hint } = redisRefusalTexts[refusal]
    super([problem, `  it says: ${got}`], hint, options)
    this.refusal = refusal
  }
}
