import { defaultMapping } from '@heapferry/domain'
import { discover, inspectExport, inspectFile, sourceAt } from '@heapferry/sources'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createClient } from '../../packages/sources/src/places/s3/create-client.ts'
import { openBucket } from '../../packages/sources/src/places/s3/open-bucket.ts'
import { awsForTests } from '../support/aws-for-tests.ts'
import { bucketOfStandIn } from '../support/bucket-of-stand-in.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { avroTable } from '../support/sample-dump.ts'
import { until } from '../support/until.ts'
import { bucketContract, bucketSource } from './bucket-contract.ts'
import { sourceContract } from './source-contract.ts'

awsForTests()
bucketContract('a bucket of the stand-in', () => startS3StandIn())
sourceContract(
  'CSV in a bucket of the stand-in',
  bucketSource(() => startS3StandIn()),
)

describe('a bucket', () => {
  test('elsewhere is found without a region, at the price of one request', async () => {
    const { place, requests } = await bucketOfStandIn({ region: 'eu-central-1' })
    await place.list()
    await place.list()
    expect(requests).toHaveLength(3)
    expect(await textAt(place, 'users.csv')).toBe('user_id\n1\n')
  })

  test('elsewhere is found also where several ask for it at once', async () => {
    const { place } = await bucketOfStandIn({ region: 'eu-central-1' })
    const lists = await Promise.all(Array.from({ length: 10 }, () => place.list()))
    expect(new Set(lists.flat())).toEqual(new Set(['users.csv']))
  })

  test('elsewhere is written to at the price of one request, also where nothing was asked before', async () => {
    const { place, requests } = await bucketOfStandIn({ region: 'eu-central-1' })
    await place.put('new.csv', [Buffer.from('user_id\n'), Buffer.from('7\n')])
    expect(requests).toHaveLength(2)
    expect(await textAt(place, 'new.csv')).toBe('user_id\n7\n')
  })

  test('is asked in the region of AWS_REGION first', async () => {
    vi.stubEnv('AWS_REGION', 'eu-central-1')
    const { place, requests } = await bucketOfStandIn({ region: 'eu-central-1' })
    await place.list()
    expect(requests).toHaveLength(1)
  })

  test.each([
    ['gs', undefined, 'https://storage.googleapis.com/', true],
    ['gs', 'http://127.0.0.1:1', 'http://127.0.0.1:1/', true],
    ['s3', 'http://127.0.0.1:1', 'http://127.0.0.1:1/', false],
    ['s3', undefined, undefined, false],
  ] as const)('of %s:// with the endpoint %s is asked at %s', async (scheme, endpoint, asked, pathStyle) => {
    const options = { ...(endpoint && { endpoint }), pathStyle: false, requesterPays: false }
    const client = await createClient(scheme, options, 1000)
    onTestFinished(() => client.destroy())
    const { protocol = '', hostname, port, path } = (await client.config.endpoint?.()) ?? {}
    const said = hostname && `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`
    expect([said, client.config.forcePathStyle]).toEqual([asked, pathStyle])
  })

  test('whose readers pay is refused to those who did not say that they do, with what to say', async () => {
    const { place } = await bucketOfStandIn({ requesterPays: true })
    await expect(place.list()).rejects.toMatchObject({
      message: expect.stringContaining('s3://acme/ cannot be listed: AccessDenied'),
      hint: expect.stringContaining('HEAPFERRY_S3_REQUESTER_PAYS=true'),
    })
  })

  test('whose readers pay is read by those who say that they do', async () => {
    const { place } = await bucketOfStandIn({ requesterPays: true }, { requesterPays: true })
    expect(await place.list()).toHaveLength(1)
    const { version } = await place.open('users.csv')
    const blob = await place.open('users.csv', version)
    await blob.fill(Buffer.alloc(4), 0)
    await blob.close()
  })

  test('without credentials is told with the ways to give them', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined)
    const { place } = await bucketOfStandIn({})
    await expect(place.list()).rejects.toMatchObject({
      message: expect.stringMatching(/^s3:\/\/acme\/ cannot be listed: CredentialsProviderError, /),
      hint: expect.stringContaining('AWS_PROFILE'),
    })
  })

  test('of a store that does not know If-Match is still never mixed with another version', async () => {
    const { place, store } = await bucketOfStandIn({ ignoresIfMatch: true })
    const blob = await place.open('users.csv')
    await blob.close()
    await store.put('users.csv', 'user_id\n2\n')
    const planned = await place.open('users.csv', blob.version)
    await expect(planned.fill(Buffer.alloc(4), 0)).rejects.toThrow('users.csv has changed since it was planned')
    await planned.close()
  })

  test('that never answers is told as a matter of the network when a person waits for the answer', async () => {
    const { place, faults } = await bucketOfStandIn({})
    faults.push({ kind: 'reset', afterBytes: 0 }, { kind: 'reset', afterBytes: 0 }, { kind: 'reset', afterBytes: 0 })
    await expect(place.list()).rejects.toMatchObject({
      name: 'OperatorError',
      hint: expect.stringContaining('Check the network'),
    })
    faults.push(
      { kind: 'silence' },
      { kind: 'status', status: 503, code: 'SlowDown' },
      { kind: 'reset', afterBytes: 3 },
    )
    await expect(place.open('users.csv')).rejects.toMatchObject({
      name: 'OperatorError',
      message: expect.stringContaining('s3://acme/users.csv cannot be read: '),
    })
  })

  test('is inspected with one request a file', async () => {
    const { place, store, requests } = await bucketOfStandIn({})
    const blob = await place.open('users.csv')
    await blob.fill(Buffer.alloc(4), 0)
    await blob.fill(Buffer.alloc(10), 0)
    await blob.close()
    expect(requests).toHaveLength(1)
    await store.put('clicks.csv', `user_id,time\n${'1,2023-01-02 03:04:05\n'.repeat(100_000)}`)
    const { files } = await inspectFile(place, { path: 'clicks.csv' }, defaultMapping)
    expect(files[0]?.version.sizeBytes).toBeGreaterThan(2_000_000)
    expect(requests).toHaveLength(2)
  })

  test('is asked for the beginnings of 128 files at once: far away, most of the time is waiting', async () => {
    let asked = 0
    let most = 0
    let isListed = false
    const beforeAnswer = async () => {
      if (!isListed) return
      most = Math.max(most, ++asked)
      // Whoever asks for fewer at once waits here for ever, so not for long.
      await until('all are asked for', () => most >= 128, 5000).catch(() => {})
      asked--
    }
    const store = await startS3StandIn({ beforeAnswer })
    onTestFinished(() => store.close())
    const names = Array.from({ length: 150 }, (_, nth) => `clicks/part-${String(nth).padStart(3, '0')}.csv`)
    for (const name of names) await store.put(name, 'event_id,user_id,time\n1,1,2023-01-02 03:04:05\n')
    const discovery = await discover('s3://acme', {
      endpoint: store.endpoint,
      pathStyle: true,
      requesterPays: false,
    })
    onTestFinished(() => discovery.place.close())
    isListed = true
    const inspected = await inspectExport(discovery, defaultMapping)
    expect(inspected.map(({ kind, found }) => `${kind} ${found.path}`)).toEqual(
      names.map((name) => `inspected ${name}`),
    )
    expect(most).toBe(128)
  })

  test('is asked once for a small file, however its reader goes about it', async () => {
    const { place, store, requests } = await bucketOfStandIn({})
    const columns = ['event_id', 'user_id', 'time'].map((name) => ({ name, type: 'string', union: 'bare' }) as const)
    await store.put('clicks.avro', avroTable(columns, [{ event_id: '1', user_id: '1', time: '2023-01-02' }], 'snappy'))
    const { files } = await inspectFile(place, { path: 'clicks.avro' }, defaultMapping)
    const [file] = files
    if (!file) throw new Error('it holds nothing')
    requests.length = 0
    for await (const { rows } of sourceAt(place).cut(file, 1000)) expect(rows).toBe(1)
    expect(requests).toHaveLength(1)
  })

  test('is not read beyond the end of an object: that is a fault of the reader', async () => {
    const { place } = await bucketOfStandIn({})
    const blob = await place.open('users.csv')
    await expect(blob.fill(Buffer.alloc(11), 0)).rejects.toThrow('users.csv: 11 bytes expected, the object has 10')
    await blob.close()
  })
})

async function textAt(place: Awaited<ReturnType<typeof openBucket>>, file: string): Promise<string> {
  const blob = await place.open(file)
  const text = Buffer.alloc(blob.version.sizeBytes)
  await blob.fill(text, 0)
  await blob.close()
  return text.toString()
}
