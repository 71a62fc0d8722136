import { createHash } from 'node:crypto'
import type { Redis } from './redis-client.ts'

type Named<Names extends string> = Readonly<Record<Names, string | number>>

type Call<Key extends string, Arg extends string, EachKey extends string, EachArg extends string> = {
  keys: Readonly<Record<Key, string>>
  args: Named<Arg>
} & ([EachArg] extends [never] ? { each?: never } : { each: readonly Named<EachKey | EachArg>[] })

/**
 * A Lua script in which keys and arguments are locals of the names that it declares, and which is called with those
 * names. Of what comes in any number, `for x, y in each() do` hands on one after the other, keys before arguments.
 *
 * Redis knows a script by its digest. One that it does not know, or has forgotten at a restart, it is told whole.
 */
export function defineScript<
  Key extends string,
  Arg extends string = never,
  EachKey extends string = never,
  EachArg extends string = never,
>({
  keys,
  args = [],
  each: { keys: eachKeys = [], args: eachArgs = [] } = {},
  lua,
}: {
  keys: readonly Key[]
  args?: readonly Arg[]
  each?: { keys?: readonly EachKey[]; args?: readonly EachArg[] }
  lua: string
}): (redis: Redis, call: Call<Key, Arg, EachKey, EachArg>) => Promise<unknown> {
  const locals = [
    ...keys.map((name, index) => `local ${name} = KEYS[${index + 1}]`),
    ...args.map((name, index) => `local ${name} = ARGV[${index + 1}]`),
  ]
  const nth = [
    ...eachKeys.map((_, index) => `KEYS[at * ${eachKeys.length} + ${keys.length + index + 1}]`),
    ...eachArgs.map((_, index) => `ARGV[at * ${eachArgs.length} + ${args.length + index + 1}]`),
  ].join(', ')
  const iterator = `local function each()
  local at = -1
  return function()
    at = at + 1
    return ${nth}
  end
end`
  const text = [...locals, ...(nth === '' ? [] : [iterator]), lua].join('\n')
  const digest = createHash('sha1').update(text).digest('hex')

  return async (redis, call) => {
    const each: readonly Named<EachKey | EachArg>[] = call.each ?? []
    const allKeys = [
      ...keys.map((name) => call.keys[name]),
      ...each.flatMap((one) => eachKeys.map((name) => one[name])),
    ]
    const given = [
      ...allKeys,
      ...args.map((name) => call.args[name]),
      ...each.flatMap((one) => eachArgs.map((name) => one[name])),
    ]
    try {
      return await redis.evalsha(digest, allKeys.length, ...given)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return redis.eval(text, allKeys.length, ...given)
    }
  }
}
