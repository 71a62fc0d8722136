import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { openWarehouse } from '@heapferry/sources'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { awsForTests } from '../support/aws-for-tests.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { linesBelow, makeHeap, schema, unloadByHand } from './heap-in-postgres.ts'
import { iamUser, startIam, type TestIam } from './start-iam.ts'
import { startPostgres, type TestPostgres } from './start-postgres.ts'

awsForTests()

const cluster = 'heap.abc123xyz.eu-west-1.redshift.amazonaws.com'
const workgroup = 'heap-wg.123456789012.eu-central-1.redshift-serverless.amazonaws.com'

const secretKey = 's3cret-of-aws-5f1c'

const server = redisForTests()
let postgres: TestPostgres
let iam: TestIam
let folder: string

beforeAll(async () => {
  postgres = await startPostgres('scram-sha-256')
  await postgres.query(`create role "${iamUser}" login`)
  await makeHeap(postgres)
  await granted()
})
afterAll(() => postgres.close())
beforeEach(async () => {
  folder = await temporaryFolder()
  await server.redis.flushall()
  iam = await startIam(postgres)
  vi.stubEnv('AWS_ENDPOINT_URL_REDSHIFT', iam.endpoint)
  vi.stubEnv('AWS_ENDPOINT_URL_REDSHIFT_SERVERLESS', iam.endpoint)
})

async function granted(): Promise<void> {
  await postgres.query(
    `grant usage on schema ${schema} to "${iamUser}"; grant select on all tables in schema ${schema} to "${iamUser}"`,
  )
}

const users = { name: 'users', columns: [] }
const source = (): string => `redshift://127.0.0.1:${postgres.port}/postgres/${schema}`

function surroundings(home = 'home', named = cluster) {
  return {
    env: {
      HEAPFERRY_HOME: path.join(folder, home),
      REDIS_URL: server.server.url,
      HEAPFERRY_REDSHIFT_CLUSTER: named,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: secretKey,
      AWS_ENDPOINT_URL_REDSHIFT: iam.endpoint,
      AWS_ENDPOINT_URL_REDSHIFT_SERVERLESS: iam.endpoint,
    },
    cwd: folder,
  }
}

const flags = (home = 'home'): string[] => ['--to', `jsonl:${path.join(folder, home, 'events')}`, '--run', 'r']

async function opened(named: string | null = cluster) {
  const waits: (string | null)[] = []
  const options = {
    passwordFor: () => expect.unreachable('a password was looked for'),
    tls: undefined,
    timeoutMs: 20_000,
    redshift: { role: 'default', cluster: named ?? undefined },
  }
  const warehouse = await openWarehouse(source(), options, { onWait: (reason) => waits.push(reason) })
  onTestFinished(() => warehouse.close())
  return { warehouse, waits }
}

test('an address without a user is migrated by a temporary password, which is nowhere but in the process', async () => {
  const run = heapferry(['run', source(), ...flags(), '--workers', '1', '--no-dashboard'], {
    ...surroundings(),
    env: { ...surroundings().env, LOG_LEVEL: 'trace' },
  })
  const { code, stdout, stderr } = await run.ended
  expect(code).toBe(3)
  // Looking into the catalogue is one connection, unloading another.
  expect(iam.asked.length).toBeGreaterThanOrEqual(2)
  expect(new Set(iam.asked.map((asked) => JSON.stringify(asked)))).toEqual(
    new Set([
      JSON.stringify({
        action: 'GetClusterCredentialsWithIAM',
        name: 'heap',
        database: 'postgres',
        region: 'eu-west-1',
      }),
    ]),
  )
  const said = [stdout, stderr]
  for (const args of [
    ['status', 'r', '--json'],
    ['report', 'r'],
    ['rejected', 'r'],
  ]) {
    const answer = await heapferryHere(args, surroundings())
    said.push(answer.stdout, answer.stderr)
  }
  for (const key of await server.redis.keys('*'))
    said.push(`${key} ${(await server.redis.dumpBuffer(key))?.toString('latin1')}`)
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const file of files.filter((one) => one.isFile()))
    said.push((await readFile(path.join(file.parentPath, file.name))).toString('latin1'))
  expect(files.map(({ name }) => name)).toContain('stage.json')
  for (const secret of [...iam.passwords, secretKey]) expect(said.filter((text) => text.includes(secret))).toEqual([])
  expect(said.filter((text) => text.includes(source())).length).toBeGreaterThan(0)

  const ours = await linesBelow(path.join(folder, 'home/events'))
  await unloadByHand(postgres, path.join(folder, 'csv'), [
    'users',
    'user_migrations',
    'pageviews',
    'clicked_buy',
    'nothing_yet',
  ])
  await server.redis.flushall()
  await heapferryHere(['run', path.join(folder, 'csv'), ...flags('hand')], surroundings('hand'))
  expect(ours.length).toBeGreaterThan(3700)
  expect(ours).toEqual(await linesBelow(path.join(folder, 'hand/events')))
})

test('a serverless workgroup is asked for by the API that has it, in its region', async () => {
  const { warehouse } = await opened(workgroup)
  expect(await warehouse.count(users)).toBe(200)
  expect(iam.asked).toEqual([
    { action: 'GetCredentials', name: 'heap-wg', database: 'postgres', region: 'eu-central-1' },
  ])
})

test('every connection asks for a password of its own, since the one before it is good no longer', async () => {
  const { warehouse, waits } = await opened()
  await warehouse.count(users)
  await warehouse.count(users)
  expect(iam.asked).toHaveLength(1)
  await postgres.endSessions(iamUser)
  expect(await warehouse.count(users)).toBe(200)
  expect(iam.asked).toHaveLength(2)
  expect(new Set(iam.passwords).size).toBe(2)
  expect(waits.at(-1)).toBe(null)
})

test('AWS that asks to wait is waited for, and it is said', async () => {
  // As often as the SDK asks by itself, and once more.
  for (let times = 0; times < 4; times++)
    iam.refusals.push({ status: 400, code: 'Throttling', message: 'Rate exceeded' })
  const { warehouse, waits } = await opened()
  expect(await warehouse.count(users)).toBe(200)
  expect(waits).toEqual(['Rate exceeded', null])
  expect(iam.refusals).toEqual([])
})

describe('a refusal says what AWS says, and what to do', () => {
  test.each([
    [
      cluster,
      { status: 403, code: 'AccessDenied', message: 'User x is not authorized' },
      'redshift:GetClusterCredentialsWithIAM',
    ],
    [
      workgroup,
      { status: 400, code: 'AccessDeniedException', message: 'User x is not authorized' },
      'redshift-serverless:GetCredentials',
    ],
    [
      cluster,
      { status: 404, code: 'ClusterNotFound', message: 'Cluster heap not found.' },
      'stands for heap in eu-west-1',
    ],
    [
      workgroup,
      { status: 400, code: 'ResourceNotFoundException', message: 'Workgroup heap-wg not found' },
      'stands for heap-wg in eu-central-1',
    ],
    [cluster, { status: 403, code: 'ExpiredToken', message: 'The token is expired' }, 'aws sso login'],
    [workgroup, { status: 400, code: 'ExpiredTokenException', message: 'The token is expired' }, 'aws sso login'],
    [cluster, { status: 403, code: 'InvalidClientTokenId', message: 'The token is invalid' }, 'AWS_ACCESS_KEY_ID'],
  ])('%#: %s', async (named, refusal, hint) => {
    iam.refusals.push(refusal)
    const { warehouse } = await opened(named)
    await expect(warehouse.catalogue()).rejects.toMatchObject({
      name: 'OperatorError',
      message: expect.stringContaining(`${source()}: AWS says: ${refusal.message} (`),
      hint: expect.stringContaining(hint),
    })
    expect(iam.asked).toEqual([])
  })
})

test('without credentials of AWS it says where they are looked for', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined)
  const { warehouse } = await opened()
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: expect.stringContaining('there are no credentials of AWS'),
    hint: expect.stringContaining('AWS_PROFILE'),
  })
})

test('where AWS is not there, that is said, and not that the cluster is away', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_REDSHIFT', 'http://127.0.0.1:1')
  const { warehouse } = await opened()
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: expect.stringContaining('AWS cannot be reached: '),
    hint: expect.stringContaining('the APIs of AWS in eu-west-1'),
  })
})

test('a host that does not tell of which cluster it is asks for the name', async () => {
  const { warehouse } = await opened(null)
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: `${source()} is logged in to by IAM, and 127.0.0.1 does not tell of which cluster`,
    hint: expect.stringContaining('HEAPFERRY_REDSHIFT_CLUSTER'),
  })
  expect(iam.asked).toEqual([])
})

test('a cluster that does not take the password leads to which cluster it is of', async () => {
  await postgres.query(`alter role "${iamUser}" nologin`)
  onTestFinished(() => void postgres.query(`alter role "${iamUser}" login`))
  const { warehouse } = await opened()
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: expect.stringContaining('(28000)'),
    hint: expect.stringContaining('A temporary password of AWS was not taken'),
  })
})

test('tables that may not be read are named with the database user that AWS made of the role', async () => {
  await postgres.query(`revoke select on ${schema}.pageviews from "${iamUser}"`)
  onTestFinished(granted)
  const { warehouse } = await opened()
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: `${iamUser} may not read the table pageviews of the schema ${schema}`,
    hint: expect.stringContaining(`GRANT SELECT ON ALL TABLES IN SCHEMA "${schema}" TO "${iamUser}"`),
  })
})

test.each([
  [cluster, '@aws-sdk/client-redshift'],
  [workgroup, '@aws-sdk/client-redshift-serverless'],
])('without the npm package for it, it says what to install: %s', async (named, lacking) => {
  const root = path.resolve(import.meta.dirname, '../..')
  const modules = path.join(folder, 'node_modules')
  cpSync(path.join(root, 'dist'), path.join(folder, 'dist'), { recursive: true })
  mkdirSync(path.join(modules, '@aws-sdk'), { recursive: true })
  for (const name of readdirSync(path.join(root, 'node_modules')).filter((one) => one !== '@aws-sdk'))
    symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name))
  for (const name of readdirSync(path.join(root, 'node_modules/@aws-sdk')).filter(
    (one) => `@aws-sdk/${one}` !== lacking,
  ))
    symlinkSync(path.join(root, 'node_modules/@aws-sdk', name), path.join(modules, '@aws-sdk', name))
  const { stderr, code } = await heapferry(
    ['plan', source()],
    surroundings('home', named),
    path.join(folder, 'dist/heapferry.mjs'),
  ).ended
  expect(code).toBe(1)
  expect(stderr).toContain(
    `Logging in to a Redshift by IAM is done by the npm package ${lacking}, which is not installed`,
  )
  expect(stderr).toContain(`npm i ${lacking} `)
})
