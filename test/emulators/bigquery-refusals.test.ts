import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { defaultMapping } from '@heapferry/domain'
import { openPlace, openUnloading, openWarehouse } from '@heapferry/sources'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { noS3 } from '../support/place.ts'
import { source } from './heap-in-bigquery.ts'
import { project, startBqemulator, type TestBigquery } from './start-bqemulator.ts'

let bigquery: TestBigquery
let folder: string

beforeAll(async () => {
  bigquery = await startBqemulator()
})
afterAll(() => bigquery.close())
beforeEach(async () => {
  folder = await temporaryFolder()
  Object.assign(bigquery, { dryRunBytes: 0 })
  bigquery.refusals.length = 0
  bigquery.jobs.clear()
  await bigquery.emptyDataset('main_production')
  await bigquery.emptyDataset('scratch')
  await bigquery.run(
    `create table main_production.users_raw as select 1 as user_id, 'ada' as identity`,
    'create view main_production.users as select * from main_production.users_raw',
    `create table main_production.taps as select 1 as event_id, 1 as user_id, timestamp '2023-01-01' as time`,
  )
})

async function opened(scratch?: string, endpoint = bigquery.endpoint) {
  const waits: (string | null)[] = []
  const options = { passwordFor: () => '', tls: undefined, timeoutMs: 20_000, bigquery: { endpoint, scratch } }
  const warehouse = await openWarehouse(source, options, { onWait: (reason) => waits.push(reason) })
  return { waits, warehouse }
}

async function unloaded(scratch?: string) {
  const { waits, warehouse } = await opened(scratch)
  const place = await openPlace(path.join(folder, 'stage'), noS3)
  const unloading = await openUnloading(place, { warehouse, mapping: defaultMapping })
  const { signal } = new AbortController()
  const notices: string[] = []
  for await (const { told } of unloading.unload(() => true, {
    warehouse,
    holding: async () => {},
    signal,
    onProgress: () => {},
  }))
    if (told?.notice) notices.push(told.notice)
  return { waits, unloading, notices }
}

test('without a scratch dataset the result is that of the query itself; a gone one is queried again', async () => {
  bigquery.refusals.push({
    on: /\/queries\/.*startIndex=/,
    status: 404,
    reason: 'notFound',
    message: 'Not found: Table',
  })
  const { unloading, notices } = await unloaded()
  expect(unloading.isWhole()).toBe(true)
  expect(notices).toEqual([expect.stringContaining('users is queried again')])
  expect([...bigquery.jobs.values()].map(({ query }) => query.startsWith('SELECT'))).toEqual([true, true, true])
})

test('a scratch table expires by itself, and is deleted when it is read', async () => {
  await unloaded('scratch')
  const queries = [...bigquery.jobs.values()].map(({ query }) => query)
  expect(queries.every((query) => /^CREATE TABLE .* OPTIONS\(expiration_timestamp=/.test(query))).toBe(true)
  const left = await fetch(`${bigquery.endpoint}/bigquery/v2/projects/${project}/datasets/scratch/tables`)
  expect(await left.json()).toMatchObject({ tables: [] })
})

test('a query may bill what its dry run says, a tenth more and a GiB; plan and run tell it before', async () => {
  bigquery.dryRunBytes = 50 * 2 ** 30
  const { unloading } = await unloaded('scratch')
  expect(unloading.stage.notices).toContainEqual(expect.stringContaining('BigQuery scans 100.0 GiB to unload it, once'))
  const limits = [...bigquery.jobs.values()].map(({ maximumBytesBilled }) => Number(maximumBytesBilled) / 2 ** 30)
  expect(limits.map((limit) => limit.toFixed(3))).toEqual(['56.000', '56.000'])
})

test.each([
  ['quotaExceeded', 403, 'A quota of the project is used up'],
  ['billingNotEnabled', 403, 'has no billing account'],
  ['bytesBilledLimitExceeded', 400, 'would scan more than it had told beforehand'],
  ['accessDenied', 403, 'roles/bigquery.jobUser'],
  ['responseTooLarge', 403, 'HEAPFERRY_BIGQUERY_SCRATCH=heapferry'],
])('%s stops it, with what to do; the same goes on after', async (reason, status, hint) => {
  bigquery.refusals.push({ on: /^POST .*\/jobs$/, status, reason, message: 'Its own words' })
  await expect(unloaded('scratch')).rejects.toMatchObject({
    name: 'OperatorError',
    message: `${source} says: Its own words (${reason}, ${status})`,
    hint: expect.stringContaining(hint),
  })
  expect((await unloaded('scratch')).unloading.isWhole()).toBe(true)
})

test.each([
  ['rateLimitExceeded', 403],
  ['backendError', 500],
  ['unknown', 429],
])('%s (%s) is waited for, and said', async (reason, status) => {
  bigquery.refusals.push({ on: /^GET .*\/tables/, status, reason, message: 'Not now', headers: { 'retry-after': '0' } })
  const { waits, warehouse } = await opened('scratch')
  expect((await warehouse.catalogue()).relations.map(({ name }) => name).toSorted()).toEqual(['taps', 'users'])
  expect(waits).toEqual(['Not now', null])
})

test('a job name that is taken is that of a query whose answer was lost: it is not asked again', async () => {
  const { unloading } = await unloaded('scratch')
  expect(bigquery.jobs.size).toBe(2)
  const { warehouse } = await opened('scratch')
  const [users] = (await warehouse.catalogue()).relations
  const id = '123e4567-e89b-42d3-a456-426614174000'
  if (users === undefined || warehouse.queries === undefined) throw new Error('no queries')
  const both = [await warehouse.queries.windows(users, id), await warehouse.queries.windows(users, id)]
  expect(both[0]).toEqual(both[1])
  expect(bigquery.jobs.size).toBe(3)
  expect(unloading.isWhole()).toBe(true)
})

test('tables behind views are named and left; one without its view is refused', async () => {
  const { warehouse } = await opened()
  expect((await warehouse.catalogue()).notices).toEqual(['Not unloaded, as the views before them are: users_raw'])
  await bigquery.run('create table main_production.pageviews_raw as select 1 as event_id, 1 as user_id')
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: `${source} has pageviews_raw without the view that Heap makes of it`,
  })
})

test('a table that may not be read is named with the roles that allow it', async () => {
  bigquery.refusals.push({ on: /\/tables\/taps$/, status: 403, reason: 'accessDenied' })
  const { warehouse } = await opened('scratch')
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: `${source}: the table taps may not be read`,
    hint: expect.stringContaining(`roles/bigquery.dataViewer on ${project}:main_production`),
  })
})

test('an address at which nobody answers is told at once', async () => {
  const { warehouse } = await opened('scratch', 'http://127.0.0.1:1')
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: expect.stringContaining(`${source} cannot be reached at http://127.0.0.1:1`),
  })
})

test('credentials that cannot be used are named by their file, and nothing of them is said', async () => {
  const keyFile = path.join(folder, 'key.json')
  await writeFile(keyFile, '"s3cret-key" and no JSON')
  const options = { passwordFor: () => '', tls: undefined, timeoutMs: 20_000 }
  const bad = await openWarehouse(source, { ...options, bigquery: { endpoint: bigquery.endpoint, keyFile } })
  const refused = await bad.catalogue().catch((error: unknown) => error)
  expect(refused).toMatchObject({
    message: expect.stringContaining(`The credentials in ${keyFile} cannot be used`),
    hint: expect.stringContaining('GOOGLE_APPLICATION_CREDENTIALS'),
  })
  expect(String(refused instanceof Error ? [refused.stack, refused.cause] : refused)).not.toContain('s3cret')
})

test('without google-auth-library it says what to install', async () => {
  const root = path.resolve(import.meta.dirname, '../..')
  cpSync(path.join(root, 'dist'), path.join(folder, 'dist'), { recursive: true })
  mkdirSync(path.join(folder, 'node_modules'))
  for (const name of readdirSync(path.join(root, 'node_modules')).filter((one) => one !== 'google-auth-library'))
    symlinkSync(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name))
  const env = {
    HEAPFERRY_HOME: folder,
    HEAPFERRY_BIGQUERY_ENDPOINT: bigquery.endpoint,
    GOOGLE_APPLICATION_CREDENTIALS: '/k',
  }
  const { stderr, code } = await heapferry(
    ['plan', source],
    { env, cwd: folder },
    path.join(folder, 'dist/heapferry.mjs'),
  ).ended
  expect(code).toBe(1)
  expect(stderr).toMatch(
    /A BigQuery is read by the npm package google-auth-library.*not installed[^]*npm i google-auth/,
  )
})
