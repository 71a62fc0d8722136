import { Readable } from 'node:stream'
import { GetObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { type HttpRequest, HttpResponse } from '@smithy/core/protocols'
import { describe, expect, test, vi } from 'vitest'
import { objectGetter } from '../../packages/sources/src/places/s3/object-getter.ts'
import { awsForTests } from '../support/aws-for-tests.ts'
import { bucketOfStandIn } from '../support/bucket-of-stand-in.ts'

awsForTests()

const key = 'names/dt=2024-01-01/part 1+2 ü&%41(!).csv'
const wanted = { Range: 'bytes=0-9', IfMatch: '"0123"' }
const { signal } = new AbortController()

describe('a part of an object is asked for as the AWS SDK would ask, by one request,', () => {
  test.each<[string, string, S3ClientConfig, Record<string, string>?]>([
    ['in the region that is set', 'acme', { region: 'eu-central-1' }],
    ['in another partition', 'acme', { region: 'cn-north-1' }],
    ['of a bucket whose name has dots', 'acme.example', { region: 'eu-central-1' }],
    ['by path', 'acme', { region: 'eu-central-1', forcePathStyle: true }],
    ['by FIPS', 'acme', { region: 'us-west-2', useFipsEndpoint: true }],
    ['by dual stack', 'acme', { region: 'us-west-2', useDualstackEndpoint: true }],
    ['by acceleration', 'acme', { region: 'us-west-2', useAccelerateEndpoint: true }],
    ['by the alias of an access point', 'acme-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias', { region: 'us-west-2' }],
    ['by an access point', 'arn:aws:s3:us-west-2:123456789012:accesspoint/heap', { region: 'us-west-2' }],
    ['of a store with a port and a path', 'acme', { region: 'us-east-1', endpoint: 'http://127.0.0.1:9000/s3' }],
    ['of a store by path', 'acme', { region: 'us-east-1', endpoint: 'http://store:9000/s3/', forcePathStyle: true }],
    [
      'of a store that the environment names',
      'acme',
      { region: 'us-east-1' },
      { AWS_ENDPOINT_URL_S3: 'https://s3.test' },
    ],
    ['with a session', 'acme', { region: 'us-east-1' }, { AWS_SESSION_TOKEN: 'session' }],
  ])('%s', async (_, bucket, config, environment = {}) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    const { client, requests } = recorded(config)
    const object = { Bucket: bucket, Key: key, RequestPayer: 'requester' } as const
    await objectGetter(client, bucket)(object, wanted, signal)
    await client.send(new GetObjectCommand({ ...object, ...wanted }))
    const [own, ofSdk, ...more] = requests.map(essence)
    expect(more).toEqual([])
    expect(own).toEqual(ofSdk)
  })

  test('but of a directory bucket, whose requests are signed by sessions: that is left to the SDK', async () => {
    const { client, requests } = recorded({ region: 'us-east-1' })
    const bucket = 'acme--use1-az4--x-s3'
    await objectGetter(client, bucket)({ Bucket: bucket, Key: key }, wanted, signal).catch(() => {})
    expect(requests[0]?.query).toMatchObject({ session: '' })
  })
})

describe('an answer that is not the part is understood as by the AWS SDK:', () => {
  test('many objects of a bucket elsewhere are found when they are asked for at once, and nothing was before', async () => {
    const { place, store, requests } = await bucketOfStandIn({ region: 'eu-central-1' })
    const names = Array.from({ length: 20 }, (_, nth) => `part-${nth}.csv`)
    for (const name of names) await store.put(name, 'user_id\n1\n')
    const sizes = await Promise.all(names.map(async (name) => (await place.open(name)).version.sizeBytes))
    expect(sizes).toEqual(names.map(() => 10))
    expect(requests).toHaveLength(40)
    await place.open('part-0.csv')
    expect(requests).toHaveLength(41)
  })

  test.each([
    [400, 'ExpiredToken', 'Renew the credentials'],
    [403, 'InvalidAccessKeyId', 'Check AWS_ACCESS_KEY_ID'],
    [403, 'SignatureDoesNotMatch', 'Check AWS_ACCESS_KEY_ID'],
    [403, 'InvalidObjectState', 'The object is archived.'],
    [403, 'AccessDenied', 'The credentials need s3:ListBucket'],
    [301, 'PermanentRedirect', "Set AWS_REGION to the bucket's region."],
  ])('%i %s ends the read, with what to do, after one request', async (status, code, hint) => {
    const { place, faults, requests } = await bucketOfStandIn()
    faults.push({ kind: 'status', status, code })
    await expect(place.open('users.csv')).rejects.toMatchObject({
      name: 'OperatorError',
      message: `s3://acme/users.csv cannot be read: ${code}, ${code}, ${status}`,
      hint: expect.stringContaining(hint),
    })
    expect(requests).toHaveLength(1)
  })

  test('credentials that expire between two reads of an object are told', async () => {
    const { place, faults } = await bucketOfStandIn()
    const { version } = await place.open('users.csv')
    const blob = await place.open('users.csv', version)
    await blob.fill(Buffer.alloc(4), 0)
    faults.push({ kind: 'status', status: 400, code: 'ExpiredToken' })
    await expect(blob.fill(Buffer.alloc(4), 4)).rejects.toMatchObject({
      name: 'OperatorError',
      hint: expect.stringContaining('Renew the credentials'),
    })
  })

  test('a clock that is wrong by an hour is corrected by what the store says of it', async () => {
    const storeMs = Date.now() + 3_600_000
    const { client, requests, answers } = recorded({ region: 'us-east-1' })
    answers.push(
      new HttpResponse({
        statusCode: 403,
        headers: { date: new Date(storeMs).toUTCString() },
        body: Readable.from(['<Error><Code>RequestTimeTooSkewed</Code></Error>']),
      }),
    )
    const get = objectGetter(client, 'acme')
    await expect(get({ Bucket: 'acme', Key: key }, wanted, signal)).rejects.toThrow(
      expect.objectContaining({ name: 'RequestTimeTooSkewed' }),
    )
    await get({ Bucket: 'acme', Key: key }, wanted, signal)
    const signedAt = requests.map(({ headers }) => (headers['x-amz-date'] ?? '').slice(0, 11))
    expect(signedAt).toEqual([hourOf(storeMs - 3_600_000), hourOf(storeMs)])
  })

  test('without credentials it is told how to give them', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined)
    const { place, requests } = await bucketOfStandIn()
    await expect(place.open('users.csv')).rejects.toMatchObject({
      message: expect.stringMatching(/^s3:\/\/acme\/users.csv cannot be read: CredentialsProviderError, /),
      hint: expect.stringContaining('AWS_PROFILE'),
    })
    expect(requests).toEqual([])
  })
})

/** A client of the SDK whose requests go nowhere; of the answers each is given once, and then the part. */
function recorded(config: S3ClientConfig) {
  const requests: HttpRequest[] = []
  const answers: HttpResponse[] = []
  const client = new S3Client({
    ...config,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      handle(request: HttpRequest) {
        requests.push(request)
        return Promise.resolve({ response: answers.shift() ?? partAnswer() })
      },
    },
  })
  return { client, requests, answers }
}

function partAnswer(): HttpResponse {
  return new HttpResponse({
    statusCode: 206,
    headers: { etag: '"0123"', 'content-range': 'bytes 0-9/10' },
    body: Readable.from(['0123456789']),
  })
}

/** As requests are dated: `20240101T10`. */
function hourOf(ms: number): string {
  return new Date(ms).toISOString().replaceAll(/[-:]/g, '').slice(0, 11)
}

/** What a store goes by. */
function essence({ method, protocol, hostname, port, path, headers }: HttpRequest) {
  const { authorization = '', 'x-amz-date': date, 'user-agent': agent, ...others } = headers
  const ofStore = Object.entries(others).filter(([name]) => !/^(?:amz-sdk-|x-amz-user-agent$)/.test(name))
  const credential = /Credential=[^,]+/.exec(authorization)?.[0]
  expect([date, agent, credential]).not.toContain(undefined)
  return { method, protocol, hostname, port, path, credential, headers: Object.fromEntries(ofStore) }
}
