import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadMapping, loadSettings } from '@heapferry/config'
import { defaultMapping, Mapping } from '@heapferry/domain'
import { ExportPlan, suggestedCasts } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { mappingTemplate } from '../../apps/cli/src/mapping-template.ts'
import { planSource } from '../../apps/cli/src/plan-source.ts'
import { planText } from '../../apps/cli/src/plan-text.ts'
import { temporaryFolder } from '../support/folder.ts'

const header = 'user_id,event_id,time,price,is_gift,ships_on,plan,zip,order_number,single'

test('columns of text that are numbers, booleans or dates throughout are proposed, with the count of exceptions', async () => {
  const source = await exported(
    'signup.csv',
    Array.from({ length: 40 }, (_, row) =>
      [1, row, '2023-01-01 00:00:00', row === 3 ? 'much' : `${row}.90`, row % 2 === 0, `2023-01-0${(row % 9) + 1}`]
        .concat([row % 2 === 0 ? '1' : 'Pro', `0${1000 + row}`, '900719925474099301', row === 0 ? '5' : ''])
        .join(','),
    ),
  )
  const plan = await planned(source, defaultMapping)
  expect(suggestedCasts(plan.tables)).toEqual([
    { column: 'is_gift', as: 'boolean', values: 40, exceptions: 0, tables: ['signup'] },
    { column: 'price', as: 'number', values: 40, exceptions: 1, tables: ['signup'] },
    { column: 'ships_on', as: 'date', values: 40, exceptions: 0, tables: ['signup'] },
  ])
  expect(planText(plan, { only: null, transport: 'auto' })).toContain(
    '  - price: number (all but 1 of 40 sampled values)\n',
  )

  const text = mappingTemplate(plan, { schema: 'x.json' })
  const file = path.join(await temporaryFolder(), 'heapferry.yaml')
  await writeFile(file, text.replaceAll(/^ {2}# (?=(?:price|is_gift|ships_on): )/gm, '  '))
  expect(loadMapping(file).properties).toEqual({ is_gift: 'boolean', price: 'number', ships_on: 'date' })
})

test('nothing is proposed of a column that has a rule, or whose type the format declares', async () => {
  const lines = [1, 2, 3].map((row) => `1,${row},2023-01-01 00:00:00,${row},true,,,,,`)
  const ruled = await planned(await exported('signup.csv', lines), Mapping.parse({ properties: { price: 'number' } }))
  expect(suggestedCasts(ruled.tables).map(({ column }) => column)).toEqual(['is_gift'])
  const json = [1, 2].map((row) => `{"user_id":1,"event_id":${row},"time":"2023-01-01 00:00:00","price":${row}}`)
  const declared = await planned(await exported('signup.json', json), defaultMapping)
  expect(suggestedCasts(declared.tables)).toEqual([])
})

test('nothing is proposed of columns that Heap itself has', async () => {
  const folder = await temporaryFolder()
  const times = '2023-01-01 00:00:00,2023-01-02 00:00:00,2023-01-03 00:00:00,2023-01-04 00:00:00'
  const rows = [1, 2, 3].map((id) => `${id},a${id}@example.com,${times},2023-01-0${id}`)
  const columns = 'user_id,identity,joindate,identity_time,last_modified,lastseen,signed_on'
  await writeFile(path.join(folder, 'users.csv'), `${[columns, ...rows].join('\n')}\n`)
  const plan = await planned(folder, defaultMapping)
  expect(suggestedCasts(plan.tables).map(({ column }) => column)).toEqual(['signed_on'])
})

async function exported(name: string, lines: readonly string[]): Promise<string> {
  const folder = await temporaryFolder()
  const all = name.endsWith('.csv') ? [header, ...lines] : lines
  await writeFile(path.join(folder, name), `${all.join('\n')}\n`)
  return folder
}

async function planned(source: string, mapping: Mapping): Promise<ExportPlan> {
  const plan = await planSource(source, loadSettings({}, {}, source), {
    mapping,
    against: null,
    hashSalt: null,
    includeRecent: false,
    full: false,
    eventsPerSecond: 1000,
    signal: new AbortController().signal,
  })
  return ExportPlan.parse(plan)
}
