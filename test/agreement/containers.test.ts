import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { settingsSchema } from '@heapferry/config'
import { expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { programFor } from '../../apps/cli/src/program.ts'
import { handOverMs } from '../../apps/cli/src/commands/worker.ts'

const root = path.resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')

const Probe = z.looseObject({})
const Container = z.looseObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()).optional(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).default([]),
  livenessProbe: Probe,
  resources: z.object({ requests: z.record(z.string(), z.string()), limits: z.object({ memory: z.string() }) }),
  securityContext: z.looseObject({}),
})
const Pod = z.looseObject({
  terminationGracePeriodSeconds: z.number().default(30),
  automountServiceAccountToken: z.literal(false),
  securityContext: z.looseObject({ runAsNonRoot: z.boolean(), runAsUser: z.number() }),
  containers: z.tuple([Container]),
})
const Resource = z.looseObject({ kind: z.string(), metadata: z.looseObject({ name: z.string() }) })
const folder = 'deploy/kubernetes'
const resources = readdirSync(path.join(root, folder))
  .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  .flatMap((file) => parseAllDocuments(read(`${folder}/${file}`)).map((one) => Resource.parse(one.toJS())))
const pods = resources.flatMap(({ kind, metadata, ...rest }) => {
  const found = z.object({ spec: z.object({ template: z.object({ spec: Pod }) }) }).safeParse(rest)
  if (['Deployment', 'StatefulSet', 'Job'].includes(kind)) expect(found.error).toBeUndefined()
  return found.success ? [{ name: metadata.name, spec: found.data.spec.template.spec }] : []
})

const Service = z.looseObject({
  image: z.string(),
  user: z.string(),
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  healthcheck: z.looseObject({ test: z.array(z.string()) }),
  mem_limit: z.string(),
  pids_limit: z.number(),
  command: z.array(z.string()),
  stop_grace_period: z.string(),
  ports: z.array(z.string()).default([]),
  profiles: z.array(z.string()).default([]),
})
const { services } = z
  .object({ services: z.record(z.string(), Service) })
  .parse(parse(read('docker-compose.yml'), { merge: true }))

test('every service of docker-compose.yml is closed in: no root, no writing to its image, no capability, and limits', () => {
  expect(Object.keys(services).toSorted()).toEqual(['dashboard', 'posthog', 'producer', 'redis', 'worker'])
  for (const [name, { user, ports }] of Object.entries(services)) {
    expect([name, user]).toEqual([name, expect.stringMatching(/^[1-9]\d+:[1-9]\d+$/)])
    // Published for this machine alone, and of Redis nothing.
    expect([name, ports]).toEqual([name, name === 'dashboard' ? ['127.0.0.1:3700:3700'] : []])
  }
  expect(Object.entries(services).filter(([, { profiles }]) => profiles.includes('rehearsal'))).toHaveLength(1)
})

test('every pod is closed in: no root, no writing to its image, no capability, no token, and limits', () => {
  expect(pods.map(({ name }) => name).toSorted()).toEqual([
    'heapferry-dashboard',
    'heapferry-enqueue',
    'heapferry-redis',
    'heapferry-worker',
  ])
  for (const { name, spec } of pods) {
    expect([name, spec.securityContext]).toMatchObject([
      name,
      { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    ])
    expect([name, spec.securityContext.runAsUser > 0]).toEqual([name, true])
    expect([name, spec.containers[0].securityContext]).toEqual([
      name,
      { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    ])
  }
})

test('images are named by an exact tag, and Compose and Kubernetes take the same', () => {
  const { version } = JSON.parse(read('package.json'))
  const kustomization = parse(read(`${folder}/kustomization.yaml`))
  expect(kustomization.images).toEqual([{ name: 'heapferry', newName: 'heapferry', newTag: version }])
  const { redis, ...own } = services
  expect(new Set(Object.values(own).map(({ image }) => image))).toEqual(new Set([`heapferry:${version}`]))
  const ofPods = new Set(pods.map(({ spec }) => spec.containers[0].image))
  expect(ofPods).toEqual(new Set(['heapferry', redis?.image]))
  expect(redis?.image).toMatch(/^redis:\d+\.\d+\.\d+-\w+$/)
  const from = [...read('Dockerfile').matchAll(/^FROM (\S+)/gm)].map(([, image]) => image)
  expect(new Set(from).size).toBe(1)
  expect(from[0]).toMatch(/^node:\d+\.\d+\.\d+-\w+-slim$/)
})

test('a container that is told to end has the time that a worker takes to hand its chunks over', () => {
  const worker = pods.find(({ name }) => name === 'heapferry-worker')
  const ofCompose = Object.values(services).map((service) => Number(/^(\d+)s$/.exec(service.stop_grace_period)?.[1]))
  for (const seconds of [worker?.spec.terminationGracePeriodSeconds, ...ofCompose])
    expect(seconds).toBeGreaterThanOrEqual((2 * handOverMs) / 1000)
})

// Podman 4 cuts what its socket is given as a list at every blank.
test('checks of health that name a program and its arguments have no blank in any', () => {
  for (const [name, { healthcheck }] of Object.entries(services)) {
    const [kind, ...words] = healthcheck.test
    expect([name, kind === 'CMD' ? words.filter((word) => word.includes(' ')) : []]).toEqual([name, []])
  }
})

test('Compose and Kubernetes start commands that there are, with settings that there are', async () => {
  const lines = [
    ...Object.values(services).map(({ command }) => command),
    ...pods.map(({ spec }) => spec.containers[0].args ?? ['sh']),
  ].filter(([command]) => command !== 'sh')
  expect(new Set(lines.map(([command]) => command))).toEqual(
    new Set(['dashboard', 'enqueue', 'fake-posthog', 'worker']),
  )
  for (const [name = '', ...args] of lines) {
    const command = (await programFor([name])).commands.find((one) => one.name() === name)
    const flags = args.filter((arg) => arg.startsWith('--'))
    expect(command?.options.map(({ long }) => long)).toEqual(expect.arrayContaining(flags))
  }
  const config = resources.find(({ kind }) => kind === 'ConfigMap')
  const data = z.object({ data: z.record(z.string(), z.string()) }).parse(config).data
  const set = [...Object.keys(data), ...pods.flatMap(({ spec }) => spec.containers[0].env.map(({ name }) => name))]
  const known = Object.keys(settingsSchema.shape)
  expect(set.map((name) => name.replace(/_FILE$/, '')).filter((name) => !known.includes(name))).toEqual([])
})

test('every resource of the folder for Kubernetes is applied', () => {
  const listed: unknown = parse(read(`${folder}/kustomization.yaml`)).resources
  const files = readdirSync(path.join(root, folder)).filter((file) => /^(?!kustomization).*\.yaml$/.test(file))
  expect(listed).toEqual(expect.arrayContaining(files))
  expect(files).toHaveLength(z.array(z.string()).parse(listed).length)
})

test('KEDA asks for metrics that /metrics has, of states that runs have', () => {
  const { spec } = parse(read(`${folder}/keda/scaled-object.yaml`))
  const query = z.string().parse(spec.triggers[0].metadata.query)
  const metrics = read('apps/dashboard/src/metrics.ts')
  const states = read('packages/migration/src/run-state.ts')
  for (const [, name] of query.matchAll(/heapferry_(\w+)\{/g)) expect(metrics).toContain(`('${name}'`)
  for (const state of /run_state\{state=~"([^"]+)"/.exec(query)?.[1]?.split('|') ?? ['none'])
    expect(states).toContain(`'${state}'`)
  expect(spec.scaleTargetRef.name).toBe('heapferry-worker')
})
