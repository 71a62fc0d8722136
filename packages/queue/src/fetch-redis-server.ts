import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { errorMessage, OperatorError } from '@heapferry/domain'

/** Where `fetchRedisServer` puts the program. */
export function fetchedRedisServer(folder: string): string {
  return join(folder, 'bin', 'redis-server')
}

/**
 * Fetches Debian's redis-server into a folder: unpacks the packages that this machine lacks for it, which takes neither
 * root nor an installation. That is on purpose the same for root: an installed redis-server would start a service of its
 * own on port 6379.
 * @throws OperatorError, with ways to install one, where that cannot be done
 */
export async function fetchRedisServer(folder: string, say: (line: string) => void): Promise<void> {
  if (!(await runs('apt-get', '--version')) || !(await runs('dpkg-deb', '--version')))
    throw new OperatorError('Redis is missing', howToInstall)
  say(`Redis is missing: fetching Debian's redis-server into ${folder} (nothing else on this machine changes)`)
  try {
    await fetchInto(folder)
  } catch (cause) {
    const said = errorMessage(cause)
    throw new OperatorError(['Redis is missing, and could not be fetched:', ...said.split('\n')], howToInstall, {
      cause,
    })
  }
  say(`Redis is ready: ${fetchedRedisServer(folder)}`)
}

const howToInstall = [
  'Install it and repeat:',
  '  Debian, Ubuntu  apt-get install redis-server',
  '  Fedora          dnf install valkey',
  '  Alpine          apk add redis',
  '  macOS           brew install redis',
  'or set REDIS_URL, in the environment or in .env, to a Redis that you run.',
]

async function fetchInto(folder: string): Promise<void> {
  const own = fetchedRedisServer(folder)
  // Whatever the umask: others must not put another program there.
  await mkdir(join(folder, 'bin'), { recursive: true, mode: 0o755 })
  const work = await mkdtemp(join(folder, 'fetch-'))
  try {
    const unpacked = join(work, 'unpacked')
    for (const archive of await downloadTo(work)) await run('dpkg-deb', ['-x', archive, unpacked])
    const place = join(folder, 'redis-server')
    const libraries = (await librariesIn(unpacked)).map((path) => `$here/redis-server/${path}`)
    const script = [
      '#!/bin/sh',
      '# Made by heapferry.',
      'here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)',
      `export LD_LIBRARY_PATH="${libraries.join(':')}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`,
      'exec "$here/redis-server/usr/bin/redis-server" "$@"',
    ]
    // Another command may have fetched one meanwhile, and run it.
    if (await exists(own)) return
    await rm(place, { recursive: true, force: true })
    await rename(unpacked, place)
    // Under its name only when all is there and it runs: what is interrupted begins anew the next time.
    const half = join(folder, 'bin', `${basename(work)}.new`)
    await writeFile(half, `${script.join('\n')}\n`, { mode: 0o755 })
    try {
      await run(half, ['--version'])
      await rename(half, own)
    } finally {
      await rm(half, { force: true })
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Paths of the downloaded packages. */
async function downloadTo(work: string): Promise<string[]> {
  const archives = join(work, 'cache', 'archives')
  for (const folder of [join(work, 'state', 'lists', 'partial'), join(archives, 'partial')])
    await mkdir(folder, { recursive: true })
  const options = [
    `Dir::State=${work}/state`,
    'Dir::State::status=/var/lib/dpkg/status',
    `Dir::Cache=${work}/cache`,
    // apt as root would become `_apt`, which may not write here.
    'APT::Sandbox::User=',
    'Debug::NoLocking=1',
  ].flatMap((option) => ['-o', option])
  await run('apt-get', [...options, 'update'])
  const install = ['install', '-y', '--download-only', '--reinstall', '--no-install-recommends']
  await run('apt-get', [...options, ...install, 'redis-server', 'redis-tools'])
  return (await readdir(archives)).filter((name) => name.endsWith('.deb')).map((name) => join(archives, name))
}

/** Folders, relative to the given one, that hold shared libraries. */
async function librariesIn(folder: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  const folders = files.filter((file) => /\.so(\.|$)/.test(file.name)).map((file) => file.parentPath)
  return [...new Set(folders)].map((path) => path.slice(folder.length + 1))
}

async function runs(program: string, ...args: string[]): Promise<boolean> {
  return run(program, args).then(
    () => true,
    () => false,
  )
}

/** What a program prints is shown only when it fails. */
async function run(program: string, args: readonly string[]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    execFile(program, args, { maxBuffer: Number.POSITIVE_INFINITY }, (error, stdout, stderr) => {
      if (!error) return resolve()
      const said = `${stdout}${stderr}`.trimEnd().split('\n').slice(-10).join('\n')
      reject(new Error(`${basename(program)} failed:\n${said || error.message}`, { cause: error }))
    })
  })
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
