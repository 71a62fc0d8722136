import { expect, test } from 'vitest'
import { defineScript } from '../../packages/queue/src/define-script.ts'
import { redisForTests } from '../support/redis.ts'

const server = redisForTests()
const addScript = defineScript({
  keys: ['sums', 'log'],
  args: ['name', 'by'],
  lua: `
redis.call('RPUSH', log, name .. ' ' .. by)
return redis.call('HINCRBY', sums, name, by)`,
})
const keys = { sums: 'test:sums', log: 'test:log' }

test('a script is given its keys and arguments by name, in whatever order they are named', async () => {
  await server.redis.flushall()
  const more = { more: 'test:more' }
  expect(await addScript(server.redis, { args: { by: 3, name: 'a' }, keys: { log: keys.log, sums: keys.sums } })).toBe(
    3,
  )
  expect(await addScript(server.redis, { keys: { ...keys, ...more }, args: { name: 'a', by: '4' } })).toBe(7)
  expect(await server.redis.lrange(keys.log, 0, -1)).toEqual(['a 3', 'a 4'])
})

test('of what comes in any number, keys and arguments stay together and in order, also where there is nothing', async () => {
  const eachScript = defineScript({
    keys: ['log'],
    args: ['last'],
    each: { keys: ['counter'], args: ['by', 'word'] },
    lua: `
for counter, by, word in each() do redis.call('RPUSH', log, redis.call('INCRBY', counter, by) .. word) end
redis.call('RPUSH', log, '.' .. last)`,
  })
  await server.redis.flushall()
  const given = { keys: { log: keys.log }, args: { last: 'over' } }
  const each = Array.from({ length: 5000 }, (_, nth) => ({ counter: `test:${nth % 2}`, by: nth + 1, word: `w${nth}` }))
  await eachScript(server.redis, { ...given, each: each.slice(0, 3) })
  await eachScript(server.redis, { ...given, each: [] })
  expect(await server.redis.lrange(keys.log, 0, -1)).toEqual(['1w0', '2w1', '4w2', '.over', '.over'])
  await eachScript(server.redis, { ...given, each })
  expect(await server.redis.llen(keys.log)).toBe(5 + 5000 + 1)
})

test('a script is sent to Redis once, and once more when Redis has forgotten it', async () => {
  const sent = async (): Promise<number[]> => {
    const stats = await server.redis.info('commandstats')
    return ['evalsha', 'eval'].map((name) =>
      Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0),
    )
  }
  const add = () => addScript(server.redis, { keys, args: { name: 'b', by: 1 } })
  await server.redis.script('FLUSH')
  await server.redis.config('RESETSTAT')
  for (let nth = 0; nth < 3; nth++) await add()
  expect(await sent()).toEqual([3, 1])
  await server.redis.script('FLUSH')
  expect(await add()).toBe(4)
  expect(await sent()).toEqual([4, 2])
})

test('a Redis that was restarted knows no script, and is told it again', async () => {
  const add = async () => Number(await addScript(server.redis, { keys, args: { name: 'c', by: 1 } }))
  const before = await add()
  process.kill(server.server.pid, 'SIGKILL')
  const added = add()
  await server.server.ensure()
  expect(await added).toBeGreaterThan(before)
  expect(await server.redis.hget(keys.sums, 'c')).toBe(String(await added))
})

test('an error of a script is not taken for a script that is unknown', async () => {
  const failing = defineScript({ keys: ['sums'], lua: "return redis.error_reply('ERR no sums in ' .. sums)" })
  await expect(failing(server.redis, { keys, args: {} })).rejects.toThrow('no sums in test:sums')
})
