import { expect, test } from 'vitest'
import { spreadOf } from './records.ts'
import { runChaos } from './run-chaos.ts'

const seed = Number(process.env.CHAOS_SEED ?? 20)
const minutes = Number(process.env.CHAOS_MINUTES ?? 1.2)
const rows = Number(process.env.CHAOS_ROWS ?? 30_000)
const only = process.env.CHAOS_ONLY ?? ''

test('whatever happens to workers, producer, Redis, PostHog, disk and network, no event is lost or doubled, and the ledger is right at every moment', {
  timeout: minutes * 60_000 + 3_600_000,
}, async () => {
  console.log(`chaos drawn with --seed ${seed} --minutes ${minutes} --rows ${rows}`)
  const {
    records,
    violations,
    looks,
    state,
    rows: counted,
    events,
    moved,
  } = await runChaos({
    seed,
    minutes,
    rows,
    only,
  })
  const alone = moved.filter(({ isAlone }) => isAlone)
  const [all, undisturbed] = [moved, alone].map((some) => spreadOf(some.flatMap(({ ms }) => ms ?? [])))
  console.log(
    [
      records.table(),
      '',
      `${records.happened(/SIGKILL/)} kills, ${records.happened(/./)} faults in all; ${looks} looks at the ledger, ${violations.length} violations.`,
      `Chunks of killed workers moved on after ${all?.median} in the median, ${all?.maximum} at most (${moved.length}); those with a free slot and nothing else wrong after ${undisturbed?.median}, ${undisturbed?.maximum} at most (${alone.length}).`,
      `${counted.read} of ${counted.inExport} rows have ended, the run is ${state}.`,
      `${events.stored} of ${events.expected} events are in PostHog: ${events.lost} lost, ${events.surplus} that should not be there; ${events.sentAgain} were sent again.`,
      `Again: npm run chaos -- --seed ${seed} --minutes ${minutes} --rows ${rows}${only && ` --only '${only}'`}`,
    ].join('\n'),
  )
  expect(violations).toEqual([])
  expect(events).toMatchObject({ lost: 0, surplus: 0, stored: events.expected })
  expect(counted.read).toBe(counted.inExport)
  expect(state).toMatch(/^completed/)
  // What never happened proves nothing.
  expect(records.happened(/./)).toBeGreaterThan(minutes)
  if (only === '') expect(records.happened(/SIGKILL/)).toBeGreaterThan(minutes > 2 ? minutes : 0)
  expect(looks).toBeGreaterThan(minutes * 20)
})
