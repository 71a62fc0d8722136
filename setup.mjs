/**
 * Makes a fresh clone ready: run by `npm start` and `npm test` before anything else. Does only what is missing, says so
 * in a line each, and says nothing when nothing is. Plain JavaScript and no dependencies: there are none yet.
 */
import { spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('.', import.meta.url))

requireNode()
installDependencies()
provideRedis()

function requireNode() {
  const wanted = readJson('package.json').engines.node
  if (wanted.split('||').some((range) => satisfies(process.versions.node, range.trim()))) return
  fail(`heapferry needs Node ${wanted}, this is ${process.versions.node}. Get one from https://nodejs.org and repeat.`)
}

/** Of semver's ranges the two that package.json uses: `^1.2.3` and `>=1.2.3`. */
function satisfies(version, range) {
  const [major, minor, patch] = version.split('.').map(Number)
  const [wantedMajor, wantedMinor, wantedPatch] = range.replace(/^\D+/, '').split('.').map(Number)
  if (major !== wantedMajor) return range.startsWith('>=') && major > wantedMajor
  return minor > wantedMinor || (minor === wantedMinor && patch >= wantedPatch)
}

function installDependencies() {
  const fault = dependencyFault()
  if (fault === undefined) return
  say(`${fault}: running npm ci`)
  // Inside `npm start` npm says where it is; it need not be on PATH. Other package managers set the variable too.
  const npm = process.env.npm_execpath
  const command = npm && basename(npm) === 'npm-cli.js' ? [process.execPath, npm] : ['npm']
  const [program, ...args] = [...command, 'ci', '--include=dev', '--no-audit', '--no-fund']
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' })
  if (error) fail(`npm could not be run (${error.message}). Run \`npm ci\` in ${root} yourself, then repeat.`)
  if (status !== 0) fail('npm ci failed, see above.')
}

/** npm writes what it has installed into node_modules/.package-lock.json, in the form of package-lock.json. */
function dependencyFault() {
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return 'Dependencies are not installed'
  const wanted = readJson('package-lock.json').packages
  const installed = readJson('node_modules', '.package-lock.json').packages
  const outdated = Object.keys(wanted).find((path) => {
    if (path === '') return false
    // Those of other platforms are never installed.
    if (!installed[path]) return !wanted[path].optional
    return installed[path].version !== wanted[path].version
  })
  return outdated === undefined ? undefined : `Dependencies are out of date (${outdated})`
}

function provideRedis() {
  const own = join(root, '.heapferry', 'bin', 'redis-server')
  if (hasRedisUrl() || onPath('redis-server') || onPath('valkey-server') || existsSync(own)) return
  const isDebianLike = onPath('apt-get') && onPath('dpkg-deb')
  if (!isDebianLike) failWithoutRedis('Redis is missing.')
  say("Redis is missing: fetching Debian's redis-server into .heapferry (nothing else on this machine changes)")
  try {
    fetchDebianRedis(own)
  } catch (fault) {
    failWithoutRedis(`${fault.message}\n\nRedis could not be fetched.`)
  }
  say(`Redis is ready: ${own}`)
}

function hasRedisUrl() {
  if (process.env.REDIS_URL) return true
  const file = join(root, '.env')
  return existsSync(file) && /^\s*(export\s+)?REDIS_URL\s*=\s*\S/m.test(readFileSync(file, 'utf8'))
}

/**
 * Unpacks the packages that this machine lacks for redis-server, which takes neither root nor an installation. That is
 * on purpose the same for root: an installed redis-server would start a service of its own on port 6379.
 */
function fetchDebianRedis(own) {
  const home = join(root, '.heapferry')
  mkdirSync(join(home, 'bin'), { recursive: true })
  const work = mkdtempSync(join(home, 'fetch-'))
  try {
    const options = [
      `Dir::State=${work}/state`,
      'Dir::State::status=/var/lib/dpkg/status',
      `Dir::Cache=${work}/cache`,
      // apt as root would become `_apt`, which may not write here.
      'APT::Sandbox::User=',
      'Debug::NoLocking=1',
    ].flatMap((option) => ['-o', option])
    for (const folder of ['state/lists/partial', 'cache/archives/partial'])
      mkdirSync(join(work, folder), { recursive: true })
    run('apt-get', [...options, 'update'])
    const install = ['install', '-y', '--download-only', '--reinstall', '--no-install-recommends']
    run('apt-get', [...options, ...install, 'redis-server', 'redis-tools'])

    const unpacked = join(work, 'unpacked')
    const archives = join(work, 'cache', 'archives')
    for (const file of readdirSync(archives).filter((name) => name.endsWith('.deb')))
      run('dpkg-deb', ['-x', join(archives, file), unpacked])
    const place = join(home, 'redis-server')
    rmSync(place, { recursive: true, force: true })
    renameSync(unpacked, place)

    const libraries = librariesIn(place).map((folder) => `$here/redis-server/${folder}`)
    const script = [
      '#!/bin/sh',
      '# Made by setup.mjs.',
      'here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)',
      `export LD_LIBRARY_PATH="${libraries.join(':')}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`,
      'exec "$here/redis-server/usr/bin/redis-server" "$@"',
    ]
    // Under its name only when all is there and it runs: a setup that is interrupted begins anew the next time.
    const half = `${own}.new`
    writeFileSync(half, `${script.join('\n')}\n`, { mode: 0o755 })
    run(half, ['--version'])
    renameSync(half, own)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Folders, relative to the given one, that hold shared libraries. */
function librariesIn(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  const folders = files.filter((file) => /\.so(\.|$)/.test(file.name)).map((file) => file.parentPath)
  return [...new Set(folders)].map((path) => path.slice(folder.length + 1))
}

/** What a program prints is shown only when it fails. */
function run(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (status === 0) return
  const said = error ? error.message : `${stdout}${stderr}`.trimEnd().split('\n').slice(-10).join('\n')
  throw new Error(`${basename(program)} failed:\n${said}`)
}

function failWithoutRedis(message) {
  fail(
    [
      message,
      'Install it and repeat:',
      '  Debian, Ubuntu  apt-get install redis-server',
      '  Fedora          dnf install valkey',
      '  Alpine          apk add redis',
      '  macOS           brew install redis',
      'or set REDIS_URL, in the environment or in .env, to a Redis that you run.',
    ].join('\n'),
  )
}

function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function readJson(...path) {
  return JSON.parse(readFileSync(join(root, ...path), 'utf8'))
}

function say(line) {
  process.stderr.write(`setup: ${line}\n`)
}

function fail(message) {
  say(message)
  process.exit(1)
}
