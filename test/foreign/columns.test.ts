import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Mapping } from '@heapferry/domain'
import { discover, inspectExport, noticesOf, sourceAt } from '@heapferry/sources'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'
import { noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'
import { tableWriters, type TextTable } from '../support/write-table.ts'

const server = redisForTests()
const ids = ['4702333951502204', '1144768874446519', '7376682748375158'] as const
const row = [...ids, '2023-05-01 10:00:00', '/a'] as const
const columns = ['user_id', 'event_id', 'session_id', 'time', 'path'] as const

async function written(files: Readonly<Record<string, string | TextTable>>): Promise<string> {
  const root = await temporaryFolder()
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(root, name)
    await mkdir(path.dirname(file), { recursive: true })
    if (typeof content === 'string') await writeFile(file, content)
    else await writerOf(name)(file, content)
  }
  return root
}

function writerOf(name: string) {
  if (name.endsWith('.parquet')) return tableWriters.parquet
  return name.endsWith('.avro') ? tableWriters.avro : tableWriters.jsonLines
}

async function lookedAt(source: string, mapping: unknown = {}) {
  const parsed = Mapping.parse(mapping)
  const discovery = await discover(source, noS3)
  const inspected = await inspectExport(discovery, parsed)
  const stops = inspected.flatMap((one) => (one.kind === 'faulty' ? [`${one.fault.message}\n${one.fault.hint}`] : []))
  const files = inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : []))
  const rows: Record<string, string | null>[] = []
  const firstTimes: (string | null)[] = []
  for (const file of files) {
    for await (const { first } of sourceAt(discovery.place).cut(file, 1_000_000))
      if (first?.kind === 'row') firstTimes.push(first.values[first.columns.indexOf('time')] ?? null)
    for await (const slice of sourceAt(discovery.place).readAll(file)) {
      for (const one of slice.rows) {
        if (one.kind === 'unreadable') throw new Error(one.detail)
        rows.push(Object.fromEntries(one.columns.map((column, index) => [column, one.values[index] ?? null])))
      }
    }
  }
  discovery.place.close()
  return { stops, rows, firstTimes, kinds: files.map(({ table }) => table.kind), notices: noticesOf(inspected, parsed) }
}

function csv(header: string, ...rows: readonly string[]): string {
  return [header, ...rows, ''].join('\n')
}

const shownNames = csv('User ID,Event ID,Session ID,Time,Path', row.join())
const unnamed = { columns: row.map((_, index) => `_COL_${index}`), rows: [row] }

test.each<[what: string, name: string, content: string | TextTable, key: string]>([
  [
    'display names',
    'signup.csv',
    shownNames,
    'columns: { "user id": user_id, "event id": event_id, "session id": session_id }',
  ],
  [
    'names of a programme',
    'signup.json',
    '{"userId":"1","eventId":"2","timestamp":"2023-05-01"}\n',
    'columns: { "userid": user_id, "eventid": event_id, "timestamp": time }',
  ],
  [
    'names with the table in front',
    'signup.csv',
    csv('signup.user_id,signup.event_id,signup.time', ids.join()),
    '"signup.user_id": user_id',
  ],
  [
    'names in quotes of another kind',
    'signup.csv',
    csv('`user_id`,`event_id`,`time`', ids.join()),
    '"`user_id`": user_id',
  ],
  ['no names in Parquet', 'signup.parquet', unnamed, 'columns: [user_id, event_id, …]'],
  [
    'no names in Avro',
    'signup.avro',
    { ...unnamed, columns: row.map((_, index) => `f${index}_`) },
    'columns: [user_id, event_id, …]',
  ],
  ['no names in CSV', 'signup.csv', csv('c1,c2,c3,c4', '1,2,3,4'), 'columns: [user_id, event_id, …]'],
  [
    'control characters between cells',
    'signup.csv',
    csv(columns.join('\u0001'), row.join('\u0001')),
    'csv: { delimiter: "\\u0001" }',
  ],
  ['tildes between cells', 'signup.csv', csv(columns.join('~'), row.join('~')), 'csv: { delimiter: "~" }'],
  ['carets between cells, and no header', 'signup.csv', csv(row.join('^'), row.join('^')), 'csv: { delimiter: "^" }'],
  [
    'two signs between cells',
    'signup.csv',
    csv(columns.join('~~'), row.join('~~')),
    'a single character between cells',
  ],
  [
    "Airbyte's envelope",
    'signup.csv',
    csv('_airbyte_ab_id,_airbyte_emitted_at,_airbyte_data', `x,1,"{""user_id"":1}"`),
    "jq -c '._airbyte_data'",
  ],
  [
    "Singer's envelope",
    'signup.json',
    '{"type":"RECORD","stream":"signup","record":{"user_id":1}}\n',
    "jq -c '.record'",
  ],
  [
    "Debezium's envelope",
    'signup.json',
    '{"before":null,"after":{"user_id":1},"op":"c","ts_ms":1}\n',
    "jq -c '.after'",
  ],
  ['JSON in a column', 'signup.csv', csv('src', `"{""user_id"": 1, ""time"": ""x""}"`), 'kind: skip'],
  [
    'a page of HTML',
    'signup.csv',
    '<!DOCTYPE html><html><body>Sign in</body></html>\n',
    'Fetch or write the file again',
  ],
  [
    'an error of S3',
    'signup.csv',
    '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    'Fetch or write the file again',
  ],
  [
    'an error in JSON',
    'signup.json',
    '{"error":"forbidden","message":"no","status":403}\n',
    'Fetch or write the file again',
  ],
  ['JSON under the name of CSV', 'signup.csv', '{"user_id":1,"time":"2023-05-01"}\n', 'Fetch or write the file again'],
  [
    'names in another language',
    'signup.csv',
    csv('benutzer,wann,seite', `${ids[0]},2023-05-01 10:00:00,/a`),
    'columns: { "benutzer": user_id, "wann": time }',
  ],
  ['the person missing', 'signup.csv', csv('event_id,time,path', `${ids[1]},2023-05-01,/a`), 'columns'],
  ['the time missing', 'signup.csv', csv('user_id,event_id,path', `${ids[0]},${ids[1]},/a`), 'columns'],
  [
    'migrations under display names',
    'merges.csv',
    csv('From User ID,To User ID', `${ids[0]},${ids[1]}`),
    '"from user id": from_user_id',
  ],
  [
    'people under a name that is not known',
    'members.csv',
    csv('user_id,identity,plan', `${ids[0]},a@example.com,Pro`),
    'tables: { members: { kind: users } }',
  ],
])('rows of actions that would be left out in silence stop: %s', async (_, name, content, key) => {
  const source = await written({ [name]: content })
  const { stops, kinds } = await lookedAt(source)
  expect(kinds).toEqual([])
  expect(stops).toEqual([expect.stringContaining(key)])
  const table = name.split('.')[0] ?? ''
  expect((await lookedAt(source, { tables: { [table]: { kind: 'skip' } } })).kinds).toEqual(['helper'])
})

test.each<[what: string, text: string]>([
  ['of a segment', 'user_id,score\n4702333951502204,7\n'],
  ['of ids alone', 'user_id\n4702333951502204\n'],
  ['of countries', 'code,name\nDE,Germany\n'],
  ['with nothing in it', 'User ID,Event ID,Time\n'],
])('a table that has nothing of an action is a helper table: %s', async (_, text) => {
  expect(await lookedAt(await written({ 'x_list.csv': text }))).toMatchObject({ kinds: ['helper'], stops: [] })
})

describe('columns of the mapping', () => {
  const wanted = { user_id: ids[0], event_id: ids[1], path: '/a' }
  const renamed = { tables: { signup: { columns: { 'User ID': 'user_id', 'event id': 'event_id', Zeit: 'time' } } } }
  const foreign = { columns: ['User ID', 'Event ID', 'Zeit', 'path'], rows: [[ids[0], ids[1], row[3], '/a']] }

  test.each(['signup.csv', 'signup.jsonl', 'signup.parquet', 'signup.avro'])('rename those of %s', async (name) => {
    const text = csv(foreign.columns.join(), ...foreign.rows.map((cells) => cells.join()))
    const avro = { ...foreign, columns: foreign.columns.map((column) => column.replace(' ', '_')) }
    const source = await written({ [name]: name.endsWith('.csv') ? text : name.endsWith('.avro') ? avro : foreign })
    const mapping = name.endsWith('.avro')
      ? { columns: { User_ID: 'user_id', event_id: 'event_id', Zeit: 'time' } }
      : renamed
    const { rows, firstTimes, kinds, stops, notices } = await lookedAt(source, mapping)
    expect({ stops, kinds, notices }).toEqual({ stops: [], kinds: ['event'], notices: [] })
    expect(rows).toEqual([expect.objectContaining(wanted)])
    expect(rows[0]?.['time']).toMatch(/^2023-05-01 10:00:00/)
    // What the day of a chunk is told by.
    expect(firstTimes).toEqual([rows[0]?.['time']])
  })

  test.each(['signup_0_0_0.parquet', 'signup_0_0_0.avro', 'signup_0_0_0.csv'])(
    'in order name those of %s',
    async (name) => {
      const source = await written({ [name]: name.endsWith('.csv') ? csv('c1,c2,c3,c4,c5', row.join()) : unnamed })
      const { rows, kinds } = await lookedAt(source, { tables: { signup: { columns } } })
      expect(kinds).toEqual(['event'])
      expect(rows).toEqual([expect.objectContaining(wanted)])
    },
  )

  test('for all tables, and another one for one of them', async () => {
    const source = await written({
      'a.csv': csv('uid,ts', `1,${row[3]}`),
      'b.csv': csv('uid,ts,zeit', `1,x,${row[3]}`),
    })
    const mapping = {
      columns: { uid: 'user_id', ts: 'time' },
      tables: { b: { columns: { ts: 'step', zeit: 'time' } } },
    }
    const { kinds, rows } = await lookedAt(source, mapping)
    expect(kinds).toEqual(['event', 'event'])
    expect(rows).toContainEqual({ user_id: '1', step: 'x', time: row[3] })
  })

  test('that no file has are told, and those that two columns would get stop', async () => {
    const source = await written({ 'signup.csv': csv('user_id,uid,time', `1,1,${row[3]}`) })
    const { notices } = await lookedAt(source, {
      columns: { Zeit: 'time' },
      tables: { signup: { columns: { wer: 'user_id' } } },
    })
    expect(notices).toEqual([
      'The mapping has columns."Zeit", but no file was seen to have such a column',
      'The mapping has tables.signup.columns."wer", but no file was seen to have such a column',
    ])
    const { stops } = await lookedAt(source, { columns: { uid: 'user_id' } })
    expect(stops).toEqual([expect.stringContaining('two of its columns are called user_id: user_id, uid')])
  })

  test('in order are of no use to JSON, nor where there are more or fewer, and that is said', async () => {
    const json = await written({ 'signup.json': '{"a":1,"b":2}\n' })
    const list = { tables: { signup: { columns: ['user_id', 'time'] } } }
    expect((await lookedAt(json, list)).stops).toEqual([expect.stringContaining('columns: { "a": user_id, … }')])
    const parquet = await written({ 'signup.parquet': unnamed })
    expect((await lookedAt(parquet, list)).stops).toEqual([
      expect.stringContaining('has 5 columns (_col_0, _col_1, _col_2'),
    ])
  })

  test('that replace a header say so, and never take a row for a header', async () => {
    const mapping = { tables: { signup: { columns } } }
    const display = await lookedAt(await written({ 'signup.csv': shownNames }), mapping)
    expect(display.rows).toEqual([expect.objectContaining(wanted)])
    expect(display.notices).toEqual([expect.stringContaining('take the place of its header (user id, event id')])
    const quoted = row.map((cell) => `'${cell}'`).join()
    expect((await lookedAt(await written({ 'signup.csv': csv(quoted, quoted) }), mapping)).rows).toHaveLength(2)
  })
})

test('what a run leaves out without having been told to is said at its end, and what Heap or the mapping leaves out is on purpose', async () => {
  const cwd = await written({
    'e/signup.csv': csv(columns.join(), row.join()),
    'e/_sync_info.csv': csv('event_table_name,synced_to_time', 'signup,2023-05-01'),
    'e/countries.csv': csv('code,name', 'DE,Germany', 'FR,France'),
    'skip.yaml': 'tables: { countries: { kind: skip } }\n',
  })
  const run = async (...args: string[]) => {
    const env = { HEAPFERRY_HOME: path.join(cwd, 'home'), REDIS_URL: server.server.url }
    const { stdout } = await heapferryAnswer(['run', 'e', '--json', ...args], { cwd, env })
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '').message
  }
  expect(await run('--to', 'jsonl:out')).toBe(
    'Completed: every row has been sent or left out on purpose, but for 2 rows of countries, in which no action of anybody was found. If there are none, say so with kind: skip in the mapping file of another run.',
  )
  expect(await run('--to', 'jsonl:out2', '--mapping', 'skip.yaml')).toBe(
    'Completed: every row has been sent or left out on purpose.',
  )
})
