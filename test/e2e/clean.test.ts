import { execFile } from 'node:child_process'
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { keptAs, RunId } from '@heapferry/domain'
import { redisLedger } from '@heapferry/queue'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { bin } from '../support/heapferry.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

const server = redisForTests()
beforeEach(() => server.redis.flushall())

const credentials = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' }

/** An export of which all is kept that is kept of exports: people, sessions, first touch. */
const tables = {
  'users.csv': 'user_id,identity,joindate\n11,ada,2023-01-01 00:00:00\n',
  'sessions.csv':
    'event_id,user_id,session_id,time,referrer,utm_source\n1,11,91,2023-01-01 23:50:00,https://www.google.com/,google\n',
  'signup.csv': 'event_id,user_id,session_id,time\n3,11,91,2023-01-01 23:55:00\n4,,91,2023-01-02 00:10:00\n',
}

async function scene(workStore: 'home' | 'bucket' | 'folder' = 'home') {
  const folder = await temporaryFolder()
  await mkdir(path.join(folder, 'export'))
  for (const [name, text] of Object.entries(tables)) await writeFile(path.join(folder, 'export', name), text)
  const bucket = workStore === 'bucket' ? await startS3StandIn({ pageKeys: 2 }) : null
  onTestFinished(async () => bucket?.close())
  const store = { home: {}, folder: { HEAPFERRY_WORK_STORE: path.join(folder, 'store') }, bucket: {} }[workStore]
  const env = {
    REDIS_URL: server.server.url,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    ...store,
    ...(bucket && {
      ...credentials,
      HEAPFERRY_WORK_STORE: `s3://${bucket.bucket}/kept`,
      HEAPFERRY_S3_ENDPOINT: bucket.endpoint,
      HEAPFERRY_S3_PATH_STYLE: 'true',
    }),
  }
  const options = { env, cwd: folder }
  const command = (...args: string[]) => heapferryAnswer(args, options)
  const migrate = async () => {
    const ended = await command('run', 'export', '--to', 'jsonl:events', '--run', 'r', '--max-rejected', '100')
    await fallSilent()
    return ended
  }
  return { folder, env, bucket, command, migrate }
}

/** As if the command had ended eleven seconds ago. */
async function fallSilent(): Promise<void> {
  await server.redis.hset('heapferry-ledger:run:r', 'producedAtMs', Date.now() - 11_000)
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((one) => !one.isDirectory())
    .map((one) => path.relative(folder, path.join(one.parentPath, one.name)))
    .toSorted()
}

const allKinds = ['identities', 'sessions', 'first_touch', 'grant']

test.each(['folder', 'bucket'] as const)(
  'of a run that is over all is deleted that was made for it in a work store in a %s, and nothing else',
  async (kind) => {
    const { folder, bucket, command, migrate } = await scene(kind)
    const put = async (name: string, text: string) => {
      if (bucket) return bucket.put(`kept/${name}`, text)
      await mkdir(path.dirname(path.join(folder, 'store', name)), { recursive: true })
      await writeFile(path.join(folder, 'store', name), text)
    }
    expect((await migrate()).code).toBe(3)
    // What others have put there, what another run has, and what one that was killed has left.
    for (const name of ['r/notes.txt', 'r/stage/export.avro', 'r/sessions/mine', 'r2/identities', '.grants/r2'])
      await put(name, 'not ours')
    await put('r/.identities.4711', 'half')
    const { code, stdout, stderr } = await command('clean', 'r', '--yes', '--json')
    expect(code).toBe(0)
    const told = JSON.parse(stdout)
    expect(told.deleted.map(({ what }: { what: string }) => what).toSorted()).toEqual(allKinds.toSorted())
    expect(told.deleted.find(({ what }: { what: string }) => what === 'identities').files).toBe(2)
    expect(told.left).toEqual(expect.arrayContaining(['notes.txt', 'stage/export.avro', 'sessions/mine']))
    expect(told.bytes).toBeGreaterThan(100)
    expect(stderr).toContain('1 row of it was rejected: heapferry retry r could send them')
    expect(stderr).toContain('wait for the same run command, which makes it again as long as the export is there')
    const isThere = async (name: string) => {
      const found = bucket && (await fetch(`${bucket.endpoint}/acme/kept/${name}`, signed))
      return found ? found.status === 200 : (await filesBelow(path.join(folder, 'store'))).includes(name)
    }
    for (const name of ['r/notes.txt', 'r/stage/export.avro', 'r/sessions/mine', 'r2/identities', '.grants/r2'])
      expect([name, await isThere(name)]).toEqual([name, true])
    for (const name of ['r/identities', 'r/.identities.4711', 'r/sessions/head', 'r/first_touch/files', '.grants/r'])
      expect([name, await isThere(name)]).toEqual([name, false])

    const again = await command('clean', 'r', '--yes')
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('Nothing of r is left')])
    expect((await command('status', 'r')).stdout).toMatch(
      /cleaned by .*: \d+ files of the work store with [\d,]+ bytes deleted/,
    )
    expect((await command('report', 'r', '--json')).code).toBe(0)
    expect((await command('rejected', 'r', '--out', 'rows.csv')).stderr).toContain('heapferry clean')
    // The export is still there: the same command makes all of it again, and sends nothing.
    expect((await migrate()).code).toBe(3)
    expect((await command('rejected', 'r', '--out', 'rows.csv')).code).toBe(0)
  },
)

// The stand-in looks at the region of a signature alone.
const signed = { headers: { authorization: 'Credential=a/20230101/us-east-1/s3/x' } }

test('logs and reports of the run stay, also where they lie beside what is deleted', async () => {
  const { folder, command, migrate } = await scene()
  await migrate()
  const { stdout } = await command('clean', 'r', '--yes')
  expect(stdout).toMatch(/^Deleted of r: \d+ files with [\d,]+ bytes/)
  expect(stdout).toContain('report.html')
  expect(await filesBelow(path.join(folder, 'home/runs/r'))).toEqual(
    expect.arrayContaining(['report.html', 'report.json']),
  )
  expect((await filesBelow(path.join(folder, 'home/runs'))).filter((file) => keptAs(RunId.parse('r'), file))).toEqual(
    [],
  )
})

test('without a terminal and without --yes nothing is deleted, and it says what would be', async () => {
  const { folder, command, migrate } = await scene('folder')
  await migrate()
  const before = await filesBelow(path.join(folder, 'store'))
  const { code, stderr } = await command('clean', 'r')
  expect(code).toBe(1)
  expect(stderr).toContain('who is who: 1 file')
  expect(stderr).toContain('heapferry clean r --yes')
  expect(await filesBelow(path.join(folder, 'store'))).toEqual(before)
})

test.each([
  ['no', 1, 'Nothing was deleted'],
  ['yes', 0, 'Deleted of r'],
])('a terminal is asked, and "%s" is what is done', async (typed, code, said) => {
  const { folder, env, migrate } = await scene('folder')
  await migrate()
  const command = `${process.execPath} ${bin} clean r`
  const asked = promisify(execFile)('script', ['-qec', command, '/dev/null'], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
  })
  asked.child.stdin?.end(`${typed}\n`)
  const ended = await asked.then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string }) => error,
  )
  expect([ended.code, ended.stdout]).toEqual([code, expect.stringContaining(said)])
  expect((await filesBelow(path.join(folder, 'store'))).length === 0).toBe(typed === 'yes')
})

test('a run that is not over is not cleaned, and it says what to do', async () => {
  const { folder, command, migrate } = await scene('folder')
  expect((await command('enqueue', 'export', '--to', 'jsonl:events', '--run', 'r')).code).toBe(0)
  const before = await filesBelow(path.join(folder, 'store'))
  const refused = await command('clean', 'r', '--yes')
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('r is not over')])
  expect(refused.stderr).toContain('heapferry cancel r')
  expect(await filesBelow(path.join(folder, 'store'))).toEqual(before)
  await command('cancel', 'r')
  const producer = setInterval(() => void redisLedger(server.redis).producing(RunId.parse('r')), 100)
  const early = await command('clean', 'r', '--yes').finally(() => clearInterval(producer))
  expect([early.code, early.stderr]).toEqual([1, expect.stringContaining('A run or enqueue command is at r')])
  await fallSilent()
  expect((await command('clean', 'r', '--yes')).code).toBe(0)
  expect(await filesBelow(path.join(folder, 'store'))).toEqual([])
  expect((await migrate()).stderr).toContain('was cancelled')
})

test('nothing is deleted while somebody retries rows of the run', async () => {
  const { folder, command, migrate } = await scene('folder')
  await migrate()
  const before = await filesBelow(path.join(folder, 'store'))
  const ledger = redisLedger(server.redis)
  await ledger.takeRetry({ run: RunId.parse('r'), token: 't' }, 'ada')
  const { code, stderr } = await command('clean', 'r', '--yes')
  expect([code, stderr]).toEqual([1, expect.stringContaining('ada retries rows of r')])
  expect(await filesBelow(path.join(folder, 'store'))).toEqual(before)
})

test('the run of that name in another Redis, and another work store, are left alone', async () => {
  const { folder, env, command, migrate } = await scene('folder')
  await migrate()
  const before = await filesBelow(path.join(folder, 'store'))
  const elsewhere = { ...env, HEAPFERRY_WORK_STORE: path.join(folder, 'other') }
  const wrong = await heapferryHere(['clean', 'r', '--yes'], { env: elsewhere, cwd: folder })
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('Give this command the HEAPFERRY_WORK_STORE')])
  // Redis tells of a run that was made at another moment: another one.
  const stored = JSON.parse((await server.redis.hget('heapferry-ledger:run:r', 'run')) ?? '{}')
  await server.redis.hset('heapferry-ledger:run:r', 'run', JSON.stringify({ ...stored, createdAtMs: 5 }))
  const other = await command('clean', 'r', '--yes')
  expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('Redis says otherwise of the run r')])
  expect(await filesBelow(path.join(folder, 'store'))).toEqual(before)
})

test('a link in the folder of a run leads nobody to what lies elsewhere', async () => {
  const { folder, command, migrate } = await scene('folder')
  await migrate()
  await mkdir(path.join(folder, 'precious/stage'), { recursive: true })
  await writeFile(path.join(folder, 'precious/stage/stage.json'), '{}')
  await symlink(path.join(folder, 'precious/stage'), path.join(folder, 'store/r/stage'))
  expect((await command('clean', 'r', '--yes')).code).toBe(0)
  expect(await filesBelow(path.join(folder, 'precious'))).toEqual(['stage/stage.json'])
  await rm(path.join(folder, 'store/r'), { recursive: true })
  await symlink(path.join(folder, 'precious'), path.join(folder, 'store/r'))
  const led = await command('clean', 'r', '--yes')
  expect([led.code, led.stderr]).toEqual([1, expect.stringContaining('leads out of the work store')])
  expect(await filesBelow(path.join(folder, 'precious'))).toEqual(['stage/stage.json'])
})
