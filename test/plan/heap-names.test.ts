import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadMapping, loadSettings } from '@heapferry/config'
import { defaultMapping, type Mapping } from '@heapferry/domain'
import { ExportPlan } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { mappingTemplate } from '../../apps/cli/src/mapping-template.ts'
import { planSource } from '../../apps/cli/src/plan-source.ts'
import { temporaryFolder } from '../support/folder.ts'

const clicks = 'event_id,user_id,time\n1,2,2023-01-02 03:04:05\n'

test('mapping init proposes words of table names, and as written the file changes nothing', async () => {
  const folder = await exported({ 'signup_click_start_free_trial.csv': clicks, 'buy.csv': clicks })
  const { plan, template } = await planned(folder)
  expect(template).toContain('    event: signup_click_start_free_trial\n    # event: "Signup Click Start Free Trial"\n')
  expect(eventsIn(await loaded(template))).toEqual({
    buy: 'buy',
    signup_click_start_free_trial: 'signup_click_start_free_trial',
  })
  expect(eventsIn(await loaded(chosen(template)))).toEqual({
    buy: 'Buy',
    signup_click_start_free_trial: 'Signup Click Start Free Trial',
  })
  expect(plan.notices.filter((notice) => notice.includes('own names'))).toEqual([])
})

test("mapping init proposes Heap's own names where the export has them, and plan says that it does", async () => {
  const folder = await exported({
    'signup_click.csv': clicks,
    'buy.csv': clicks,
    '_event_metadata.csv':
      'event_table_name,event_name\nSIGNUP_CLICK,Signup: first\nsignup_click,"Signup: click ""Start"" # now"\ngone,Gone\nbuy,\n',
  })
  const { plan, template } = await planned(folder)
  expect(plan.tables.map(({ table, heap_name }) => [table, heap_name])).toEqual([
    ['_event_metadata', undefined],
    ['buy', undefined],
    ['signup_click', 'Signup: click "Start" # now'],
  ])
  expect(template).toContain('  # its name in Heap\n')
  expect(eventsIn(await loaded(template))).toEqual({ buy: 'buy', signup_click: 'signup_click' })
  expect(eventsIn(await loaded(chosen(template)))).toEqual({ buy: 'Buy', signup_click: 'Signup: click "Start" # now' })
  expect(plan.notices.filter((notice) => notice.includes('own names of one event table'))).toHaveLength(1)

  const named = await planned(folder, await loaded(chosen(template)))
  expect(named.plan.notices.filter((notice) => notice.includes('own names'))).toEqual([])
})

test('no name is proposed that two tables would have, that PostHog does not take, or that is its own', async () => {
  const folder = await exported({
    'a_b.csv': clicks,
    'a__b.csv': clicks,
    'c_d.csv': clicks,
    'e_f.csv': clicks,
    '_event_metadata.csv': `table_name,event\nc_d,${'x'.repeat(201)}\ne_f,$pageview\n`,
  })
  const { template } = await planned(folder)
  expect(eventsIn(await loaded(chosen(template)))).toEqual({ a_b: 'a_b', a__b: 'a__b', c_d: 'C D', e_f: 'E F' })
})

test('a table of names whose columns nobody knows is told', async () => {
  const folder = await exported({ 'buy.csv': clicks, '_event_metadata.csv': 'ref,label\nbuy,Bought\n' })
  const { plan, template } = await planned(folder)
  expect(plan.notices.join()).toContain("_event_metadata.csv should have Heap's names of events")
  expect(eventsIn(await loaded(chosen(template)))).toEqual({ buy: 'Buy' })
})

async function exported(files: Record<string, string>): Promise<string> {
  const folder = path.join(await temporaryFolder(), 'export')
  await mkdir(folder)
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(folder, name), text)
  return folder
}

async function planned(source: string, mapping: Mapping = defaultMapping) {
  const found = await planSource(source, loadSettings({}, {}, source), {
    mapping,
    against: null,
    hashSalt: null,
    includeRecent: false,
    full: false,
    eventsPerSecond: 1000,
    signal: new AbortController().signal,
  })
  const plan = ExportPlan.parse(found)
  return { plan, template: mappingTemplate(plan, { schema: 'x.json' }) }
}

/** The file with every proposed name in the place of the table's own. */
function chosen(template: string): string {
  return template.replaceAll(/^ {4}event: .*\n {4}# (event: .*)$/gm, '    $1')
}

async function loaded(template: string): Promise<Mapping> {
  const file = path.join(await temporaryFolder(), 'heapferry.yaml')
  await writeFile(file, template)
  return loadMapping(file)
}

function eventsIn({ tables }: Mapping): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(tables).map(([table, { event }]) => [table, event]))
}
