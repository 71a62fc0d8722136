import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadMapping } from '@heapferry/config'
import {
  compileConverter,
  consumedEventColumns,
  consumedMigrationColumns,
  consumedUserColumns,
  knownEventColumns,
  knownInitialColumns,
  knownUserColumns,
  textHash,
} from '@heapferry/conversion'
import { ColumnRule, conversionVersion, defaultMapping, Mapping, RunId, tableOf } from '@heapferry/domain'
import { noIdentities } from '@heapferry/migration'
import { sourceAt } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { reasonsOfConversion } from '../conversion/reasons-of-conversion.ts'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace, onlyTable } from '../support/place.ts'

const page = readFileSync(new URL('../../docs/mapping.md', import.meta.url), 'utf8')

interface Example {
  columns: string[]
  values: string[]
  /** Undefined where the page says that no property comes of the column. */
  property: string | undefined
  value: string
}

const examples = {
  event: examplesOf('event'),
  set: examplesOf('users $set'),
  setOnce: examplesOf('users $set_once'),
  migrations: examplesOf('user_migrations'),
}

const eventRow = { user_id: '1', time: '2023-01-02 03:04:05' }
const userRow = { user_id: '1', joindate: '2023-01-02 03:04:05' }

test.each(cases(examples.event))('docs/mapping.md, events: %s', (_, example) => {
  check(example, propertiesOf('signup', { ...eventRow, ...rowOf(example) }))
})

test.each(cases(examples.set))('docs/mapping.md, users: %s', (_, example) => {
  check(example, Properties.parse(propertiesOf('users', { ...userRow, ...rowOf(example) })['$set']))
})

test.each(cases(examples.setOnce))('docs/mapping.md, users, first values: %s', (_, example) => {
  check(example, Properties.parse(propertiesOf('users', { ...userRow, ...rowOf(example) })['$set_once']))
})

test.each(cases(examples.migrations))('docs/mapping.md, user_migrations: %s', (_, example) => {
  check(example, propertiesOf('user_migrations', { from_user_id: '111', to_user_id: '222', ...rowOf(example) }))
})

test('docs/mapping.md has an example of every column that means something to the conversion', () => {
  expect(missing([...consumedEventColumns, ...knownEventColumns.keys()], examples.event)).toEqual([])
  expect(missing([...consumedUserColumns, ...knownUserColumns.keys()], examples.set)).toEqual([])
  expect(missing([...knownInitialColumns.keys()], examples.setOnce)).toEqual([])
  expect(missing([...consumedMigrationColumns], examples.migrations)).toEqual([])
})

test('docs/mapping.md names every reason for which conversion leaves a row out', () => {
  for (const reason of reasonsOfConversion) expect(page).toContain(`\`${reason}\``)
})

// A cell of the page without code means that there is no such property.
const rules = rowsOf('rules').map((cells) => {
  const [rule = '', column = '', cell = '', property, value] = cells.map((text) => codes(text)[0])
  return { rule, column, cell, property: property ?? column, value }
})

test.each(rules)('docs/mapping.md, rules: $rule for $column ($cell): $property', ({ rule, column, ...example }) => {
  const mapping = Mapping.parse({ properties: { [column]: parse(rule) } })
  const properties = propertiesOf('signup', { ...eventRow, [column]: example.cell }, mapping)
  expect(properties[example.property]).toEqual(example.value === undefined ? undefined : JSON.parse(example.value))
})

const nulls = rowsOf('nulls').map((cells) => {
  const [texts, column = '', cell = '', property = '', value] = cells.map((text) => codes(text)[0])
  return { texts, column, cell, property, value }
})

test.each(nulls)('docs/mapping.md, null: $texts, $column ($cell): $property', ({ texts, column, cell, ...example }) => {
  const mapping = Mapping.parse(texts === undefined ? {} : { null: parse(texts) })
  const properties = propertiesOf('signup', { ...eventRow, [column]: cell }, mapping)
  expect(properties[example.property]).toEqual(example.value === undefined ? undefined : JSON.parse(example.value))
})

const chains = rowsOf('autocapture').map((cells) => {
  const [columns = [], values = [], property = [], value = []] = cells.map(codes)
  return { columns, values, property: property[0] ?? '', value: value[0] }
})

test.each(chains)('docs/mapping.md, autocapture: $columns ($values)', ({ columns, values, property, value }) => {
  expect(values.length).toBe(columns.length)
  const row = Object.fromEntries(columns.map((column, index) => [column, values[index] ?? '']))
  const mapping = Mapping.parse({ autocapture: true })
  const properties = propertiesOf('core_events_click_any_element', { ...eventRow, ...row }, mapping)
  expect(properties[property]).toEqual(value === undefined ? undefined : JSON.parse(value))
})

const ofGroups = rowsOf('groups').map((cells) => {
  const [groups = '', column = '', cell = '', property = '', value] = cells.map((text) => codes(text)[0])
  return { groups, column, cell, property, value }
})

test.each(ofGroups)(
  'docs/mapping.md, groups: $groups, $column ($cell): $property',
  ({ groups, column, ...example }) => {
    const mapping = Mapping.parse({ groups: parse(groups) })
    const properties = propertiesOf('signup', { ...eventRow, [column]: example.cell }, mapping)
    expect(properties[example.property]).toEqual(example.value === undefined ? undefined : JSON.parse(example.value))
  },
)

test('docs/mapping.md has an example of every rule', () => {
  const words = z.toJSONSchema(ColumnRule).anyOf?.[0]?.enum
  expect(words?.length).toBeGreaterThan(5)
  expect(new Set(rules.map(({ rule }) => rule).filter((rule) => !rule.startsWith('{')))).toEqual(new Set(words))
})

const written = rowsOf('dialects').map((cells) => {
  const [csv = '', cell = '', value = ''] = cells.map((text) => codes(text)[0])
  return { csv, cell, value }
})

test.each(written)('docs/mapping.md, how CSV files are written: $cell with $csv', async ({ csv, cell, value }) => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'heapferry.yaml'), `csv: ${csv}`)
  await writeFile(path.join(folder, 'clicks.csv'), `user_id,time,text\n1,2023-01-02 03:04:05,${cell}\n`)
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'clicks.csv', loadMapping(path.join(folder, 'heapferry.yaml')))
  const rows = []
  for await (const slice of sourceAt(place).readAll(file)) rows.push(...slice.rows)
  expect(rows).toMatchObject([{ values: ['1', '2023-01-02 03:04:05', JSON.parse(value)] }])
})

test('the mapping file that docs/mapping.md shows is one', async () => {
  const [, yaml = ''] = /```yaml\n([^]*?)```/.exec(page) ?? []
  const file = path.join(await temporaryFolder(), 'heapferry.yaml')
  await writeFile(file, yaml)
  expect(loadMapping(file).properties).toHaveProperty('email', 'hash')
})

const Properties = z.record(z.string(), z.unknown())

/** The cells of the table that follows `<!-- checked: NAME -->`, row by row. */
function rowsOf(name: string): string[][] {
  const [, after = ''] = page.split(`<!-- checked: ${name} -->\n`)
  const [table = ''] = after.split('\n\n')
  const [, , ...rows] = table.split('\n')
  // A bar in a cell has a backslash before it.
  return rows.map((row) =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.replaceAll('\\|', '|')),
  )
}

function examplesOf(name: string): Example[] {
  return rowsOf(name).map(([columns = '', values = '', property = '', value = '']) => {
    return {
      columns: codes(columns),
      values: codes(values),
      property: codes(property)[0],
      value: codes(value)[0] ?? '',
    }
  })
}

function missing(wanted: readonly string[], list: readonly Example[]): string[] {
  const explained = new Set(list.flatMap(({ columns }) => columns))
  return wanted.filter((column) => !explained.has(column))
}

function codes(cell: string): string[] {
  // A cell that is empty in Heap is written as two backticks.
  return [...cell.matchAll(/`([^`]*)`/g)].map(([, code = '']) => code)
}

function cases(list: readonly Example[]): [string, Example][] {
  expect(list.length).toBeGreaterThan(0)
  return list.map((example) => {
    expect(example.values.length).toBe(example.columns.length)
    return [`${example.columns.join(', ')} → ${example.property ?? 'nothing'} (${example.values.join(', ')})`, example]
  })
}

function rowOf({ columns, values }: Example): Record<string, string> {
  return Object.fromEntries(columns.map((column, index) => [column, values[index] ?? '']))
}

function propertiesOf(
  tableName: string,
  row: Record<string, string>,
  mapping = defaultMapping,
): Record<string, unknown> {
  const columns = Object.keys(row)
  const convert = compileConverter(tableOf(tableName, columns), columns, {
    run: RunId.parse('docs'),
    conversion: conversionVersion,
    mapping,
    startedAtMs: Date.UTC(2024, 0, 1),
    includeRecent: false,
    identities: noIdentities,
    hash: textHash('a salt of the documentation'),
  })
  const conversion = convert(Object.values(row))
  if (conversion.kind !== 'event') throw new Error(`expected an event, got ${JSON.stringify(conversion)}`)
  return conversion.event.properties
}

function check(example: Example, properties: Record<string, unknown>): void {
  if (example.property === undefined)
    for (const column of example.columns) expect(properties).not.toHaveProperty([column])
  else expect(properties[example.property]).toEqual(JSON.parse(example.value))
}
