import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { RunId } from '@heapferry/domain'
import { writeSampleExport } from '@heapferry/sample-export'
import { expect, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { until } from '../support/until.ts'

const run = RunId.parse('files')

test('events become files of JSON lines, each once although the command is killed, in the order to import them in', async () => {
  const folder = await temporaryFolder()
  const source = path.join(folder, 'export')
  const home = path.join(folder, 'home')
  const out = path.join(folder, 'out')
  await writeSampleExport({ folder: source, seed: 4, people: 300, pageviewRows: 30_000, eventRows: 9000, traps: true })
  const start = () =>
    heapferry(['run', source, '--run', run, '--to', `jsonl:${out}`, '--no-dashboard'], {
      cwd: folder,
      env: { HEAPFERRY_HOME: home },
    })

  const first = start()
  await until('a file of events is written', async () => (await filesIn(out)).some((file) => file.startsWith('2-')))
  first.child.kill('SIGKILL')
  await first.ended
  const { code, stdout, stderr } = await start().ended
  expect([code, stderr]).toEqual([3, expect.stringContaining('JSON lines in')])

  const files = await filesIn(out)
  const events = []
  for (const file of files) {
    const lines = gunzipSync(await readFile(path.join(out, file)))
      .toString()
      .trim()
      .split('\n')
    const ofFile = lines.map((line) => JSON.parse(line))
    expect(new Set(ofFile.map(({ uuid }) => uuid)).size, `uuids of ${file}`).toBe(ofFile.length)
    events.push(...ofFile)
  }
  expect(events.every(({ properties }) => properties.$ignore_sent_at === true)).toBe(true)
  const { events: expected, convertibleRows } = await convertible(source, { run, home })
  const written = new Map(
    events.map(({ uuid, event, distinct_id, timestamp }) => [uuid, { event, distinct_id, timestamp }]),
  )
  expect(written).toEqual(expected)
  // Rows that the export itself has twice count as sent, and are told; in two files they are there twice, and PostHog
  // keeps one of them.
  const repeated = Number(
    /Sent, and repeated in the export:\n +([\d,]+)  repeated/.exec(stdout)?.[1]?.replaceAll(',', ''),
  )
  expect(repeated).toBeGreaterThan(0)
  expect(events.length + repeated).toBe(convertibleRows)
  expect(files.filter((file) => file.startsWith('1-identities/')).length).toBeGreaterThan(0)
  expect(
    files.every((file) => /^[12]-(?:identities|events)\/(?:\d{4}-\d\d-\d\d|undated)\/[^/]+\.jsonl\.gz$/.test(file)),
  ).toBe(true)
})

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .toSorted()
}
