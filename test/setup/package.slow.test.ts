import { execFile } from 'node:child_process'
import { chmod, chown, copyFile, mkdir, readdir, readFile, symlink } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

const run = promisify(execFile)
const root = path.resolve(import.meta.dirname, '../..')
const nobody = 65_534

let folder: string
let archive: string
/** Of somebody on a machine with Node and npm, without Redis and, as far as this process may choose, without root. */
let stranger: { cwd: string; env: NodeJS.ProcessEnv; timeout: number; uid?: number; gid?: number }

beforeEach(async () => {
  folder = await temporaryFolder()
  await run('npm', ['pack', '--pack-destination', folder], { cwd: root })
  const [packed = ''] = (await readdir(folder)).filter((file) => file.endsWith('.tgz'))
  archive = path.join(folder, packed)

  const cwd = path.join(folder, 'empty')
  await mkdir(cwd)
  const programs = await programsWithout(['redis-server', 'valkey-server'], path.join(folder, 'programs'))
  // What this machine needs for reaching a registry stays; what npm has told this process of itself does not.
  const surroundings = Object.entries(process.env).filter(
    ([setting]) => !/^(?:npm_|REDIS_|POSTHOG_|HEAPFERRY_|XDG_)/i.test(setting),
  )
  stranger = { cwd, env: { ...Object.fromEntries(surroundings), PATH: programs, HOME: cwd }, timeout: 600_000 }
  if (process.getuid?.() !== 0) return
  await chmod(folder, 0o755)
  await chown(cwd, nobody, nobody)
  stranger = { ...stranger, uid: nobody, gid: nobody }
})

test('the package holds the compiled command and declares what it needs, and nothing else', async () => {
  const { stdout } = await run('tar', ['-tzf', archive])
  const files = stdout.trim().split('\n')
  expect(files.filter((file) => !file.startsWith('package/dist/')).toSorted()).toEqual([
    'package/LICENSE',
    'package/README.md',
    'package/package.json',
  ])
  expect(files).toContain('package/dist/heapferry.mjs')
  await run('tar', ['-xzf', archive, '-C', folder])
  const manifest = JSON.parse(await readFile(path.join(folder, 'package', 'package.json'), 'utf8'))
  expect(manifest).not.toHaveProperty('workspaces')
  expect(Object.keys(manifest.dependencies)).toEqual(expect.arrayContaining(['bullmq', 'ioredis', 'zod']))
})

test('without root and without Redis, npx rehearses with the package in an empty folder', async () => {
  const copy = path.join(stranger.cwd, path.basename(archive))
  await copyFile(archive, copy)
  const { stdout, stderr } = await run('npx', ['--yes', `./${path.basename(archive)}`, 'demo'], stranger)
  expect(stderr).toMatch(/Redis is missing: fetching[^]*Redis is ready/)
  expect(stdout).toContain('Completed')
  // What was fetched serves every later command, and nothing of the rehearsal stays.
  expect(await readdir(path.join(stranger.cwd, '.cache', 'heapferry'))).toEqual(['bin', 'redis-server'])
  expect((await readdir(stranger.cwd)).toSorted()).toEqual(['.cache', '.npm', path.basename(archive)])
})

test('installed for all folders, it is a command that says its version', async () => {
  const prefix = path.join(stranger.cwd, 'global')
  await run('npm', ['install', '--global', '--prefix', prefix, archive], stranger)
  const { stdout } = await run(path.join(prefix, 'bin', 'heapferry'), ['--version'], stranger)
  expect(stdout).toMatch(/^heapferry \d+\.\d+\.\d+ \(Node \d+\.\d+\.\d+\)\n$/)
})

/** A folder for PATH with all programs of this machine but these. */
async function programsWithout(names: readonly string[], into: string): Promise<string> {
  await mkdir(into)
  const seen = new Set(names)
  for (const place of ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin'])
    for (const name of await readdir(place)) {
      if (seen.has(name)) continue
      seen.add(name)
      await symlink(path.join(place, name), path.join(into, name))
    }
  return into
}
