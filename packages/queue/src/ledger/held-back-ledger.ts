import { Checkpoint, ChunkId, HeldBack, type HeldBackLedger } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { defineScript } from '../define-script.ts'
import { keysOf, rowField } from '../keys.ts'
import { countedByDay, sentFields } from '../sent-fields.ts'
import { countersMoved, warnedTotals } from './counters-moved.ts'
import { assertHeld, onlyHolder } from './retry-hold-ledger.ts'
import { scanHash } from './scan-hash.ts'

export function heldBackLedger(redis: Redis): HeldBackLedger {
  const { runKeys } = keysOf(redis)
  return {
    async *heldBackChunks(run) {
      const { checkpoints, heldBack } = runKeys(run)
      const seen = new Set<string>()
      for await (const pairs of scanHash(redis, checkpoints)) {
        const chunks = pairs.filter(([chunk, json]) => !seen.has(chunk) && hasHeldBack(json)).map(([chunk]) => chunk)
        if (chunks.length === 0) continue
        const stored = await redis.hmget(heldBack, ...chunks)
        for (const [index, chunk] of chunks.entries()) {
          seen.add(chunk)
          const json = stored[index] ?? null
          yield { chunk: ChunkId.parse(chunk), heldBack: json === null ? null : HeldBack.parse(JSON.parse(json)) }
        }
      }
    },

    async settleHeldBack({ run, token }, { id, table }, { was, is }, ended) {
      const answer = await settleHeldBackScript(redis, {
        keys: runKeys(run),
        args: {
          token,
          chunk: id,
          tableName: table,
          was: was === null ? '' : asStored(was),
          is: asStored(is),
          rowsSent: ended.sent.reduce((sum, { count }) => sum + count, 0),
          counts: JSON.stringify(sentFields(table, ended.sent)),
          warned: warnedTotals(table, ended.warned),
        },
        each: ended.rejected.map((row) => ({ field: rowField(row), reason: row.reason, value: JSON.stringify(row) })),
      })
      assertHeld(answer)
      if (answer === -2) throw new Error(`the held back rows of ${id} are not where they were`)
    },
  }
}

/** The same text for the same state, as the script compares texts. */
function asStored(heldBack: HeldBack): string {
  return JSON.stringify(HeldBack.parse(heldBack))
}

function hasHeldBack(json: string): boolean {
  const { done, tally } = Checkpoint.parse(JSON.parse(json))
  return done && (tally.skipped.held_back ?? 0) > 0
}

/**
 * Stores how held back rows of a chunk have ended, if the chunk is where it was when they were read.
 *
 * `was` is '' where nothing is stored yet, `counts` are as those of a commit, `each` is a rejected row.
 * Answers -2 when the chunk is not where it was.
 */
const settleHeldBackScript = defineScript({
  keys: ['retry', 'rejected', 'checkpoints', 'totals', 'heldBack', 'run', 'sent'],
  args: ['token', 'chunk', 'tableName', 'was', 'is', 'rowsSent', 'counts', 'warned'],
  each: { args: ['field', 'reason', 'value'] },
  lua: `
${countersMoved}
${countedByDay}
${onlyHolder}
local stored = redis.call('HGET', heldBack, chunk) or ''
-- Sent again because the answer was lost on its way.
if stored == is then return 0 end
local checkpoint = cjson.decode(redis.call('HGET', checkpoints, chunk) or '{"done":false}')
if stored ~= was or not checkpoint.done then return -2 end
redis.call('HSET', heldBack, chunk, is)
countByDay(sent, cjson.decode(counts))

local function moveFromHeldBack(counter, kind, rows)
  if rows == 0 then return end
  for _ = 1, rows do move(checkpoint.tally, totals, run, tableName, 'skipped.held_back', counter) end
  redis.call('HINCRBY', retry, 'reason|held_back', rows)
  redis.call('HINCRBY', retry, kind, rows)
end
moveFromHeldBack('sent', 'sent', tonumber(rowsSent))
countWarned(totals, warned)
for field, reason, value in each() do
  moveFromHeldBack('rejected.' .. reason, 'rejected', 1)
  redis.call('HSET', rejected, field, value)
end
redis.call('HSET', checkpoints, chunk, cjson.encode(checkpoint))
return 1
`,
})
