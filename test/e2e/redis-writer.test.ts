import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createLogger, fingerprintOf } from '@heapferry/config'
import { ExportFile, type ExportFile as File, Run, RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { isRunComplete } from '@heapferry/migration'
import { ChunkQueue, redisLedger } from '@heapferry/queue'
import { startWorker } from '@heapferry/worker'
import { expect, onTestFinished, test } from 'vitest'
import { ask, open } from '../dashboard/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'

const server = redisForTests()
const apiKey = 'phc_writer0000000000000000000000000000000000000'
const secret = 'known to this machine alone'
const columns = 'event_id,user_id,time,note'

type Forgery = (forged: Enqueued) => Promise<void>

const forgeries: [string, Forgery][] = [
  ['another folder for its export', ({ forgeRun, folder }) => forgeRun({ root: path.join(folder, 'secrets') })],
  [
    'another folder and another source',
    ({ forgeRun, folder }) =>
      forgeRun({ root: path.join(folder, 'secrets'), source: path.join(folder, 'secrets', 'clicks.csv') }),
  ],
  [
    'the folder above its export',
    async ({ forgeRun, forgeFile, folder }) => {
      await forgeRun({ root: folder })
      await forgeFile('secrets/clicks.csv')
    },
  ],
  ['a bucket', ({ forgeRun }) => forgeRun({ root: 's3://secrets/of-others' })],
  [
    'a mapping that keeps what was dropped',
    ({ forgeRun, forgeFile }) => forgeRun({ mapping: undefined }).then(() => forgeFile('clicks.csv')),
  ],
  ['a file by "..", which leads out', ({ forgeFile }) => forgeFile('../secrets/clicks.csv')],
  ['a file by its whole path', ({ forgeFile, folder }) => forgeFile(path.join(folder, 'secrets', 'clicks.csv'))],
  [
    'a link that leads out',
    async ({ forgeFile, folder }) => {
      await symlink(path.join(folder, 'secrets', 'clicks.csv'), path.join(folder, 'export', 'link.csv'))
      await forgeFile('link.csv')
    },
  ],
  [
    'a neighbour that was not migrated',
    async ({ forgeFile, folder }) => {
      await writeFile(path.join(folder, 'export', 'neighbour.txt'), `${columns}\n1,7,2023-01-02 03:04:05,${secret}\n`)
      await forgeFile('neighbour.txt')
    },
  ],
]

test.each(forgeries)('whoever writes %s into Redis has no worker read or send it', async (_, forge) => {
  const run = await enqueued()
  await forge(run)
  run.work()
  await until('the run is paused', async () => (await run.ledger.intent(run.id)).kind === 'pause')
  expect(await run.ledger.intent(run.id)).toMatchObject({
    by: 'heapferry',
    reason: expect.stringContaining('its grant in'),
  })
  expect(run.posthog.stored.size).toBe(0)
})

test.each(forgeries)('nor, by %s, any command or page', async (_, forge) => {
  const run = await enqueued()
  run.work()
  await until('the run is complete', async () => isRunComplete(await run.ledger.progress(run.id)))
  await forge(run)
  const url = await open(server.redis, { store: path.join(run.folder, 'home', 'runs') })
  const { path: file } = run.file
  const pages = [
    'samples',
    'rejected.csv',
    `rejected/row?${new URLSearchParams({ file, row: '1', byte: '27' }).toString()}`,
  ]
  for (const page of pages) {
    const { text } = await ask(`${url}/runs/${run.id}/${page}`)
    expect([page, text]).toEqual([page, expect.stringContaining('grant')])
    expect(text).not.toContain(secret)
  }
  const commands = [
    ['rejected', run.id, '--out', 'rows.csv'],
    ['retry', run.id],
    ['verify', run.id, '--offline'],
    ['report', run.id],
  ]
  for (const command of commands) {
    const { code, stdout, stderr } = await run.command(...command)
    expect([command, code, stderr]).toEqual([command, 1, expect.stringContaining('grant')])
    expect(stdout + stderr).not.toContain(secret)
  }
  await expect(readFile(path.join(run.folder, 'rows.csv'), 'utf8')).rejects.toThrow('ENOENT')
})

test('a run whose grant was lost is paused by its workers and goes on when its command is started again', async () => {
  const run = await enqueued()
  await rm(path.join(run.folder, 'home', 'runs', '.grants'), { recursive: true })
  run.work()
  await until('the run is paused', async () => (await run.ledger.intent(run.id)).kind === 'pause')
  const told = await run.command('status', run.id)
  expect(told.stdout.replaceAll(/\s+/g, ' ')).toContain('Where the grant was lost: the run command, started again')
  expect(run.posthog.stored.size).toBe(0)

  const again = await run.enqueue()
  expect([again.code, again.stderr]).toEqual([0, expect.stringContaining('The grant of the run was lost')])
  await until('the run is complete', async () => isRunComplete(await run.ledger.progress(run.id)))
  expect(run.posthog.stored.size).toBe(1)
})

test('a pause that a person made stays when the grant is written', async () => {
  const run = await enqueued()
  await rm(path.join(run.folder, 'home', 'runs', '.grants'), { recursive: true })
  await run.ledger.setIntent(run.id, { kind: 'pause', by: 'ada', reason: 'lunch', hint: 'wait' })
  expect((await run.enqueue()).code).toBe(0)
  expect(await run.ledger.intent(run.id)).toMatchObject({ kind: 'pause', by: 'ada' })
})

test('a job that names a file which nobody knows fails alone', async () => {
  const run = await enqueued()
  const queue = new ChunkQueue(server.redis, run.id, 'events', () => {})
  onTestFinished(() => queue.close())
  const [job] = await queue.queue.getJobs()
  const id = 'feedfeedfeed-000000'
  await queue.queue.add('forged', { ...job?.data, id, file: 'feedfeedfeed' }, { jobId: id })
  run.work()
  await until('the job has failed', async () => (await queue.queue.getFailedCount()) === 1)
  expect((await queue.queue.getFailed())[0]?.failedReason).toContain('not one that was planned')
  await until('the run is complete', async () => isRunComplete(await run.ledger.progress(run.id)))
  expect((await run.ledger.timeline(run.id)).filter(({ kind }) => kind === 'paused')).toEqual([])
  expect(run.posthog.stored.size).toBe(1)
})

interface Enqueued {
  id: RunId
  folder: string
  /** As Redis has it. */
  file: File
  ledger: ReturnType<typeof redisLedger>
  posthog: Awaited<ReturnType<typeof startFakePostHog>>
  command(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>
  enqueue(): Promise<{ code: number; stderr: string }>
  work(): void
  forgeRun(changes: object): Promise<void>
  /** Redis names another file in the place of the run's, of the version that lies there. */
  forgeFile(path: string): Promise<void>
}

let runs = 0

/** A run of one row that can be sent and one that cannot, and beside its export a file that is none of its business. */
async function enqueued(): Promise<Enqueued> {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(async () => {
    await posthog.stop()
  })
  await mkdir(path.join(folder, 'export'))
  await mkdir(path.join(folder, 'secrets'))
  await writeFile(path.join(folder, 'heapferry.yaml'), 'properties: { note: drop }\n')
  await writeFile(
    path.join(folder, 'export', 'clicks.csv'),
    `${columns}\n1,7,2023-01-02 03:04:05,a\n2,,2023-01-02 03:04:05,${secret}\n`,
  )
  await writeFile(
    path.join(folder, 'secrets', 'clicks.csv'),
    `${columns}\n1,7,2023-01-02 03:04:05,${secret}\n2,,,${secret}\n`,
  )
  const id = RunId.parse(`forged-${runs++}`)
  const ledger = redisLedger(server.redis)
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: server.server.url,
  }
  const command = (...args: string[]) => heapferryHere(args, { cwd: folder, env })
  const enqueue = () =>
    command('enqueue', 'export', '--run', id, '--mapping', 'heapferry.yaml', '--max-rejected', '100')
  const first = await enqueue()
  expect([first.code, first.stderr]).toEqual([0, expect.not.stringContaining('grant')])
  const key = `heapferry-ledger:run:${id}`
  const [stored = ''] = await server.redis.hvals(`${key}:files`)
  const enqueuedRun: Enqueued = {
    id,
    folder,
    file: ExportFile.parse(JSON.parse(stored)),
    ledger,
    posthog,
    command,
    enqueue,
    work() {
      const worker = startWorker({
        name: 'a worker',
        redis: server.redis,
        ledger,
        destination: { kind: 'posthog', host: posthog.url, keyFingerprint: fingerprintOf(apiKey) },
        apiKey,
        transport: 'auto',
        hashSalt: null,
        store: path.join(folder, 'home', 'runs'),
        s3: noS3,
        only: id,
        logger: createLogger({ level: 'silent', role: 'worker' }),
      })
      Buffer.poolSize = 8192
      onTestFinished(async () => {
        await worker.close()
      })
    },
    async forgeRun(changes) {
      const run = { ...(await ledger.run(id)), ...changes }
      const mapping = 'mapping' in changes ? { properties: {} } : run.mapping
      await server.redis.hset(key, 'run', JSON.stringify(Run.parse({ ...run, mapping })))
    },
    async forgeFile(name) {
      const root = (await ledger.run(id))?.root ?? ''
      const { size, mtimeMs } = await stat(path.resolve(root, name))
      const version = { sizeBytes: size, mark: `modified ${new Date(mtimeMs).toISOString()}` }
      enqueuedRun.file = { ...enqueuedRun.file, path: name, version }
      await server.redis.hset(`${key}:files`, enqueuedRun.file.id, JSON.stringify(enqueuedRun.file))
    },
  }
  return enqueuedRun
}
