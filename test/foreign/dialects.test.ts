import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { type ExportFile, Mapping, type ReadRow, RunId } from '@heapferry/domain'
import { loadSettings, warehouseOptionsOf } from '@heapferry/config'
import { planExport } from '@heapferry/migration'
import { openRun } from '@heapferry/producer'
import { connectRedis, redisLedger } from '@heapferry/queue'
import { discover, inspectExport, openRowsFile, sourceAt } from '@heapferry/sources'
import { describe, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'
import { tableWriters } from '../support/write-table.ts'

const user = '4702333951502204'
const time = '2023-05-01 10:00:00'

/** Rows of a table of events with what is asked about in the last column but one, `text`. */
const header = ['user_id', 'time', 'text', 'path']
const lines = (delimiter: string, texts: readonly string[], lineEnd = '\n'): string =>
  [header, ...texts.map((text) => [user, time, text, '/a'])].map((cells) => cells.join(delimiter) + lineEnd).join('')

interface DialectCase {
  files: Record<string, string | Buffer>
  csv?: object
  tables?: object
  /** By file: the texts, null where a cell holds nothing. */
  texts: Record<string, (string | null)[]>
}

/** More than 64 kB. */
const longTexts = Array.from({ length: 100 }, () => 'x'.repeat(700))

const cases: Record<string, DialectCase> = {
  'Redshift ESCAPE: backslashes before pipes, line ends and backslashes, also in a file whose rows do not show it': {
    files: {
      signup_click_0000_part_00: lines('|', ['Plain', 'a\\|b', 'two\\\nlines', 'C:\\\\temp', '5" nail']),
      signup_click_0001_part_00: lines('|', ['CORP\\\\alice']),
      buy_click_0000_part_00: lines('|', ['CORP\\\\bob', 'plain']),
    },
    texts: {
      signup_click_0000_part_00: ['Plain', 'a|b', 'two\nlines', 'C:\\temp', '5" nail'],
      signup_click_0001_part_00: ['CORP\\alice'],
      buy_click_0000_part_00: ['CORP\\bob', 'plain'],
    },
  },
  'Redshift ESCAPE: cells that begin with a quote, and a carriage return in one': {
    files: { clicks0000_part_00: lines('|', ['"quoted" text', 'a\\\r\\\nb', 'x\\\\', 'a\\|b']) },
    texts: { clicks0000_part_00: ['"quoted" text', 'a\r\nb', 'x\\', 'a|b'] },
  },
  'Redshift ADDQUOTES ESCAPE': {
    files: { 'clicks.csv': lines(',', ['"plain"', '"say \\"hi\\" now"', '"C:\\\\"', '"a\\,b"', '"it\\\'s"']) },
    texts: { 'clicks.csv': ['plain', 'say "hi" now', 'C:\\', 'a,b', "it's"] },
  },
  'Redshift ESCAPE where rows cannot show it, by the mapping': {
    files: { clicks0000_part_00: lines('|', ['CORP\\\\alice', 'plain']) },
    csv: { escape: '\\' },
    texts: { clicks0000_part_00: ['CORP\\alice', 'plain'] },
  },
  'Spark: backslashes before quotes': {
    files: {
      'clicks.csv': lines(',', [
        'Plain',
        '"Say \\"hi\\" now"',
        '"ends with \\"quote\\""',
        '"\\"Buy\\", now"',
        '"\\""',
        '""',
      ]),
    },
    texts: { 'clicks.csv': ['Plain', 'Say "hi" now', 'ends with "quote"', '"Buy", now', '"', null] },
  },
  'Spark: JSON in a cell, a path without quotes, and a file of the table that shows nothing': {
    files: {
      'clicks/part-00000-a.csv': lines(',', ['"{\\"a\\":\\"say \\\\\\"hi\\\\\\"\\"}"', 'C:\\new', '"C:\\\\new, x"']),
      'clicks/part-00001-a.csv': lines(',', ['"C:\\\\"', 'D:\\']),
    },
    texts: {
      'clicks/part-00000-a.csv': ['{"a":"say \\"hi\\""}', 'C:\\new', 'C:\\new, x'],
      'clicks/part-00001-a.csv': ['C:\\', 'D:\\'],
    },
  },
  'Spark: the row that shows it stands behind the first 64 kB of a large file': {
    files: { 'clicks.csv': lines(',', [...longTexts, '"a \\"b\\" c"', '"C:\\\\"']) },
    texts: { 'clicks.csv': [...longTexts, 'a "b" c', 'C:\\'] },
  },
  'MySQL: tabs, a backslash before tab, line end and backslash, \\N and \\0': {
    files: { 'clicks.tsv': lines('\t', ['a\\\tb', 'two\\\nlines', '\\N', 'C:\\\\N', 'x\\0y']) },
    texts: { 'clicks.tsv': ['a\tb', 'two\nlines', null, 'C:\\N', 'x\0y'] },
  },
  'PostgreSQL: letters for tabs and line ends, by the mapping': {
    files: { 'clicks.tsv': lines('\t', ['a\\tb', 'two\\nlines', '\\N', 'x']) },
    tables: { clicks: { csv: { escape: '\\', quote: '' } } },
    texts: { 'clicks.tsv': ['a\tb', 'two\nlines', null, 'x'] },
  },
  'single quotes of Snowflake, doubled in text': {
    files: {
      'clicks_0_0_0.csv': lines(',', ["'Go'", "'Yes, please'", "'It''s'"]),
      'users_0_0_0.csv': `user_id,identity,joindate\n${user},'ada@example.com','2023-01-01 00:00:00.000'\n`,
    },
    texts: { 'clicks_0_0_0.csv': ['Go', 'Yes, please', "It's"], 'users_0_0_0.csv': ['2023-01-01 00:00:00.000'] },
  },
  'single quotes around names too, with CRLF': {
    files: { 'clicks.csv': `'user_id','time','text','path'\r\n'${user}','${time}','5" nail','/a'\r\n` },
    texts: { 'clicks.csv': ['5" nail'] },
  },
  'single quotes around ids and times of one row': {
    files: { 'clicks.csv': `user_id;time;text;path\n'${user}';'${time}';'a;b';'/a'\n` },
    texts: { 'clicks.csv': ['a;b'] },
  },
  'single quotes with backslashes': {
    files: { 'clicks.csv': lines(',', ["'It\\'s'", "'a, b'", "'plain'"]) },
    texts: { 'clicks.csv': ["It's", 'a, b', 'plain'] },
  },
  'rows that end in \\r\\r\\n, quoted or not, with blank lines': {
    files: {
      'clicks.csv': `${lines(',', ['plain', '"quoted"'], '\r\r\n')}\r\r\n`,
      'ends.csv': `user_id,time,text\r\r\n${user},${time},last\r\r\n${user},${time},"a, b"\r\r\n`,
    },
    texts: { 'clicks.csv': ['plain', 'quoted'], 'ends.csv': ['last', 'a, b'] },
  },
  'rows that end at a carriage return alone, with a line feed in a cell': {
    files: { 'clicks.csv': lines(',', ['plain', '"two\nlines"', '"say ""hi"""'], '\r') },
    texts: { 'clicks.csv': ['plain', 'two\nlines', 'say "hi"'] },
  },
  'the delimiter ^A of Hive, by the mapping': {
    files: { 'clicks.csv': lines('\u0001', ['a,b', 'x']) },
    csv: { delimiter: '\u0001' },
    texts: { 'clicks.csv': ['a,b', 'x'] },
  },
  'a delimiter of one table alone, and one of two bytes': {
    files: {
      'clicks.csv': lines('~', ['a,b']),
      'taps.csv': lines('§', ['a,b', '"x§y"']),
      'views.csv': lines(',', ['x']),
    },
    tables: { clicks: { csv: { delimiter: '~' } }, taps: { csv: { delimiter: '§' } } },
    texts: { 'clicks.csv': ['a,b'], 'taps.csv': ['a,b', 'x§y'], 'views.csv': ['x'] },
  },
  'a line for Excel that names the delimiter, in front of which a byte order mark stands': {
    files: {
      'clicks.csv': `sep=^\r\n${lines('^', ['a,b'], '\r\n')}`,
      'taps.csv': `\uFEFF"sep=;"\n${lines(';', ['a,b'])}`,
      'views.csv': `SEP=\t\n${lines('\t', ['a;b'])}`,
    },
    texts: { 'clicks.csv': ['a,b'], 'taps.csv': ['a,b'], 'views.csv': ['a;b'] },
  },
  'UTF-16, with either byte first, with a byte order mark or without, packed or not': {
    files: {
      'a.csv': utf16(`\uFEFF${lines('\t', ['Grüße 😀', '"two\n""lines"""'], '\r\n')}`),
      'b.csv': utf16(`\uFEFF${lines(',', ['Grüße'])}`).swap16(),
      'c.csv': utf16(lines(',', ['Grüße'])),
      'd.csv.gz': gzipSync(utf16(lines(',', ['Grüße'])).swap16()),
    },
    texts: { 'a.csv': ['Grüße 😀', 'two\n"lines"'], 'b.csv': ['Grüße'], 'c.csv': ['Grüße'], 'd.csv.gz': ['Grüße'] },
  },
  'UTF-16 without a byte order mark that does not begin in ASCII, and windows-1252, by the mapping': {
    files: {
      'clicks.csv': utf16(`önlich,${lines(',', ['Grüße']).replaceAll('\n4', '\nx,4')}`),
      'taps.csv': Buffer.from(lines(',', ['Grüße']), 'latin1'),
    },
    tables: { clicks: { csv: { encoding: 'utf-16le' } }, taps: { csv: { encoding: 'windows-1252' } } },
    texts: { 'clicks.csv': ['Grüße'], 'taps.csv': ['Grüße'] },
  },
  'texts that stand for nothing, by the mapping': {
    files: { 'clicks.csv': lines(',', ['-', 'keine', 'x']) },
    csv: { null: ['-', 'keine'] },
    texts: { 'clicks.csv': [null, null, 'x'] },
  },
  'usual CSV with backslashes, JSON and single quotes stays usual': {
    files: {
      'a.csv': lines(',', ['"{""a"":""say \\""hi\\""""}"', 'C:\\temp\\', '"C:\\temp\\"', '"x\\\\"']),
      'b.csv': lines(',', ["'tis", "rock 'n' roll", "'Go'"]),
      'c.csv': lines(',', ["'Go'"]),
    },
    texts: {
      'a.csv': ['{"a":"say \\"hi\\""}', 'C:\\temp\\', 'C:\\temp\\', 'x\\\\'],
      'b.csv': ["'tis", "rock 'n' roll", "'Go'"],
      'c.csv': ["'Go'"],
    },
  },
  'what another file shows is not taken where rows speak against it': {
    files: {
      'clicks.csv': lines(',', ['"a \\"b\\" c"']),
      'taps.csv': lines(',', ['"say ""hi"""', '"C:\\\\x"']),
      'views.csv': lines(',', ['"C:\\"', '"D:\\\\x"']),
    },
    texts: { 'clicks.csv': ['a "b" c'], 'taps.csv': ['say "hi"', 'C:\\\\x'], 'views.csv': ['C:\\', 'D:\\\\x'] },
  },
  'the mapping is believed where it says that backslashes are text': {
    files: { 'clicks.csv': lines(',', ['"C:\\"', 'x\\\\y']) },
    csv: { escape: '' },
    texts: { 'clicks.csv': ['C:\\', 'x\\\\y'] },
  },
}

describe('as it was meant is read', () => {
  test.each(Object.entries(cases))('%s', async (_, { files, texts, ...mapping }) => {
    const { found, source } = await opened(files, Mapping.parse(mapping))
    for (const file of found) {
      const all = await rowsOf(source.readAll(file))
      expect([file.path, all.map(textOf)]).toEqual([file.path, texts[file.path]])
      expect(JSON.stringify(all)).not.toMatch(/\\r"/)
      for (const chunkBytes of [1, 17, 100]) {
        const inChunks: ReadRow[] = []
        for await (const cut of source.cut(file, chunkBytes)) {
          const slices = source.read(file, cut, { cursor: 0, rows: 0 }, { rows: 2, bytes: 30 })
          inChunks.push(...(await rowsOf(slices)))
        }
        expect(inChunks).toEqual(all)
      }
      const places = all.map(({ place }) => place)
      const again = []
      for await (const { row } of source.rowsAt(file, places)) again.push(row)
      expect(again).toEqual(all)
      expect(await source.countRows(file, Number.POSITIVE_INFINITY)).toBe(all.length)
    }
  })
})

test.each<[string, string, RegExp]>([
  [
    'ends with a backslash',
    lines('|', ['C:\\', 'x']),
    /1 cells of the first 2 rows of clicks\.csv end with a backslash.*ESCAPE\?.*csv: \{ escape: "\\\\" \}/,
  ],
  ['has two backslashes', lines('|', ['CORP\\\\alice']), /was this unloaded with ESCAPE\?/],
  [
    'stands in single quotes',
    lines(',', ["'Go'", "'No'"]),
    /All cells of text of the first 2 rows of clicks\.csv stand in single quotes/,
  ],
])('where a cell %s and rows do not show how they are written, it is told', async (_, content, expected) => {
  const { plan } = await planned({ 'clicks.csv': content })
  expect(plan.notices).toEqual([expect.stringMatching(expected)])
  const mapping = Mapping.parse({ csv: { escape: '', quote: '"' } })
  expect((await planned({ 'clicks.csv': content }, mapping)).plan.notices).toEqual([])
})

test('how files are read is told by table where rows have shown it, and not where the mapping says it', async () => {
  const files = { 'clicks.csv': lines(',', ['"a \\"b\\""']), 'taps.csv': lines(',', ['x']) }
  const { plan } = await planned(files)
  expect(plan.notices).toEqual([
    'clicks, taps: read as CSV with cells quoted as usual and a backslash before quotes that are text, as rows show. csv: in the mapping file says it otherwise',
  ])
  const said = Mapping.parse({ csv: { quote: '"', escape: '\\' } })
  expect((await planned(files, said)).plan.notices).toEqual([])
})

test('a row with a backslash before a quote that the usual dialect cannot read says which key reads it', async () => {
  const rows = [...Array.from({ length: 40_000 }, () => 'x'), '"a \\"b\\" c"']
  const { found, source } = await opened({ 'clicks.csv': lines(',', rows) })
  const [file] = found
  const last = file && (await rowsOf(source.readAll(file))).at(-1)
  expect(last).toMatchObject({ kind: 'unreadable', detail: expect.stringContaining('say csv: { escape: "\\\\" }') })
})

test('UTF-16 that ends in the middle of a character ends with a row that says so', async () => {
  const { found, source } = await opened({ 'clicks.csv': utf16(`\uFEFF${lines(',', ['x', 'y'])}`).subarray(0, -5) })
  const rows = found[0] ? await rowsOf(source.readAll(found[0])) : []
  expect(rows.map(({ kind }) => kind)).toEqual(['row', 'unreadable'])
  expect(rows[1]).toMatchObject({ reason: 'file_damaged', detail: 'its UTF-16 text ends in the middle of a character' })
})

test('a mended text is read in the dialect of its file', async () => {
  const { found, source } = await opened({ clicks0000_part_00: lines('|', ['a\\|b', 'two\\\nlines']) })
  const at = { row: 1, byte: 30 }
  const row = found[0] && (await source.rowOfText(found[0], `${user}|${time}|c\\|d\\\ne|/a`, at))
  expect(row && textOf(row)).toBe('c|d\ne')
})

test('a corrected file may come back as spreadsheets save text: UTF-16 with tabs, lines of old Macs, sep=', async () => {
  const folder = await temporaryFolder()
  for (const content of [
    utf16(`\uFEFF${correctedText('\t', '\r\n')}`),
    Buffer.from(correctedText(';', '\r')),
    Buffer.from(`sep=^\r\n${correctedText('^', '\r\n')}`),
  ]) {
    await writeFile(path.join(folder, 'rows.csv'), content)
    const file = await openRowsFile(path.join(folder, 'rows.csv'), ['reason', 'row'])
    const rows = []
    for await (const { row } of file.rows()) rows.push(row.kind === 'row' ? row.values : row.detail)
    expect(rows).toEqual([['x', '7', 'a "b"']])
  }
})

describe('texts that stand for nothing', () => {
  const nulls = [
    '<NA>',
    'NaT',
    '(null)',
    '[NULL]',
    'N/A',
    '#N/A',
    '-',
    'unknown',
    '\\\\N',
    'none',
    'NULL',
    'nil',
    'NA',
    'undefined',
  ]
  const people = [
    ...nulls.map((text, nth) => [String(100 + nth), text, '2023-01-01 00:00:00', 'Pro']),
    ['200', 'ada@example.com', '2023-01-01 00:00:00', 'Pro'],
    ['201', 'Nina', '2023-01-01 00:00:00', 'Pro'],
  ]

  test.each([
    ['csv', 'csv'],
    ['jsonLines', 'jsonl'],
    ['avro', 'avro'],
    ['parquet', 'parquet'],
  ] as const)(
    'are nobody in a table of %s: such people stay anonymous and keep their properties',
    async (kind, ending) => {
      const folder = path.join(await temporaryFolder(), 'export')
      await mkdir(folder)
      await tableWriters[kind](path.join(folder, `users.${ending}`), {
        columns: ['user_id', 'identity', 'joindate', 'plan'],
        rows: people,
      })
      const plan = await planOf(folder)
      expect(plan.people).toMatchObject({ people: 2, ids: 2, conflicts: 0 })
      const [users] = plan.tables
      expect(users).toMatchObject({ events: { count: people.length }, rejected: [], skipped: [] })
      const [anonymous, , named] = users?.samples ?? []
      expect(anonymous?.becomes).toMatchObject({
        event: { event: '$set', distinct_id: '100', properties: { $set: { plan: 'Pro' } } },
      })
      expect(named?.becomes).toMatchObject({ event: { event: '$identify', distinct_id: 'Nina' } })
      expect(plan.notices).toContainEqual(expect.stringContaining('<NA> in 1 of identity'))
    },
  )

  test.each<[string, string, Record<string, unknown>, Record<string, unknown>]>([
    [
      'a number column shows NULL: it is left out of all columns',
      'price,plan\n19.90,NULL\nNULL,Pro\n',
      {},
      { price: '19.90' },
    ],
    ['a date column shows None', 'day,plan\n2023-01-01,None\nNone,Pro\n', {}, { day: '2023-01-01' }],
    ['a column of truth values shows nan', 'ok,plan\nfalse,nan\nnan,Pro\n', {}, { ok: 'false' }],
    ['an e-mail column shows n/a', 'email,plan\na@example.com,n/a\nn/a,Pro\n', {}, { email: 'a@example.com' }],
    [
      'a number column shows unknown: in other columns the word stays',
      'price,plan\n5,unknown\nunknown,Pro\n',
      {},
      { price: '5', plan: 'unknown' },
    ],
    ['nothing shows that None stands for nothing', 'size,plan\nXL,None\nNone,Pro\n', {}, { size: 'XL', plan: 'None' }],
    ['the mapping says so', 'size,plan\nXL,None\nNone,Pro\n', { null: 'None' }, { size: 'XL' }],
    [
      'the mapping says so of the table alone',
      'size,plan\nXL,None\nNone,Pro\n',
      { tables: { clicks: { null: ['None'] } } },
      { size: 'XL' },
    ],
    [
      'the mapping says that nothing does',
      'price,plan\n19.90,NULL\nNULL,Pro\n',
      { null: [] },
      { price: '19.90', plan: 'NULL' },
    ],
  ])(
    'are left out of properties where the table shows or the mapping says it: %s',
    async (_, text, mapping, expected) => {
      const [names = '', ...rows] = text.trim().split('\n')
      const content = [`user_id,event_id,time,${names}`, ...rows.map((row, nth) => `${user},${nth + 1},${time},${row}`)]
      const { plan } = await planned({ 'clicks.csv': content.join('\n') }, Mapping.parse(mapping))
      const [sample] = plan.tables[0]?.samples ?? []
      const properties = sample?.becomes.kind === 'event' ? sample.becomes.event.properties : {}
      const own = Object.entries(properties).filter(([name]) =>
        ['price', 'plan', 'day', 'ok', 'email', 'size'].includes(name),
      )
      expect(Object.fromEntries(own)).toEqual(expected)
    },
  )

  test('uuids, names and ids of events do not depend on what a table shows', async () => {
    const rows = `user_id,time,price,plan\n${user},${time},19.90,NULL\n${user},${time},NULL,Pro\n`
    const eventsBy = async (mapping: object) => {
      const { plan } = await planned({ 'clicks.csv': rows }, Mapping.parse(mapping))
      return plan.tables[0]?.samples.map(({ becomes }) =>
        becomes.kind === 'event' ? { ...becomes.event, properties: null } : becomes,
      )
    }
    expect(await eventsBy({ null: [] })).toEqual(await eventsBy({}))
    expect(await eventsBy({ null: ['NULL', '19.90'] })).toEqual(await eventsBy({}))
  })

  test('what stays and may stand for nothing is told, with the key', async () => {
    const { plan } = await planned({ 'clicks.csv': lines(',', ['None', 'None', 'x']) })
    expect(plan.notices).toEqual([
      'clicks: of the first 3 rows these cells are text that may stand for nothing: None in 2 of text. If so, give it as null: in the mapping file',
    ])
  })

  test('an identity that more than twenty ids have is told with some of them, or as many as the mapping says', async () => {
    const users = Array.from({ length: 21 }, (_, nth) => `${500 + nth},kiosk,2023-01-01 00:00:00`)
    const content = ['user_id,identity,joindate', ...users].join('\n')
    const { plan } = await planned({ 'users.csv': content })
    expect(plan.notices).toEqual([expect.stringMatching(/^21 user ids have one identity: 500, 501, 502, 503, 504 …\./)])
    expect((await planned({ 'users.csv': content }, Mapping.parse({ ids_per_identity: 21 }))).plan.notices).toEqual([])
    const given = Mapping.parse({ null: 'kiosk' })
    expect((await planned({ 'users.csv': content }, given)).plan.people).toMatchObject({ people: 0, ids: 0 })
  })
})

test('the table that Metabase formats for people is read under the names that the mapping gives, and its times are told', async () => {
  const shown = '"User ID","Event ID","Time","Path"'
  const file = `${shown}\n"4,702,333,951,502,204","1,144,768,874,446,519","May 1, 2023, 10:00 AM",/a\n`
  const names = { 'User ID': 'user_id', 'Event ID': 'event_id' }
  const { plan } = await planned({ 'signup.csv': file }, Mapping.parse({ columns: names }))
  expect(plan.tables[0]?.samples[0]?.becomes).toMatchObject({
    event: { distinct_id: '4702333951502204', timestamp: '2023-05-01T10:00:00.000Z' },
  })
  expect(plan.notices).toContainEqual(expect.stringContaining('signup: time is written for people to read'))
})

test('of two rows of a person the value of the older one counts where the newer one has a written-out null', async () => {
  const file = [
    'user_id,identity,joindate,last_modified,plan,tier',
    '1,ada@example.com,2020-01-01 00:00:00,2023-05-01 00:00:00,pro,gold',
    '2,ada@example.com,2020-01-02 00:00:00,2023-06-01 00:00:00,<NA>,silver',
    '',
  ].join('\n')
  const { plan } = await planned({ 'users.csv': file })
  const events = plan.tables[0]?.samples.map(({ becomes }) => becomes)
  expect(events).toContainEqual(
    expect.objectContaining({
      event: expect.objectContaining({
        properties: expect.objectContaining({ $set: expect.objectContaining({ tier: 'silver' }) }),
      }),
    }),
  )
  expect(JSON.stringify(events).match(/"plan":"[^"]*"/g)).toEqual(['"plan":"pro"'])
  expect(JSON.stringify(events).match(/"tier":"[^"]*"/g)).toEqual(['"tier":"silver"'])
})

const redis = redisForTests()

test('a run keeps the dialect and the nulls that it was planned with, whatever files come later', async () => {
  const folder = await written({ 'clicks.csv': lines(',', ['x', '"C:\\\\"']), 'taps.csv': lines(',', ['5', 'NULL']) })
  const connection = await connectRedis(redis.server.url, () => {})
  onTestFinished(() => connection.disconnect())
  const ledger = redisLedger(connection)
  const open = () =>
    openRun(
      {
        source: folder,
        name: RunId.parse('kept'),
        destination: { kind: 'json_lines', root: '/nowhere' },
        mapping: Mapping.parse({}),
        hashSalt: null,
        includeRecent: false,
        maxRejectedPercent: 100,
        pace: undefined,
        by: 'ada',
      },
      ledger,
      { s3: noS3, store: path.join(folder, '../store'), warehouse: warehouseOptionsOf(loadSettings({}, {})) },
    )
  const { run, files: first } = await open()
  expect(first).toMatchObject([{ format: { quote: '"' } }, { table: { nulls: [{ text: 'NULL' }] } }])
  for (const file of first) await ledger.addFile(run.id, file)

  await writeFile(path.join(folder, 'more.csv'), lines(',', ['"a \\"b\\" c"', 'x']))
  await mkdir(path.join(folder, 'taps'))
  await writeFile(path.join(folder, 'taps/part-00000.csv'), lines(',', ['XL']))
  const { files } = await open()
  expect(files).toHaveLength(4)
  for (const file of first) expect(files).toContainEqual(file)
  expect(files).toContainEqual(
    expect.objectContaining({ path: 'more.csv', format: expect.objectContaining({ escape: '\\' }) }),
  )
  expect(files).toContainEqual(
    expect.objectContaining({
      path: 'taps/part-00000.csv',
      table: expect.objectContaining({ nulls: [{ text: 'NULL' }] }),
    }),
  )
})

function correctedText(delimiter: string, lineEnd: string): string {
  return [`reason`, `row`, `note`].join(delimiter) + lineEnd + ['x', '7', '"a ""b"""'].join(delimiter) + lineEnd
}

function utf16(text: string): Buffer {
  return Buffer.from(text, 'utf16le')
}

async function written(files: Record<string, string | Buffer>): Promise<string> {
  const folder = path.join(await temporaryFolder(), 'export')
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
    await writeFile(path.join(folder, name), content)
  }
  return folder
}

async function opened(files: Record<string, string | Buffer>, mapping = Mapping.parse({})) {
  const discovery = await discover(await written(files), noS3)
  return { found: filesIn(await inspectExport(discovery, mapping)), source: sourceAt(discovery.place) }
}

async function planned(files: Record<string, string | Buffer>, mapping = Mapping.parse({})) {
  return { plan: await planOf(await written(files), mapping) }
}

async function planOf(folder: string, mapping = Mapping.parse({})) {
  const discovery = await discover(folder, noS3)
  const files = filesIn(await inspectExport(discovery, mapping))
  const plan = await planExport(
    { source: folder, files, faults: [], notices: [] },
    {
      mapping,
      against: null,
      hashSalt: null,
      includeRecent: false,
      nowMs: Date.UTC(2024, 0, 1),
      full: true,
      eventsPerSecond: 5000,
      source: sourceAt(discovery.place),
      signal: new AbortController().signal,
    },
  )
  if (!plan) throw new Error('nothing was planned')
  return plan
}

function filesIn(inspected: Awaited<ReturnType<typeof inspectExport>>): ExportFile[] {
  return inspected.flatMap((one) => {
    if (one.kind === 'faulty') throw one.fault
    return one.files
  })
}

async function rowsOf(slices: AsyncIterable<{ rows: Iterable<ReadRow> }>): Promise<ReadRow[]> {
  const all = []
  for await (const { rows } of slices) all.push(...rows)
  return all
}

function textOf(row: ReadRow): string | null {
  if (row.kind === 'unreadable') return `${row.reason}: ${row.detail}`
  return row.values[Math.max(row.columns.indexOf('text'), row.columns.indexOf('joindate'))] ?? null
}
