import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'

/** Which packages and apps each of them may import. All are in reach of all, so nothing but this test holds the layers. */
const allowed: Record<string, string[]> = {
  'packages/domain': [],
  'packages/conversion': ['domain'],
  'packages/migration': ['conversion', 'domain'],
  'packages/sources': ['domain'],
  'packages/posthog': ['domain'],
  'packages/queue': ['domain'],
  'packages/config': ['domain'],
  'packages/sample-export': [],
  'apps/producer': ['domain', 'migration', 'queue', 'sources'],
  'apps/worker': ['config', 'domain', 'migration', 'posthog', 'queue', 'sources'],
  'apps/dashboard': ['config', 'domain', 'migration', 'queue', 'sources'],
  'apps/fake-posthog': ['domain'],
  'apps/cli': [
    'config',
    'dashboard',
    'domain',
    'fake-posthog',
    'migration',
    'posthog',
    'producer',
    'queue',
    'sample-export',
    'sources',
    'worker',
  ],
}

/** Libraries that only one of them may know. */
const owners: Record<string, string> = {
  bullmq: 'packages/queue',
  ioredis: 'packages/queue',
  'posthog-node': 'packages/posthog',
  undici: 'packages/posthog',
  'csv-parse': 'packages/sources',
  pg: 'packages/sources',
  '@aws-sdk': 'packages/sources',
  '@smithy': 'packages/sources',
  'google-auth-library': 'packages/sources',
  yaml: 'packages/config',
  pino: 'packages/config',
  commander: 'apps/cli',
  '@opentelemetry': 'apps/cli',
  'bullmq-otel': 'packages/queue',
  express: 'apps/dashboard',
}

const root = path.resolve(import.meta.dirname, '..')
const sources = filesBelow('packages', 'apps').map((file) => {
  const text = readFileSync(path.join(root, file), 'utf8')
  return { file, workspace: file.split('/').slice(0, 2).join('/'), text, imports: importsOf(text) }
})

test('every package and app imports only those below it', () => {
  const faults = sources.flatMap(({ file, workspace, imports }) =>
    imports
      .filter((name) => name.startsWith('@heapferry/'))
      .filter((name) => !allowed[workspace]?.includes(name.replace('@heapferry/', '')))
      .map((name) => `${file} imports ${name}`),
  )
  expect(faults).toEqual([])
  expect(new Set(sources.map(({ workspace }) => workspace))).toEqual(new Set(Object.keys(allowed)))
})

test('package.json declares every library that the product imports', () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const declared = { ...dependencies, ...peerDependencies }
  const libraries = sources.flatMap(({ imports }) =>
    imports.filter((name) => !/^(?:\.|node:|@heapferry\/)/.test(name)).map(libraryOf),
  )
  expect([...new Set(libraries)].filter((name) => !(name in declared))).toEqual([])
})

test('packages are imported where they are used, not while a command runs: a barrel loads all that is behind it', () => {
  const faults = sources.flatMap(({ file, text }) =>
    [...text.matchAll(/\bimport\(\s*'(@heapferry\/[^']+)'/g)].map(([, name]) => `${file} imports ${name}`),
  )
  expect(faults).toEqual([])
})

test('every technology has one owner', () => {
  const faults = sources.flatMap(({ file, workspace, imports }) =>
    imports
      .filter(
        (name) => owners[name.split('/')[0] ?? ''] !== undefined && owners[name.split('/')[0] ?? ''] !== workspace,
      )
      .map((name) => `${file} imports ${name}`),
  )
  expect(faults).toEqual([])
})

test('nouns, conversion and use cases touch no file, network, clock or chance', () => {
  const pure = sources.filter(({ workspace }) =>
    ['packages/domain', 'packages/conversion', 'packages/migration'].includes(workspace),
  )
  const impure = /Date\.now\(|new Date\(\)|Math\.random\(|randomUUID|\bfetch\(|setTimeout|setInterval|performance\.now/
  const faults = pure.flatMap(({ file, text, imports }) => [
    ...imports
      .filter((name) => name.startsWith('node:') && !['node:crypto', 'node:buffer', 'node:zlib'].includes(name))
      .map((name) => `${file} imports ${name}`),
    ...(impure.test(text) ? [`${file} uses ${impure.exec(text)?.[0]}`] : []),
  ])
  expect(faults).toEqual([])
})

// All else is a duration, which performance.now() measures, or is held against what other machines say: see redis-clock.ts.
const asksForTheTimeOfDay: Readonly<Record<string, string>> = {
  'apps/cli/src/plan-source.ts': 'when a plan was made, and what is young as seen from then',
  'apps/cli/src/write-report.ts': 'when a report was made',
  'apps/dashboard/src/password-access.ts': 'when a library lets somebody in again, which goes by it',
  'apps/dashboard/src/row-routes.ts': 'when a report was made',
  'apps/worker/src/start-worker.ts': 'when a worker was started',
  'packages/posthog/src/post.ts': 'where Retry-After is a date, and the other side tells no time',
  'packages/queue/src/private-redis.ts': 'how old a file is, by the clock of the machine that it is on',
  'packages/sources/src/places/s3/object-getter.ts': 'when a request was signed, corrected by the clock of the store',
  'packages/sources/src/warehouse/snowflake/snowflake-token.ts':
    'until when a token is good, and how far a clock is away, by which Snowflake refuses one',
  'packages/sources/src/warehouse/unload-tables.ts': 'when a snapshot was taken, for the report',
}

test('the time of day, which anybody can set, is asked for only where people or files go by it', () => {
  const asking = sources
    .filter(({ workspace, text }) => workspace !== 'apps/fake-posthog' && /\bDate\.now\b/.test(text))
    .map(({ file }) => file)
  expect(asking.toSorted()).toEqual(Object.keys(asksForTheTimeOfDay))
})

test('only the configuration reads the environment, and only the command line prints', () => {
  const faults = sources.flatMap(({ file, workspace, text }) => [
    ...(workspace !== 'packages/config' && /process\.env\b/.test(text) ? [`${file} reads process.env`] : []),
    ...(/\bconsole\.\w/.test(text) ? [`${file} prints to the console`] : []),
    ...(workspace !== 'apps/cli' && /process\.(?:stdout|stderr|exit)\b/.test(text)
      ? [`${file} prints or ends the process`]
      : []),
  ])
  expect(faults).toEqual([])
})

test('no folder is named for what it is not about', () => {
  const vague = sources.filter(({ file }) => /\/(?:utils?|common|shared|types|helpers?)(?:\/|\.ts)/.test(file))
  expect(vague.map(({ file }) => file)).toEqual([])
})

/** `@scope/name/file.js` → `@scope/name`. */
function libraryOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
}

test('no two exported types have one name', () => {
  const filesOf = new Map<string, Set<string>>()
  for (const { file, text } of sources) {
    for (const name of exportedTypesOf(text)) filesOf.set(name, (filesOf.get(name) ?? new Set()).add(file))
  }
  const shared = [...filesOf].filter(([, files]) => files.size > 1)
  expect(shared.map(([name, files]) => `${name}: ${[...files].join(', ')}`)).toEqual([])
})

/** Those that the file declares itself. */
function exportedTypesOf(text: string): string[] {
  const declared = /^export (?:declare )?(?:abstract )?(?:type|interface|class|enum) (\w+)/gm
  return [...text.matchAll(declared)].map(([, name = '']) => name)
}

function importsOf(text: string): string[] {
  const forms =
    /(?:^|\n)\s*(?:import|export)\s[^;'"]*?from\s+'([^']+)'|(?:^|\n)\s*import\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g
  return [...text.matchAll(forms)].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? '')
}

function filesBelow(...folders: string[]): string[] {
  return folders.flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((file) => `${folder}/${file}`)
      .filter((file) => /^\w+\/[\w-]+\/src\/.*\.ts$/.test(file)),
  )
}
