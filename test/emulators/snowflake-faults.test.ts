import path from 'node:path'
import { loadSettings, warehouseOptionsOf } from '@heapferry/config'
import { defaultMapping } from '@heapferry/domain'
import { openPlace, openUnloading, openWarehouse } from '@heapferry/sources'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { emptySchema, makeTaps, source } from './heap-in-fakesnow.ts'
import { startFakesnow, type TestSnowflake } from './start-fakesnow.ts'

let snowflake: TestSnowflake
let proxy: FaultProxy
let folder: string

beforeAll(async () => {
  snowflake = await startFakesnow()
  await snowflake.state({ token: 'PROGRAMMATIC_ACCESS_TOKEN t', partition_rows: 1000 })
  await makeTaps(snowflake)
})
afterAll(() => snowflake.close())
beforeEach(async () => {
  folder = await temporaryFolder()
  await snowflake.state({ statements: [] })
  proxy = await startFaultProxy(snowflake.endpoint)
  onTestFinished(() => proxy.close())
})

async function warehouseOf(env: Record<string, string> = {}) {
  const waits: (string | null)[] = []
  const given = { HEAPFERRY_SNOWFLAKE_ENDPOINT: proxy.endpoint, SNOWFLAKE_TOKEN: 't', ...env }
  const warehouse = await openWarehouse(source, warehouseOptionsOf(loadSettings({}, given, folder)), {
    onWait: (reason) => waits.push(reason),
  })
  return { warehouse, waits }
}

async function unloaded(): Promise<{ rows: number; waits: (string | null)[] }> {
  const { warehouse, waits } = await warehouseOf()
  const place = await openPlace(path.join(folder, 'stage'), noS3)
  const unloading = await openUnloading(place, { warehouse, mapping: defaultMapping })
  const { signal } = new AbortController()
  for await (const _ of unloading.unload(() => true, { warehouse, holding: async () => {}, signal, onProgress() {} }));
  return { rows: unloading.progress().rows, waits }
}

const allRows = 5502

/** As Snowflake refuses. */
function refusal(status: number, code: string, message: string) {
  return { kind: 'status' as const, status, code, body: JSON.stringify({ code, message }) }
}

test.each([408, 429, 503, 504])('a Snowflake that has no room (%i) is waited for, also at first', async (status) => {
  proxy.faults.push({ kind: 'status', status, code: '' })
  const { warehouse, waits } = await warehouseOf()
  expect((await warehouse.catalogue()).relations).toHaveLength(3)
  expect(waits).toEqual([expect.stringContaining(String(status)), null])
})

test('a statement whose answer is lost is known again by its request, and is not run twice', async () => {
  const lost = { kind: 'reset', afterBytes: 5, on: /^POST .*async=true/ } as const
  proxy.faults.push(lost, lost, lost)
  expect((await unloaded()).rows).toBe(allRows)
  expect(proxy.faults).toEqual([])
  expect(await snowflake.readings()).toHaveLength(3)
})

test('a statement that fails is told with what to do, and asked for anew by the next command', async () => {
  proxy.faults.push({
    ...refusal(422, '000630', 'Statement reached its statement or warehouse timeout'),
    on: /^GET .*statements\/[^/?]+\?requestId/,
  })
  await expect(unloaded()).rejects.toMatchObject({
    message: expect.stringContaining('statement or warehouse timeout (000630)'),
    hint: expect.stringContaining('STATEMENT_TIMEOUT_IN_SECONDS'),
  })
  expect((await unloaded()).rows).toBe(allRows)
  expect(await snowflake.readings()).toHaveLength(4)
})

test.each([
  [
    422,
    '000606',
    'No active warehouse selected in the current session.',
    /SNOWFLAKE_WAREHOUSE \(TINY\) that the role R /,
  ],
  [
    422,
    '090073',
    'Warehouse cannot be resumed because its resource monitor has exceeded its quota.',
    /budget of the warehouse TINY/,
  ],
  [
    422,
    '002003',
    'Schema does not exist or not authorized.',
    /GRANT IMPORTED PRIVILEGES ON DATABASE "HEAP_MAIN_PRODUCTION" TO ROLE R;/,
  ],
  [401, '390144', 'JWT token is invalid.', /RSA_PUBLIC_KEY .* clock of this machine/],
  [401, '390318', 'OAuth access token expired.', /SNOWFLAKE_TOKEN_FILE_PATH/],
  [403, '390422', 'Incoming request is not allowed to access Snowflake.', /network policy/i],
  [400, '390189', 'Role R specified is not granted to this user.', /GRANT ROLE/],
  [404, '', 'Not found', /Check the account in the address, acme-main/],
])('refused with %i %s it says what and what to do', async (status, code, message, hint) => {
  proxy.faults.push(refusal(status, code, message))
  const { warehouse } = await warehouseOf({ SNOWFLAKE_WAREHOUSE: 'TINY', SNOWFLAKE_ROLE: 'R' })
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    name: 'OperatorError',
    message: expect.stringContaining(message),
    hint: expect.stringMatching(hint),
  })
})

test('a clock that is wrong is told with how much, where a key pair is refused', async () => {
  const date = new Date(Date.now() - 3_600_000).toUTCString()
  proxy.faults.push({ ...refusal(401, '390144', 'JWT token is invalid.'), headers: { date } })
  const { warehouse } = await warehouseOf()
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    hint: expect.stringMatching(/clock of this machine is 3(?:599|600|601) seconds ahead of Snowflake's/),
  })
})

test('a Snowflake that says nothing is noticed, and asked again', async () => {
  const { warehouse, waits } = await warehouseOf({ HEAPFERRY_WAREHOUSE_TIMEOUT: '2' })
  await warehouse.catalogue()
  proxy.faults.push({ kind: 'silence' })
  expect((await warehouse.catalogue()).relations).toHaveLength(3)
  expect(waits).toEqual(['it has said nothing for 2 s', null])
})

test('a host that nobody has reached is told at once, with its address', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const { warehouse } = await warehouseOf({ HEAPFERRY_SNOWFLAKE_ENDPOINT: endpoint })
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: expect.stringContaining(`cannot be reached at ${endpoint}: connect ECONNREFUSED`),
  })
})

test('a catalogue of several partitions is read whole', async () => {
  await snowflake.state({ partition_rows: 3 })
  onTestFinished(async () => void (await snowflake.state({ partition_rows: 1000 })))
  const { warehouse } = await warehouseOf()
  const { relations } = await warehouse.catalogue()
  expect(relations.map(({ name, columns }) => [name, columns.length])).toEqual([
    ['TAPS', 4],
    ['USERS', 2],
    ['_SYNC_INFO', 2],
  ])
})

test('a schema in which nothing may be seen is told with the statements that allow it', async () => {
  await emptySchema(snowflake)
  onTestFinished(() => makeTaps(snowflake))
  const { warehouse } = await warehouseOf()
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: expect.stringContaining('has no table that the role of the user can see'),
    hint: expect.stringContaining('GRANT IMPORTED PRIVILEGES ON DATABASE "HEAP_MAIN_PRODUCTION"'),
  })
})
