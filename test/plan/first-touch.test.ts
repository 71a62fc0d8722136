import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { ExportPlan } from '../../packages/migration/src/export-plan/export-plan.ts'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'

test('plan says how many people get what was first of them, and shows three', async () => {
  const { planned, text } = await planOf(20)
  expect(planned.first_touch).toMatchObject({ from: 'sessions', people: { count: 20, exact: true } })
  expect(planned.first_touch?.samples).toHaveLength(3)
  expect(planned.first_touch?.samples[0]?.set_once).toMatchObject({ $initial_current_url: 'https://a.example/1' })
  expect(text).toContain('First touch: 20 people are sent what was first of them')
})

test('from samples the number is an estimate and said to be one, and --full counts', async () => {
  const { planned, text } = await planOf(30_000)
  expect(planned.first_touch?.people.exact).toBe(false)
  expect(planned.first_touch?.people.count).toBeGreaterThan(1000)
  expect(planned.first_touch?.people.count).toBeLessThanOrEqual(30_000)
  expect(text).toMatch(/First touch: about [\d,]+ people \(an estimate from sampled rows; --full counts\s+them\)/)
  expect((await planOf(30_000, '--full')).planned.first_touch?.people).toEqual({ count: 30_000, exact: true })
})

test('a mapping that leaves it out has none of it in the plan', async () => {
  const { planned, text } = await planOf(3, '--mapping', 'skip.yaml')
  expect(planned.first_touch).toBe(null)
  expect(text).not.toContain('First touch')
})

/** Of so many people with one session each, and one with many. */
async function planOf(people: number, ...flags: string[]) {
  const folder = await temporaryFolder()
  const rows = Array.from({ length: people }, (_, id) => `${id + 1},7,2023-05-01 10:00:00,web,a.example/${id + 1}`)
  await writeFile(
    path.join(folder, 'sessions.csv'),
    ['user_id,session_id,time,library,landing_page', ...rows, ''].join('\n'),
  )
  await writeFile(path.join(folder, 'clicks.csv'), 'event_id,user_id,time\n1,2,2023-05-01 10:00:01\n')
  await writeFile(path.join(folder, 'skip.yaml'), 'first_touch: skip\n')
  const here = { cwd: folder, env: {} }
  const { stdout } = await heapferryHere(['plan', '*.csv', '--json', ...flags], here)
  const { stdout: text } = await heapferryHere(['plan', '*.csv', ...flags], here)
  return { planned: ExportPlan.parse(JSON.parse(stdout)), text }
}
