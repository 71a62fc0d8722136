import { chmod, lstat, mkdir, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'

const apiKey = 'phc_modes00000000000000000000000000000000000000'

test.each([
  ['022', 'a home that is not there', false],
  ['000', 'a home that is not there', false],
  ['000', 'folders and files that an earlier version left open', true],
])('with umask %s and %s, nobody else may read what is kept of runs', async (umask, _, isOpen) => {
  const folder = await temporaryFolder()
  const home = path.join(folder, 'elsewhere', 'home')
  const runs = path.join(home, 'runs')
  if (isOpen) {
    await mkdir(path.join(runs, 'mine'), { recursive: true })
    await mkdir(path.join(home, 'redis'))
    for (const open of [runs, path.join(runs, 'mine'), path.join(home, 'redis')]) await chmod(open, 0o777)
    await writeFile(path.join(runs, 'mine', 'run.log'), '')
    await chmod(path.join(runs, 'mine', 'run.log'), 0o666)
  }
  const posthog = await startFakePostHog({ apiKey, keep: 'ids' })
  onTestFinished(() => posthog.stop())
  await writeFile(path.join(folder, 'clicks.csv'), 'event_id,user_id,time\n1,7,2023-01-02 03:04:05\n2,,2023-01-02\n')
  const options = { cwd: folder, env: { POSTHOG_HOST: posthog.url, POSTHOG_API_KEY: apiKey, HEAPFERRY_HOME: home } }
  const before = process.umask(Number.parseInt(umask, 8))
  try {
    // A worker of its own, which keeps a log.
    const run = ['run', 'clicks.csv', '--run', 'mine', '--max-rejected', '100', '--workers', '1', '--no-dashboard']
    const { code } = await heapferryHere(run, options)
    expect(code).toBe(3)
    expect((await heapferryHere(['rejected', 'mine', '--out', 'rows.csv'], options)).code).toBe(0)
  } finally {
    process.umask(before)
  }
  const kept = [
    ...(await everything(runs)),
    ...(await everything(path.join(home, 'redis'))),
    path.join(folder, 'rows.csv'),
  ]
  expect(kept.map((place) => path.basename(place))).toEqual(
    expect.arrayContaining([
      'run.log',
      'worker.log',
      'report.html',
      'report.json',
      'identities',
      '.grants',
      'redis.conf',
    ]),
  )
  const open = []
  for (const place of kept) {
    const stats = await lstat(place)
    const mode = (stats.mode & 0o777).toString(8)
    if (mode !== (stats.isDirectory() ? '700' : '600')) open.push(`${place} ${mode}`)
  }
  expect(open).toEqual([])
})

async function everything(folder: string): Promise<string[]> {
  const inside = await readdir(folder, { recursive: true })
  return [folder, ...inside.map((name) => path.join(folder, name))]
}
