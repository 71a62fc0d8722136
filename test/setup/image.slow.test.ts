import { execFile, spawn } from 'node:child_process'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { openPrivateRedis } from '@heapferry/queue'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'

/**
 * What Dockerfile and docker-compose.yml say, done in folders: no engine is needed. Absolute paths of theirs lie below a
 * folder that stands for the root of the file system, so that what is tested is the layout and the commands, not the kernel's
 * isolation.
 */
const run = promisify(execFile)
const repository = path.resolve(import.meta.dirname, '../..')
const isRoot = process.getuid?.() === 0
/** Of the image, as far as this process may choose. */
const user = isRoot ? { uid: 1000, gid: 1000 } : {}

let image: Image
let compose: Record<string, z.infer<typeof Service>>

const Service = z.looseObject({
  command: z.array(z.string()),
  environment: z.record(z.string(), z.coerce.string()).default({}),
  healthcheck: z.object({ test: z.array(z.string()) }),
})

beforeAll(async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-image-'))
  afterAll(async () => {
    await run('chmod', ['-R', 'u+w', folder])
    await rm(folder, { recursive: true })
  })
  // Others must come through.
  await chmod(folder, 0o755)
  image = await builtFrom(await readFile(path.join(repository, 'Dockerfile'), 'utf8'), folder)
  const file = await readFile(path.join(repository, 'docker-compose.yml'), 'utf8')
  compose = z.object({ services: z.record(z.string(), Service) }).parse(parse(file, { merge: true })).services
}, 900_000)

test('whom the image of the Dockerfile runs as may write to its home and to nothing else of it, and its command says how to use it', async () => {
  expect(image.user).toBe('1000:1000')
  const { stdout } = await run(image.entrypoint[0] ?? '', [...image.entrypoint.slice(1), ...image.cmd], {
    ...user,
    cwd: image.at(image.workdir),
    env: surroundings(),
  })
  expect(stdout).toContain('Usage: heapferry')
  await expect(asUser('touch', image.at('/app/dist/more'))).rejects.toThrow(/denied|read-only/i)
  await expect(asUser('sh', '-c', `echo >> '${image.at('/app/dist/heapferry.mjs')}'`)).rejects.toThrow(
    /denied|read-only/i,
  )
  await asUser('touch', image.at(`${image.env['HEAPFERRY_HOME']}/more`))
})

test('the services of docker-compose.yml move an export from the image alone, and each is found healthy meanwhile', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'heapferry-redis-'))
  const redis = await openPrivateRedis({ home, serverCandidates })
  onTestFinished(async () => {
    await redis.close()
    await rm(home, { recursive: true })
  })
  const { password, port } = new URL(redis.url)
  await secret('posthog_api_key', 'phc_image00000000000000000000000000000000000')
  await secret('redis_password', password)
  await secret('dashboard_password', 'a-password-of-the-dashboard')
  await writeFile(
    image.at('/export/pageviews.csv'),
    `event_id,user_id,session_id,time\n${Array.from({ length: 500 }, (_, nth) => `${nth + 1},${1 + (nth % 7)},1,2023-01-02 03:04:05\n`).join('')}`,
  )
  await writeFile(image.at('/heapferry.yaml'), '')

  const posthogPort = await freePort()
  const settings = { POSTHOG_HOST: `http://127.0.0.1:${posthogPort}`, REDIS_URL: `redis://127.0.0.1:${port}` }
  const posthog = await service('posthog', settings, { 8000: posthogPort })
  await posthog.healthy()
  const worker = await service('worker', settings, { 3701: await freePort() })
  const dashboard = await service('dashboard', settings, { 3700: await freePort() })
  await worker.healthy()
  await dashboard.healthy()
  const producer = await service('producer', settings, { 3701: await freePort() })
  expect(await producer.ended).toMatchObject({ code: 0 })
  const counts = async (): Promise<unknown> => (await fetch(`${settings.POSTHOG_HOST}/_fake/counts`)).json()
  await until('all events have arrived', async () => JSON.stringify(await counts()).includes('"stored":500'))
  expect(await counts()).toMatchObject({ stored: 500, duplicates: 0, byEvent: { $pageview: 500 } })
  for (const one of [worker, dashboard, posthog]) {
    one.stop()
    expect(await one.ended).toMatchObject({ code: 0 })
  }
})

async function secret(name: string, text: string): Promise<void> {
  const file = image.at(`/run/secrets/${name}`)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, text, { mode: 0o400 })
  if (isRoot) await chown(file, 1000, 1000)
}

/** A service as Compose starts it, at other ports: all are on this machine. */
async function service(name: string, settings: Record<string, string>, ports: Record<number, number>) {
  const { command, environment, healthcheck } = compose[name] ?? raise(`there is no service ${name}`)
  const moved = (text: string): string =>
    Object.entries(ports).reduce((sum, [from, to]) => sum.replaceAll(from, String(to)), placed(text, image.at('/')))
  const env = Object.fromEntries(
    Object.entries(environment).map(([setting, value]) => [setting, settings[setting] ?? moved(interpolated(value))]),
  )
  const [program = '', ...first] = image.entrypoint
  const child = spawn(program, [...first, ...command.map(moved)], {
    ...user,
    cwd: image.at(image.workdir),
    env: { ...surroundings(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += String(data)))
  const ended = new Promise<{ code: number | null; said: string }>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, said }))
  })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    ended,
    stop: () => child.kill('SIGTERM'),
    async healthy() {
      const [kind, probe = '', ...args] = healthcheck.test
      expect(kind).toBe('CMD')
      await until(`${name} is healthy`, () =>
        run(probe, args.map(moved), { ...user, env: surroundings() }).then(
          () => true,
          () => false,
        ),
      )
    },
  }
}

interface Image {
  /** A path of the image as one of this machine. */
  at(file: string): string
  env: Record<string, string>
  workdir: string
  user: string
  entrypoint: string[]
  cmd: string[]
}

/** Carries out a Dockerfile, each of whose stages has a folder for its root. @returns the last stage */
async function builtFrom(dockerfile: string, folder: string): Promise<Image> {
  const stages = new Map<string, Image>()
  let stage: Image | undefined
  for (const line of dockerfile.replaceAll('\\\n', ' ').split('\n')) {
    const [, word = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? []
    if (word === '') continue
    if (word === 'FROM') {
      const [, name = `${stages.size}`] = / AS (\S+)$/.exec(rest) ?? []
      const root = path.join(folder, name)
      await mkdir(path.join(root, 'tmp'), { recursive: true })
      stage = {
        at: (file) => path.join(root, file),
        env: {},
        workdir: '/',
        user: 'root',
        entrypoint: [],
        cmd: [],
      }
      stages.set(name, stage)
      continue
    }
    if (!stage) throw new Error(`${word} before FROM`)
    const { at } = stage
    switch (word) {
      case 'ENV':
        for (const [, name = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) stage.env[name] = value
        break
      case 'WORKDIR':
        stage.workdir = rest
        await mkdir(at(rest), { recursive: true })
        break
      case 'COPY': {
        const [, from, names = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(rest) ?? []
        const source = from === undefined ? null : (stages.get(from) ?? raise(`there is no stage ${from}`))
        const paths = names.split(' ')
        const target = path.join(at(stage.workdir), paths.pop() ?? '')
        for (const one of paths) {
          const file = source === null ? path.join(repository, one) : source.at(one)
          // A folder's content goes into the target, a file into a target that is a folder.
          const isFolder = (await stat(file)).isDirectory()
          const isInto = !isFolder && (await stat(target).catch(() => null))?.isDirectory()
          await cp(file, isInto ? path.join(target, path.basename(one)) : target, {
            recursive: true,
            verbatimSymlinks: true,
          })
        }
        break
      }
      case 'RUN':
        await run('sh', ['-ec', placed(isRoot ? rest : rest.replace(/&& chown \S+ \S+/, ''), at('/'))], {
          cwd: at(stage.workdir),
          env: { ...process.env, ...stage.env, NODE_ENV: '' },
          maxBuffer: 64 * 1024 * 1024,
        })
        break
      case 'USER':
        stage.user = rest
        break
      case 'ENTRYPOINT':
        stage.entrypoint = z.array(z.string()).parse(JSON.parse(rest))
        break
      case 'CMD':
        stage.cmd = z.array(z.string()).parse(JSON.parse(rest))
        break
      case 'VOLUME':
        break
      default:
        throw new Error(`nobody has said what ${word} does`)
    }
  }
  const built = stage ?? raise('there is no stage')
  await run('chmod', ['-R', 'a-w', built.at('/app')])
  if (isRoot) await run('chown', ['-R', '0:0', built.at('/app')])
  return built
}

/** Absolute paths of a command lie below a root. Those of a URL are none. */
function placed(text: string, root: string): string {
  return text.replaceAll(/(^|\s)\/(?=[a-z])/g, (_, before: string) => `${before}${root}`)
}

/** `${NAME:-default}` as Compose reads it where nothing is set. */
function interpolated(value: string): string {
  return value.replaceAll(/\$\{\w+(?::-([^}]*))?[^}]*\}/g, (_, fallback: string | undefined) => fallback ?? '')
}

function surroundings(): NodeJS.ProcessEnv {
  const { HEAPFERRY_HOME = '', ...env } = image.env
  return { PATH: process.env.PATH, ...env, HEAPFERRY_HOME: image.at(HEAPFERRY_HOME) }
}

function asUser(program: string, ...args: string[]) {
  return run(program, args, { ...user })
}

function raise(message: string): never {
  throw new Error(message)
}
