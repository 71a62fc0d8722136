import { execFile, spawn } from 'node:child_process'
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { cloneForSetup } from './clone.ts'

let folder: string

beforeEach(async () => {
  folder = await cloneForSetup()
  await mkdir(join(folder, 'programs'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

/** With a PATH of its own, so that what is installed here plays no part. */
async function setup(env: Record<string, string> = {}): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, ['setup.mjs'], { cwd: folder, env: { PATH: join(folder, 'programs'), ...env } })
  let said = ''
  child.stdout.on('data', (text) => (said += String(text)))
  child.stderr.on('data', (text) => (said += String(text)))
  const code = await new Promise<number | null>((settle) => child.once('close', settle))
  return { code, said }
}

async function addProgram(name: string, script: string): Promise<void> {
  await writeFile(join(folder, 'programs', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

const Lock = z.looseObject({ packages: z.record(z.string(), z.looseObject({ version: z.string().optional() })) })

async function changeInstalled(change: (packages: z.infer<typeof Lock>['packages']) => void): Promise<void> {
  const path = join(folder, 'node_modules', '.package-lock.json')
  const lock = Lock.parse(JSON.parse(await readFile(path, 'utf8')))
  change(lock.packages)
  await writeFile(path, JSON.stringify(lock))
}

test('with all there nothing is done and nothing said', async () => {
  expect(await setup()).toEqual({ code: 0, said: '' })
})

test('a Node that is too old is named together with the one that is needed', async () => {
  const manifest = await readFile(join(folder, 'package.json'), 'utf8')
  const check = async (range: string) => {
    await writeFile(join(folder, 'package.json'), manifest.replace(/"node": ".*"/, `"node": "${range}"`))
    return setup()
  }
  const [major = 0, minor = 0, patch = 0] = process.versions.node.split('.').map(Number)
  const refused = await check(`^${major}.${minor}.${patch + 1} || >=${major + 1}.0.0`)
  expect(refused.code).toBe(1)
  expect(refused.said).toContain(`>=${major + 1}.0.0`)
  expect(refused.said).toContain(process.versions.node)
  expect((await check(`^${major}.${minor}.${patch}`)).code).toBe(0)
  expect((await check(`^${major - 1}.0.0`)).code).toBe(1)
  expect((await check(`^${major - 2}.0.0 || >=${major - 1}.99.0`)).code).toBe(0)
})

test('missing dependencies are installed with the npm that runs it', async () => {
  const npm = join(folder, 'npm-cli.js')
  await writeFile(npm, 'console.log("npm was told to", process.argv.slice(2).join(" "))')
  await rm(join(folder, 'node_modules'), { recursive: true })
  const { code, said } = await setup({ npm_execpath: npm })
  expect(code).toBe(0)
  expect(said).toMatch(/not installed: running npm ci[^]*npm was told to ci /)
})

test('outside npm the one on PATH is taken, and its failure is a failure', async () => {
  await addProgram('npm', 'echo "npm was told to $1"; exit 7')
  await rm(join(folder, 'node_modules'), { recursive: true })
  const { code, said } = await setup({ npm_execpath: '/somewhere/yarn.js' })
  expect(code).toBe(1)
  expect(said).toContain('npm was told to ci')
})

test('without any npm it says what to do', async () => {
  await rm(join(folder, 'node_modules'), { recursive: true })
  const { code, said } = await setup()
  expect(code).toBe(1)
  expect(said).toContain('Run `npm ci`')
})

test('a package of another version than the lock file names is a reason to install, and so is a missing one', async () => {
  await addProgram('npm', 'exit 0')
  await changeInstalled((packages) => {
    packages['node_modules/zod'] = { ...packages['node_modules/zod'], version: '0.0.1' }
  })
  expect((await setup()).said).toContain('out of date (node_modules/zod)')
  await changeInstalled((packages) => {
    delete packages['node_modules/zod']
  })
  expect((await setup()).said).toContain('out of date (node_modules/zod)')
})

test('where packages came from does not matter: package-lock.json may leave it out', async () => {
  await changeInstalled((packages) => {
    for (const [path, entry] of Object.entries(packages)) entry['resolved'] = `https://npm.example/${path}.tgz`
  })
  expect(await setup()).toEqual({ code: 0, said: '' })
})

test('packages for other platforms are not missed', async () => {
  await changeInstalled((packages) => {
    for (const [path, entry] of Object.entries(packages)) if (entry['optional'] === true) delete packages[path]
  })
  expect(await setup()).toEqual({ code: 0, said: '' })
})

test('a source that was written or removed since it was compiled is a reason to compile', async () => {
  const isStale = async () => {
    const script = `import { isStale } from './build.mjs'; process.stdout.write(String(isStale()))`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      cwd: folder,
    })
    return stdout
  }
  const built = join(folder, 'dist', 'heapferry.mjs')
  const source = join(folder, 'packages', 'domain', 'src', 'chunk.ts')
  await mkdir(join(source, '..'), { recursive: true })
  await writeFile(source, '')
  for (const path of [source, join(source, '..'), join(folder, 'build.mjs'), join(folder, 'package-lock.json')])
    await touch(path, 1000)
  await touch(built, 2000)
  expect(await isStale()).toBe('false')
  await touch(source, 3000)
  expect(await isStale()).toBe('true')
  await touch(source, 1000)
  expect(await isStale()).toBe('false')
  await rm(source)
  expect(await isStale()).toBe('true')
  await touch(join(source, '..'), 1000)
  await rm(built)
  expect(await isStale()).toBe('true')
})

function touch(path: string, second: number): Promise<void> {
  return utimes(path, second, second)
}
