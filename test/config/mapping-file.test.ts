import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadMapping } from '@heapferry/config'
import { OperatorError } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { tries } from '../support/tries.ts'

test('a mapping file may name events, give columns and choose how persons are written', async () => {
  const mapping = await loaded(
    'persons: set_once\ntables:\n  signup_click:\n    event: Signed up\n    columns: [event_id, user_id, time]\n',
  )
  expect(mapping).toMatchObject({
    persons: 'set_once',
    anonymous: 'full',
    identity: 'keep',
    json: { undouble: 'auto' },
    tables: { signup_click: { event: 'Signed up', columns: ['event_id', 'user_id', 'time'] } },
  })
})

test('an empty file is the default mapping, and so is one whose sections are all commented out', async () => {
  expect(await loaded('')).toEqual(loadMapping(undefined))
  expect(await loaded('properties:\n  # email: hash\nfilter:\nstatic:\ntables:\n')).toEqual(loadMapping(undefined))
})

test('patterns of files that could take for ever to match are a fault; names with brackets are none', async () => {
  expect(await faults('files: { "*a*a*a*b": clicks }\n')).toEqual([
    'line 1, column 10: files.*a*a*a*b: expected at most three * in a name: matching more takes long',
  ])
  const files = { '*/*/*/a*.csv': 'clicks', 'clicks (1).csv': 'clicks' }
  expect((await loaded(`files: ${JSON.stringify(files)}\n`)).files).toEqual(files)
})

test('more types of groups than PostHog has are refused, with how many there may be', async () => {
  expect((await loaded(`groups:\n${groupTypes(5)}`)).groups).toHaveProperty('t4', { key: 'account_id', properties: [] })
  expect(await faults(`groups:\n${groupTypes(6)}`)).toEqual([
    'line 1, column 1: groups: PostHog has 5 types of groups in a project at most, and these are 6: leave some out',
  ])
  expect(await faults('groups: { a.b: { key: x }, c: { properties: [y] }, d: { key: Account } }')).toEqual([
    'line 1, column 11: groups.a.b: expected a name without dots: PostHog would make a structure of it',
    'line 1, column 31: groups.c.key: expected text, got nothing',
    'line 1, column 62: groups.d.key: expected a lower-case column name: heapferry reads all names so, got "Account"',
  ])
})

test('every fault of a mapping file is named at once, in order, with line and column, what was got and what is expected', async () => {
  const text = `persons: maybe
anonimous: full
properties:
  Email: hash
  user_id: drop
  price: { as: numbr }
  a: { nam: x }
  b: 12
  c:
  d: { name: a.b }
  e: { name: token }
  f: { name: same }
  g: { name: same }
static: { x: [1] }
filter:
  from: 2023-02-31
  to: 5
  where: { env: { equals: 5 }, plan: { equals: a, in: [b] } }
csv: { delimeter: "|", quote: x }
tables:
  a: { event: "" }
  B: {}
  c: { kind: evnt, columns: [] }
  d: [1]
`
  expect(await faults(text)).toEqual([
    'line 1, column 10: persons: expected set, set_once or skip, got "maybe"',
    'line 2, column 1: anonimous: unknown key; did you mean anonymous?',
    'line 4, column 3: properties.Email: expected a lower-case column name: heapferry reads all names so',
    'line 5, column 3: properties.user_id: user_id cannot be changed: it is the distinct_id of every event',
    'line 6, column 16: properties.price.as: expected hash, number, boolean or date, got "numbr"',
    'line 7, column 6: properties.a: expected name, as, or both, got keys with values',
    'line 7, column 8: properties.a.nam: unknown key; did you mean name?',
    'line 8, column 6: properties.b: expected keep, drop, hash, number, boolean, date, or { name: NAME }, got 12',
    'line 9, column 5: properties.c: expected keep, drop, hash, number, boolean, date, or { name: NAME }, got nothing',
    'line 10, column 14: properties.d.name: expected a name without dots: PostHog would make a structure of it, got "a.b"',
    'line 11, column 14: properties.e.name: expected another name: PostHog or heapferry itself uses this one, got "token"',
    'line 13, column 3: properties.g: same is given to f too: of a row that has both, one would be lost',
    'line 14, column 14: static.x: expected text, a number, true or false, got a list',
    'line 16, column 9: filter.from: expected a day that the calendar has, got "2023-02-31"',
    'line 17, column 7: filter.to: expected text, got 5: put it in quotes',
    'line 18, column 27: filter.where.env.equals: expected text, got 5: put it in quotes',
    'line 18, column 38: filter.where.plan: expected one of equals, not_equals, in, not_in and exists, got keys with values',
    'line 19, column 8: csv.delimeter: unknown key; did you mean delimiter?',
    `line 19, column 31: csv.quote: expected '"', "'" or '', got "x"`,
    'line 21, column 15: tables.a.event: expected a name, got ""',
    'line 22, column 3: tables.B: expected a lower-case table name',
    'line 23, column 14: tables.c.kind: expected users, user_migrations, sessions, pageviews, event, raw_events or skip, got "evnt"',
    'line 23, column 29: tables.c.columns: expected at least one, got an empty list',
    'line 24, column 6: tables.d: expected keys with values, got a list',
  ])
})

test('null is a key like any other, and takes a text or several', async () => {
  const text = 'null: "-"\ncsv: { null: [NA, "#"], delimiter: "\\u0001" }\ntables: { users: { null: [] } }'
  expect(await loaded(text)).toMatchObject({
    null: '-',
    csv: { null: ['NA', '#'], delimiter: '\u0001' },
    tables: { users: { null: [] } },
  })
  expect(await faults('null: 5')).toEqual(['line 1, column 7: null: expected a text, or a list of texts, got 5'])
  expect(await faults('csv: { delimiter: "||" }')).toEqual([
    'line 1, column 19: csv.delimiter: expected one character, such as ";", or in double quotes "\\t" or "\\u0001", got "||"',
  ])
})

test('a key that resembles none is told with all that may stand there', async () => {
  expect(await faults('csv: { separator: x }')).toEqual([
    'line 1, column 8: csv.separator: unknown key; expected delimiter, quote, escape, null or encoding',
  ])
})

test('a name that a table gives to a column is held against those that all tables give', async () => {
  const text =
    'properties: { a: { name: p }, b: { name: q } }\ntables:\n  t: { properties: { c: { name: p }, b: drop } }\n'
  expect(await faults(text)).toEqual([
    'line 3, column 22: tables.t.properties.c: p is given to a too: of a row that has both, one would be lost',
  ])
  expect(await loaded(text.replace('c: { name: p }', 'c: { name: q }'))).toMatchObject({ tables: { t: {} } })
})

test('a time range that ends before it begins, and a list instead of keys, are told', async () => {
  expect(await faults('filter: { from: 2023-02-01, to: 2023-01-01 }')).toEqual([
    'line 1, column 33: filter.to: expected a time after from, got "2023-01-01"',
  ])
  expect(await faults('- a\n')).toEqual(['line 1, column 1: the file: expected keys with values, got a list'])
})

test('text that is no YAML is told with its line', async () => {
  expect((await faults('tables:\n  a: [1, 2\n'))[0]).toMatch(/^line [23], column \d+: /)
  expect(await faults('tables: { a: {}, a: {} }')).toEqual(['line 1, column 18: Map keys must be unique'])
  expect(await faults('tables: *missing')).toEqual(['line 1, column 9: *missing is no anchor'])
  expect(await faults('properties: { __proto__: drop }')).toEqual(['line 1, column 15: __proto__ cannot be a key'])
  expect(await faults('persons: set\n---\npersons: skip\n')).toEqual([
    'line 2, column 1: a second document begins here; expected one',
  ])
})

test('rules can be written once and used for many tables', async () => {
  const tables = Array.from({ length: 300 }, (_, nth) => `  t${nth}: *rules`).join('\n')
  const mapping = await loaded(`tables:\n  first: &rules { properties: { email: drop } }\n${tables}\n`)
  expect(mapping.tables.t299).toEqual({ properties: { email: 'drop' } })
})

test('aliases that stand for billions of values, or for themselves, are a fault of the file, with its line', async () => {
  const bomb = ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].reduce(
    ({ text, of }, name) => ({
      text: `${text}  ${name}: &${name} [${Array(9).fill(`*${of}`).join(', ')}]\n`,
      of: name,
    }),
    { text: 'static:\n  a: &a [x, x, x, x, x, x, x, x, x]\n', of: 'a' },
  )
  expect(await faults(bomb.text)).toEqual([
    'line 8, column 9: with its aliases it stands for more than 1,000,000 values',
  ])
  expect(await faults('static: &a\n  x: *a\n')).toEqual(['line 2, column 6: *a stands inside of what it stands for'])
})

test('rules of one anchor serve for thousands of tables, and each of thousands of faults has its line', async () => {
  const mapping = await loaded(`properties: &rules { email: drop }\ntables:\n${manyTables('{ properties: *rules }')}`)
  expect(mapping.tables[`t${many - 1}`]).toEqual({ properties: { email: 'drop' } })
  const found = await faults(`tables:\n${manyTables('{ event: 5 }')}`)
  expect(found.length).toBe(many)
  expect(found.at(-1)).toMatch(
    new RegExp(String.raw`^line ${many + 1}, column \d+: tables\.t${many - 1}\.event: expected text`),
  )
}, 60_000)

test('a fault inside of rules that are used again is told where they are written', async () => {
  expect(await faults('tables:\n  a: &rules { event: 5 }\n  b: *rules\n')).toEqual([
    'line 2, column 22: tables.a.event: expected text, got 5: put it in quotes',
    'line 2, column 22: tables.b.event: expected text, got 5: put it in quotes',
  ])
})

const many = tries(20_000)

async function loaded(text: string) {
  const file = path.join(await temporaryFolder(), 'heapferry.yaml')
  await writeFile(file, text)
  return loadMapping(file)
}

async function faults(text: string): Promise<string[]> {
  const error: unknown = await loaded(text).catch((fault: unknown) => fault)
  if (!(error instanceof OperatorError)) throw new Error(`expected faults, got ${JSON.stringify(error)}`)
  const [first = '', ...lines] = error.message.split('\n')
  expect(first).toMatch(/heapferry\.yaml is not a mapping file:$/)
  return lines.map((line) => line.trim())
}

function manyTables(rule: string): string {
  return Array.from({ length: many }, (_, nth) => `  t${nth}: ${rule}\n`).join('')
}

function groupTypes(count: number): string {
  return Array.from({ length: count }, (_, index) => `  t${index}: { key: account_id }\n`).join('')
}
