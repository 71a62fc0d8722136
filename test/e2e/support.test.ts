import { appendFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'

const apiKey = 'phc_zebulon0000000000000000000000000000000000'
const person = 'Zebulon Quagmire <zebulon.quagmire@example.org> +49 30 9018273645'
const canaries = /zebulon|quagmire|example\.org|9018273645|phc_|phx_|127\.0\.0\.1/i

test('a support bundle tells how a run stands, and no secret, name or cell that is anywhere in or around it', async () => {
  const folder = path.join(await temporaryFolder(), 'of zebulon')
  await mkdir(folder)
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const home = path.join(folder, 'home')
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    POSTHOG_PERSONAL_API_KEY: 'phx_quagmire00000000000000000000',
    HEAPFERRY_HASH_SALT: 'the salt of zebulon and quagmire',
    HEAPFERRY_DASHBOARD_PASSWORD: 'quagmire, twelve letters',
    REDIS_PASSWORD: 'zebulon',
    HEAPFERRY_HOME: home,
    LOG_LEVEL: 'info',
    LOGNAME: 'zebulon',
  }
  const command = (...args: string[]) => heapferryAnswer(args, { cwd: folder, env })
  const rows = [`1,2,2023-01-02 03:04:05,${person}`, `3,4,${person},x`, `5,,2023-01-02 03:04:05,y`]
  await writeFile(path.join(folder, 'zebulon_clicks.csv'), `event_id,user_id,time,quagmire\n${rows.join('\n')}\n`)
  await writeFile(
    path.join(folder, 'mapping.yaml'),
    'tables:\n  zebulon_clicks:\n    event: Clicks of Zebulon Quagmire\n    columns: { quagmire: zebulons }\n',
  )

  await command('run', 'zebulon_clicks.csv', '--mapping', 'mapping.yaml', '--run', 'quagmires')
  const failure = new TypeError(`Unexpected token in "${person}"`)
  const line = {
    level: 50,
    time: '2023-01-02T03:04:05.678Z',
    role: 'worker',
    pid: 7,
    run: 'quagmires',
    chunk: 'zebulon',
  }
  const foreign = {
    ...line,
    err: { type: 'TypeError', message: failure.message, stack: failure.stack },
    msg: 'a chunk failed',
  }
  const told = {
    ...line,
    msg: 'the run is paused',
    hint: 'Make room there, zebulon, and resume.',
    words: person,
    got: person,
  }
  const log = path.join(home, 'runs', 'quagmires', 'worker.log')
  await appendFile(log, `${JSON.stringify(foreign)}\n${JSON.stringify(told)}\n${person}\n{"zebulon": 1`)

  const { code, stdout, stderr } = await command('support', 'quagmires')
  expect(code).toBe(0)
  const file = stdout.trim()
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  const text = await readFile(file, 'utf8')
  expect(text.match(canaries)).toBeNull()

  const bundle = JSON.parse(text)
  for (const part of bundle.contents) expect(stderr).toContain(part)
  expect(bundle.settings).toMatchObject({
    POSTHOG_API_KEY: 'set',
    LOG_LEVEL: 'info',
    HEAPFERRY_TO: 'set',
    REDIS_URL: null,
  })
  expect(bundle.status).toMatchObject({
    run: 'this run',
    state: 'completed_with_rejected_rows',
    totals: { read: 3, sent: 1 },
  })
  expect(bundle.status.tables).toMatchObject([{ table: 'table 1', rejected_by_reason: { missing_user_id: 1 } }])
  expect(bundle.files).toMatchObject([{ path: 'file 1', table: 'table 1', kind: 'event', columns: 4 }])
  expect(bundle.timeline[0]).toMatchObject({ kind: 'created', by: 'person 1' })
  expect(bundle.redis).toMatchObject([{ maxmemory_policy: 'noeviction', aof_enabled: '1' }])
  expect(bundle.logs.run).toContainEqual(expect.objectContaining({ level: 'info', msg: 'run', run: 'this run' }))
  const [failed, paused] = bundle.logs.worker.slice(-2)
  expect(failed).toMatchObject({ level: 'error', time: line.time, msg: 'a chunk failed', run: 'this run' })
  expect(failed.err).toMatchObject({
    type: 'TypeError',
    stack: [expect.stringMatching(/^support\.test\.ts:\d+$/), ...failed.err.stack.slice(1)],
  })
  expect(paused).toMatchObject({ msg: 'the run is paused', hint: 'Make room there, …', words: '…', got: '…' })
})
