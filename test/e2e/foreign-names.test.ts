import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { RunId } from '@heapferry/domain'
import { connectRedis, redisLedger } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { ask, open } from '../dashboard/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'

const apiKey = 'phc_names0000000000000000000000000000000000000'
const server = redisForTests()
/** It clears the screen, ends the line, begins another one and turns it around. */
const name = 'taps\u001b[2j\r\ncompleted\u009b31m\u202e\u2066\u200f\u061c\u2028'
const shown = String.raw`taps\u{1b}[2j\r\ncompleted\u{9b}31m\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}`
const raw = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u

test('names that would command a terminal are shown as escapes by every command, and are exact in JSON and files', async () => {
  const { command, folder } = await surroundings()
  for (const args of [
    ['plan', 'export'],
    ['plan', 'export', '--table', name],
    ['plan', 'export', '--table', `${name}?`],
    ['run', 'export', '--run', 'names'],
    ['status'],
    ['rejected'],
    ['rejected', '--all'],
    ['rejected', '--out', `rows${name}.csv`],
    ['verify', '--offline'],
    ['run', 'export', '--run', 'others', '--mapping', `${name}.yaml`],
    ['run', `${name}.csv`],
  ]) {
    const { stdout, stderr } = await command(...args)
    expect([args, raw.exec(stdout + stderr)]).toEqual([args, null])
    expect(stdout + stderr).not.toMatch(/^completed/m)
    expect([args, stdout + stderr]).toEqual([args, expect.stringContaining(String.raw`[2j\r\ncompleted`)])
  }
  expect(raw.exec((await command('plan', 'export', '--rate', name)).stderr)).toBeNull()
  const { stdout } = await command('status', '--json')
  expect(raw.exec(stdout)).toBeNull()
  expect(JSON.parse(stdout).tables).toMatchObject([{ table: name, rejected: 1 }])
  expect(await readFile(path.join(folder, `rows${name}.csv`), 'utf8')).toContain(name)
}, 240_000)

test('who acts and what PostHog said is shown as escapes in the history and on pages', async () => {
  const { command } = await surroundings()
  expect(await command('enqueue', 'export', '--run', 'acted')).toMatchObject({ code: 0 })
  const redis = await connectRedis(server.server.url, () => {})
  onTestFinished(() => redis.disconnect())
  const by = { by: name, reason: name, hint: name }
  await redisLedger(redis).setIntent(RunId.parse('acted'), { kind: 'pause', ...by })
  const { stdout } = await command('status', 'acted')
  expect(raw.exec(stdout)).toBeNull()
  expect(stdout).toContain(`paused by ${shown}: ${shown}\n`)
  const { text } = await ask(`${await open(redis)}/runs/acted`)
  expect(raw.exec(text)).toBeNull()
  expect(text).toContain(String.raw`completed\u{9b}31m\u{202e}`)
})

async function surroundings() {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  await mkdir(path.join(folder, 'export'))
  const header = `event_id,user_id,time,"${name.replace('\r\n', ' ')}"`
  await writeFile(
    path.join(folder, 'export', `${name}.csv`),
    `${header}\n1,2,2023-01-02 03:04:05,"${name}"\n3,,2023-01-02 03:04:05,x\n`,
  )
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    REDIS_URL: server.server.url,
    HEAPFERRY_HOME: path.join(folder, 'home'),
  }
  const command = (...args: string[]) => heapferryAnswer(args, { cwd: folder, env })
  return { command, folder }
}
