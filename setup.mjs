/**
 * Makes a fresh clone ready: run by `npm start` and `npm test` before anything else. Does only what is missing, says so
 * in a line each, and says nothing when nothing is. Plain JavaScript and no dependencies: there are none yet.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('.', import.meta.url))

requireNode()
installDependencies()
await compile()

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

/** After the dependencies: the compiler is one of them. */
async function compile() {
  const { build, isStale } = await import('./build.mjs')
  if (!isStale()) return
  say('Compiling the command into dist/')
  await build()
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
