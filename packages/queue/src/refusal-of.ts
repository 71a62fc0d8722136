import { type RedisRefusal, RedisRefused } from '@heapferry/domain'

// Redis begins its errors with a code; before 7.0 what a script was told stands further behind, after a dash. What a script
// may not do has no code: "The user executing the script can't …" until 7.0, "ACL failure in script" from 7.2 on.
const codes: readonly [RegExp, RedisRefusal][] = [
  [/(?:^|-)OOM /, 'full'],
  [/(?:^|-)MISCONF /, 'disk_full'],
  // A blocked client is told UNBLOCKED when its primary becomes a replica.
  [/(?:^|-)(?:READONLY|UNBLOCKED) /, 'read_only'],
  [
    /(?:^|-)(?:NOPERM|NOAUTH) |executing the script can't (?:run this command|access)|ACL failure in script/,
    'forbidden',
  ],
  // While a slot is moved, a script finds some of its keys gone. ioredis asks again sixteen times, a tenth of a second apart.
  [/(?:^|-)(?:MOVED|ASK|CLUSTERDOWN|CROSSSLOT|TRYAGAIN) |non local key|^Too many Cluster redirections/, 'cluster'],
  [/(?:^|-)LOADING /, 'loading'],
  [/(?:^|-)MASTERDOWN /, 'no_primary'],
  [/(?:^|-)NOREPLICAS /, 'too_few_replicas'],
  [/(?:^|-)BUSY /, 'busy'],
]

/** What Redis refused with an error, by its words; null where it is another error, or none of Redis'. */
export function refusalIn(words: string): RedisRefusal | null {
  return codes.find(([code]) => code.test(words))?.[1] ?? null
}

export function refusalOf(error: unknown): RedisRefusal | null {
  if (!(error instanceof Error)) return null
  const isOfRedis = error.name === 'ReplyError' || error.message.startsWith('Too many Cluster redirections')
  return isOfRedis ? refusalIn(error.message) : null
}

/** The same error, for an operator where Redis refused. */
export function toldError(error: unknown): unknown {
  const refusal = refusalOf(error)
  if (refusal === null || !(error instanceof Error)) return error
  return new RedisRefused(refusal, error.message, { cause: error })
}
