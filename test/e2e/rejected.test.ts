import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'

const apiKey = 'phc_rejected0000000000000000000000000000000000'

let folder: string
let posthog: FakePostHog

beforeEach(async () => {
  folder = await temporaryFolder()
  posthog = await startFakePostHog({ apiKey, keep: 'ids' })
  onTestFinished(() => posthog.stop())
})

test('rejected rows are shown by kind, written to a file, mended there and sent; the run is completed then', async () => {
  const source = [
    'event_id,user_id,time,note',
    '1,2,2023-01-02 03:04:05,fine',
    '3,4.70233395150220e+15,2023-01-02 03:04:05,"of ""two""\nlines"',
    '5,4.80233395150220e+15,2023-01-02 03:04:05,=1+1',
    '7,,2023-01-02 03:04:05,\u001B[31m',
    '9,\u001B[31mred,2023-01-02 03:04:05,',
    '11,12,2023-01-02 03:04:05,one,too many',
    '',
  ].join('\n')
  const byteOf = (start: string): number => source.indexOf(`\n${start}`) + 1
  await writeFile(path.join(folder, 'clicks.csv'), source)
  expect((await command('run', 'clicks.csv', '--run', 'mine', '--max-rejected', '100')).code).toBe(3)

  const { stdout: shown } = await command('rejected', 'mine')
  expect(shown.split('\n').slice(0, 6)).toEqual([
    'mine: 5 rejected rows, 4 kinds',
    '',
    '  2  clicks · damaged_id',
    '     user_id has lost digits: …',
    `     first: clicks.csv, row 2 (byte ${byteOf('3,')})`,
    '     user_id has lost digits: 4.70233395150220e+15',
  ])
  expect(shown).not.toContain('\u001B')
  const all = (await command('rejected', 'mine', '--all')).stdout.trim().split('\n')
  expect(all.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual(
    [2, 3, 4, 5, 6].map((row) => `clicks.csv: row ${row}`),
  )
  expect(all.join('')).not.toContain('\u001B')
  const ofReason = await command('rejected', 'mine', '--reason', 'missing_user_id', '--json')
  expect(
    ofReason.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    {
      file: 'clicks.csv',
      table: 'clicks',
      row: 4,
      byte: byteOf('7,'),
      reason: 'missing_user_id',
      detail: 'user_id is empty',
    },
  ])

  expect(await command('rejected', 'mine', '--out', 'rows.csv')).toMatchObject({
    code: 0,
    stdout: 'rows.csv: 5 rows\n',
  })
  const rows = await readFile(path.join(folder, 'rows.csv'), 'utf8')
  expect(rows.split('\n').slice(0, 4)).toEqual([
    'reason,detail,table,file,row,byte,raw,event_id,user_id,time,note',
    `damaged_id,user_id has lost digits: 4.70233395150220e+15,clicks,clicks.csv,2,${byteOf('3,')},,3,4.70233395150220e+15,2023-01-02 03:04:05,"of ""two""`,
    'lines"',
    `damaged_id,user_id has lost digits: 4.80233395150220e+15,clicks,clicks.csv,3,${byteOf('5,')},,5,4.80233395150220e+15,2023-01-02 03:04:05,'=1+1`,
  ])
  const mended = rows
    .replaceAll(/,(3|5),4\.(.)0233395150220e\+15,/g, ',$1,4$2,')
    .replace(',7,,', ',7,8,')
    .replace(',9,\u001B[31mred,', ',9,10,')
    .replace('one,too many', 'one')
  await writeFile(path.join(folder, 'rows.csv'), mended)
  const retried = await command('retry', 'mine', '--from', 'rows.csv')
  expect([retried.code, retried.stdout]).toEqual([
    0,
    'mine: 5 sent, 0 skipped, 0 rejected again.\nThe run has no rejected rows now.\n',
  ])
  expect([...posthog.stored.values()].map(({ distinct_id }) => distinct_id).toSorted()).toEqual([
    '10',
    '12',
    '2',
    '47',
    '48',
    '8',
  ])
  const { stdout: status } = await command('status', 'mine', '--json')
  expect(JSON.parse(status)).toMatchObject({ state: 'completed', totals: { read: 6, sent: 6, rejected: 0 } })
})

test('a retry of another project, of no run and with flags that contradict each other is refused', async () => {
  await writeFile(path.join(folder, 'clicks.csv'), 'event_id,user_id,time\n1,,2023-01-02 03:04:05\n')
  await command('run', 'clicks.csv', '--run', 'mine', '--max-rejected', '100')
  const other = `phc_other${'0'.repeat(30)}`
  expect(await command({ POSTHOG_API_KEY: other }, 'retry', 'mine')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('to the project of another key'),
  })
  expect(await command('retry', 'nobodys')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('There is no run nobodys'),
  })
  expect((await command('retry', 'mine', '--reason', 'held_back', '--from', 'rows.csv')).code).toBe(2)
  expect((await command('retry', 'mine', '--table', 'clicks', '--from', 'rows.csv')).code).toBe(2)
  expect((await command('retry', 'mine', '--reason', 'nonsense')).code).toBe(2)
  expect(posthog.batches).toEqual([])
})

test('rows of a run that writes files are written to a file of their own when they are retried', async () => {
  await writeFile(
    path.join(folder, 'clicks.csv'),
    'event_id,user_id,time\n1,2,2023-01-02 03:04:05\n3,,2023-01-02 03:04:05\n',
  )
  const to = ['--to', 'jsonl:out']
  await command('run', 'clicks.csv', '--run', 'mine', '--max-rejected', '100', ...to)
  await command('rejected', 'mine', '--out', 'rows.csv')
  const rows = await readFile(path.join(folder, 'rows.csv'), 'utf8')
  await writeFile(path.join(folder, 'rows.csv'), rows.replace(',3,,', ',3,4,'))
  expect(await command('retry', 'mine', '--from', 'rows.csv', ...to)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('1 sent'),
  })
  const entries = await readdir(path.join(folder, 'out'), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const events = await Promise.all(
    files.map(async (entry) =>
      gunzipSync(await readFile(path.join(entry.parentPath, entry.name)))
        .toString()
        .trim(),
    ),
  )
  expect(new Set(events.map((line) => String(JSON.parse(line).distinct_id)))).toEqual(new Set(['2', '4']))
  expect(posthog.batches).toEqual([])
})

function command(...given: (string | Record<string, string>)[]) {
  const args = given.filter((arg) => typeof arg === 'string')
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
    ...given.find((arg) => typeof arg === 'object'),
  }
  const options = { cwd: folder, env }
  return heapferryAnswer(args, options)
}
