import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { parse } from 'csv-parse/sync'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'

const apiKey = 'phc_formulas0000000000000000000000000000000000'
const cells = [
  '=cmd|" /C calc"!A0',
  '+1',
  '-1',
  '-2023-01-02',
  '@SUM(A1)',
  '\t=1',
  '\r=1',
  '\n=1',
  '＝1',
  "'=1",
  "''=1",
  "'",
  "'quoted'",
  'a=b',
  ' =1',
  "'-",
  '=',
]

test('cells that look like formulas are harmless in a file of rejected rows, and come back as they were', async () => {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey, keep: 'events' })
  onTestFinished(() => posthog.stop())
  const lines = cells.map((cell, index) => `${index + 1},,2023-01-02 03:04:05,"${cell.replaceAll('"', '""')}",${index}`)
  const table = 'clicks.csv'
  await writeFile(path.join(folder, table), `event_id,user_id,time,note,=nth\n${lines.join('\n')}\n`)
  const env = { POSTHOG_HOST: posthog.url, POSTHOG_API_KEY: apiKey }
  const options = { cwd: folder, env }
  const run = ['run', table, '--run', 'mine', '--max-rejected', '100']
  expect((await heapferryAnswer(run, options)).code).toBe(3)
  expect((await heapferryAnswer(['rejected', 'mine', '--out', 'rows.csv'], options)).code).toBe(0)

  const written = await readFile(path.join(folder, 'rows.csv'), 'utf8')
  const rows: string[][] = parse(written)
  expect(rows).toHaveLength(1 + cells.length)
  expect(rows.flat().filter((cell) => /^[=+\-@\t\r\n＝]/.test(cell))).toEqual([])
  expect(rows.flat().filter((cell) => cells.includes(cell))).toEqual(["''=1", "'", "'quoted'", 'a=b', ' =1'])

  const mended = written.replaceAll(/^(missing_user_id,[^\n]*?,)(\d+),,2023/gm, '$1$2,7,2023')
  await writeFile(path.join(folder, 'rows.csv'), mended)
  const { code, stdout } = await heapferryAnswer(['retry', 'mine', '--from', 'rows.csv', '--json'], options)
  expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ sent: cells.length, rejected: 0 })])
  const sent = [...posthog.stored.values()].map(({ properties }) => [
    Number(properties?.['=nth']),
    properties?.['note'],
  ])
  expect(sent.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual(cells.map((cell, index) => [index, cell]))
})
