import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { canMount, fill, mounted } from '../support/small-disk.ts'

const apiKey = 'phc_disk00000000000000000000000000000000000000000'
const server = redisForTests()
const onlyWhereMountable = test.skipIf(!canMount())

onlyWhereMountable(
  'a full work store is told with its place, nothing is enqueued, and the same command goes on',
  async () => {
    const { folder, run, env, enqueue } = await scene()
    const store = mounted(path.join(folder, 'store'), '64k')
    const free = fill(store)
    const full = await enqueue({ ...env, HEAPFERRY_WORK_STORE: store })
    expect(full.code).toBe(1)
    expect(full.stderr).toContain(`heapferry: The work store ${store} cannot be written to: ENOSPC`)
    expect(full.stderr).toMatch(/→ Make room there.*HEAPFERRY_WORK_STORE/)
    expect(full.stderr).not.toMatch(/this is a bug|\n\s+at /)
    free()
    expect(await enqueue({ ...env, HEAPFERRY_WORK_STORE: store })).toMatchObject({ code: 0, stdout: `${run}\n` })
  },
)

onlyWhereMountable.each(['full', 'read-only'])('a %s home is told with what to do', async (kind) => {
  const { folder, env, enqueue } = await scene()
  const home = mounted(path.join(folder, 'home'), '64k')
  if (kind === 'full') fill(home)
  else execFileSync('mount', ['-o', 'remount,ro', home])
  const { REDIS_URL: _, ...own } = env
  for (const settings of [env, own]) {
    const { code, stderr } = await enqueue({ ...settings, HEAPFERRY_HOME: home })
    expect(code).toBe(1)
    expect(stderr).toMatch(kind === 'full' ? /ENOSPC/ : /EROFS|ENOENT.*mkdir/)
    expect(stderr).toMatch(/→ Make room there/)
    expect(stderr).not.toMatch(/this is a bug|\n\s+at /)
  }
})

let runs = 0

async function scene() {
  const run = `disk-${++runs}`
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const source = path.join(folder, 'export')
  mkdirSync(source)
  await writeFile(
    path.join(source, 'user_migrations.csv'),
    'from_user_id,to_user_id,time\n1,2,2023-01-01 00:00:00\n3,4,2023-01-02 00:00:00\n',
  )
  await writeFile(path.join(source, 'users.csv'), 'user_id,identity,joindate\n2,ada@example.com,2023-01-01 00:00:00\n')
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'elsewhere'),
    REDIS_URL: server.server.url,
  }
  const enqueue = (settings: Record<string, string>) =>
    heapferryHere(['enqueue', source, '--run', run], { cwd: folder, env: settings })
  return { folder, run, env, enqueue }
}
