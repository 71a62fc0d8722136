import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { OperatorError, SourceChanged } from '@heapferry/domain'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { readBytes } from '../../packages/sources/src/places/read-bytes.ts'
import { openBucket } from '../../packages/sources/src/places/s3/open-bucket.ts'
import { type Fault, type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import type { TestStore } from '../support/s3-stand-in.ts'
import { tableWriters } from '../support/write-table.ts'
import type { SourceUnderTest } from './source-contract.ts'

// So short that a test need not wait; a server in another process answers well within.
const patience = { stallMs: 1000, firstPauseMs: 1, longestPauseMs: 2, tries: 4 }

/** What reading an export from S3 needs, of any store. */
export function bucketContract(name: string, start: () => Promise<TestStore>): void {
  describe(name, () => {
    let store: TestStore
    let proxy: FaultProxy
    const closing: (() => void)[] = []

    beforeAll(async () => {
      store = await start()
    }, 120_000)
    afterAll(() => store.close())
    beforeEach(async () => {
      proxy = await startFaultProxy(store.endpoint)
    })
    afterEach(async () => {
      for (const close of closing.splice(0)) close()
      await proxy.close()
    })

    async function bucket(prefix = '') {
      const place = await openBucket(
        `s3://${store.bucket}${prefix}`,
        { endpoint: proxy.endpoint, pathStyle: true, requesterPays: false },
        patience,
      )
      closing.push(() => place.close())
      return place
    }

    const body = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251))

    async function stored(key: string) {
      await store.put(key, body)
      const place = await bucket()
      const { version, close } = await place.open(key)
      await close()
      return { place, version }
    }

    async function read(key: string, from: number, to: number, ...faults: Fault[]) {
      const { place, version } = await stored(key)
      const blob = await place.open(key, version)
      proxy.requests.length = 0
      proxy.faults.push(...faults)
      const target = Buffer.alloc(to - from)
      try {
        await blob.fill(target, from)
      } finally {
        await blob.close()
      }
      return target
    }

    test('a list holds all keys below the prefix, also beyond the first 1,000', async () => {
      const keys = Array.from(
        { length: 1203 },
        (_, index) => `many/pageviews/part-${String(index).padStart(5, '0')}.avro`,
      )
      for (const key of keys) await store.put(key, 'x')
      await store.put('many-others/users.csv', 'x')
      expect((await (await bucket('/many')).list()).map((path) => `many/${path}`)).toEqual(keys)
    })

    test('a list leaves out the empty objects that stand for folders', async () => {
      await store.put('sized/', '')
      await store.put('sized/a/', '')
      await store.put('sized/a/users.csv', 'user_id\n')
      await store.put('sized/Ümlaut & <more>.csv', 'a')
      expect(await (await bucket('/sized/')).list()).toEqual(['a/users.csv', 'Ümlaut & <more>.csv'])
    })

    test('any part of an object can be read, whether the version is known or not', async () => {
      const { place, version } = await stored('parts')
      expect(version).toEqual({ sizeBytes: body.length, mark: expect.stringMatching(/^etag "[0-9a-f]{32}"$/) })
      for (const expected of [undefined, version]) {
        const blob = await place.open('parts', expected)
        for (const [from, to] of [
          [0, 16],
          [65_530, 65_545],
          [0, 300_000],
          [299_999, 300_000],
          [70_000, 70_000],
        ] as const) {
          const target = Buffer.alloc(to - from)
          await blob.fill(target, from)
          expect(target.equals(body.subarray(from, to))).toBe(true)
        }
        await blob.close()
      }
    })

    test('an empty object has size 0', async () => {
      await store.put('empty', '')
      expect((await (await bucket()).open('empty')).version.sizeBytes).toBe(0)
    })

    test('names with spaces, signs and letters of all kinds are read as they are', async () => {
      const key = 'names/dt=2024-01-01/part 1+2 ü&%41.csv'
      await store.put(key, 'user_id\n')
      const place = await bucket('/names')
      const [file] = await place.list()
      const blob = await place.open(file ?? '')
      const target = Buffer.alloc(7)
      await blob.fill(target, 0)
      expect({ key: `names/${file}`, text: target.toString() }).toEqual({ key, text: 'user_id' })
    })

    test.each<[string, Fault]>([
      ['a connection that is reset before the body', { kind: 'reset', afterBytes: 0 }],
      ['a connection that is reset in the middle of the body', { kind: 'reset', afterBytes: 100_000 }],
      ['a body that stalls', { kind: 'stall', afterBytes: 50_000 }],
      ['no answer', { kind: 'silence' }],
      ['a body that is cut off', { kind: 'truncated', bytes: 1000 }],
      ['503 Slow Down', { kind: 'status', status: 503, code: 'SlowDown' }],
      ['500', { kind: 'status', status: 500, code: 'InternalError' }],
      ['429', { kind: 'status', status: 429, code: 'TooManyRequests' }],
    ])('a read gets over %s', async (_, fault) => {
      const target = await read('faulty', 1000, 290_000, fault)
      expect(target.equals(body.subarray(1000, 290_000))).toBe(true)
      expect(proxy.requests).toHaveLength(2)
    })

    test('a list gets over a page that breaks off', async () => {
      await store.put('pages/users.csv', 'x')
      const place = await bucket('/pages')
      proxy.faults.push({ kind: 'reset', afterBytes: 20 }, { kind: 'status', status: 503, code: 'SlowDown' })
      expect(await place.list()).toEqual(['users.csv'])
    })

    test('after a break reading goes on where it broke', async () => {
      await read('resumed', 10, 250_010, { kind: 'truncated', bytes: 100_000 })
      expect(proxy.requests.map((request) => request.split(' ').at(-1))).toEqual([
        'bytes=10-250009',
        'bytes=100010-250009',
      ])
    })

    test('breaks are borne as long as bytes come in between', async () => {
      const breaks = Array.from({ length: 20 }, (): Fault => ({ kind: 'truncated', bytes: 10_000 }))
      const target = await read('patient', 0, 300_000, ...breaks)
      expect(target.equals(body)).toBe(true)
    })

    test('a store that keeps failing ends the read with a fault that is worth another try', async () => {
      const down = Array.from({ length: 4 }, (): Fault => ({ kind: 'status', status: 503, code: 'SlowDown' }))
      const fault = await failureOf(read('down', 0, 300_000, ...down))
      expect(fault.message).toBe(`s3://${store.bucket}/down: the bytes from 0 on do not come`)
      expect(fault).not.toBeInstanceOf(OperatorError)
      expect(fault.cause).toMatchObject({ name: 'SlowDown' })
    })

    test('an object that was replaced after it was planned stops the run, and no byte of it is handed out', async () => {
      const { place, version } = await stored('replaced')
      await store.put('replaced', 'something else')
      const target = Buffer.alloc(10)
      const fault = await failureOf((await place.open('replaced', version)).fill(target, 0))
      expect(fault).toBeInstanceOf(SourceChanged)
      expect(fault.message).toMatch(
        /^replaced has changed since it was planned: 300000 bytes \(etag ".+"\) then, 14 bytes \(etag ".+"\) now$/,
      )
      expect(target.equals(Buffer.alloc(10))).toBe(true)
    })

    test('an object of the same size that was replaced between two reads stops the run too', async () => {
      const { place, version } = await stored('swapped')
      const blob = await place.open('swapped', version)
      await blob.fill(Buffer.alloc(10), 100_000)
      await store.put('swapped', Buffer.alloc(body.length))
      expect(await failureOf(blob.fill(Buffer.alloc(10), 100_010))).toBeInstanceOf(SourceChanged)
    })

    test('an object that was deleted after it was planned stops the run', async () => {
      const { place, version } = await stored('deleted')
      await store.remove('deleted')
      const fault = await failureOf((await place.open('deleted', version)).fill(Buffer.alloc(10), 0))
      expect(fault).toBeInstanceOf(SourceChanged)
      expect(fault.message).toMatch(/then, gone now$/)
    })

    test('what is not there is told with its address', async () => {
      const missing = await failureOf((await bucket()).open('nothing.csv'))
      expect(missing).toBeInstanceOf(OperatorError)
      expect(missing.message).toContain(`s3://${store.bucket}/nothing.csv cannot be read: NoSuchKey`)
    })

    test('a bucket that is not there is told, with what to check', async () => {
      const place = await openBucket('s3://no-such-bucket', {
        endpoint: proxy.endpoint,
        pathStyle: true,
        requesterPays: false,
      })
      closing.push(() => place.close())
      expect(await failureOf(place.list())).toMatchObject({
        message: expect.stringContaining('s3://no-such-bucket/ cannot be listed: NoSuchBucket'),
        hint: expect.stringContaining('Check the name of the bucket'),
      })
    })

    test.each(['../other/users.csv', 'a/../../users.csv', '/etc/passwd', './users.csv', ''])(
      'the path %j of a tampered job is refused before anything is asked',
      async (path) => {
        const place = await bucket('/prefix')
        expect(await failureOf(place.open(path, { sizeBytes: 1, mark: 'etag "x"' }))).toBeInstanceOf(OperatorError)
        expect(proxy.requests).toEqual([])
      },
    )

    test('what is written can be read, replaces what was there, and is written again where the store was busy', async () => {
      const place = await bucket('/work')
      const parts = [body.subarray(0, 70_000), Buffer.alloc(0), body.subarray(70_000)]
      await place.put('run/identities', [Buffer.from('older')])
      proxy.faults.push({ kind: 'status', status: 503, code: 'SlowDown' })
      await place.put('run/identities', parts)
      expect((await readBytes(place, 'run/identities')).equals(body)).toBe(true)
      expect(await place.list()).toEqual(['run/identities'])
    })

    test('closing ends reads that still wait', async () => {
      const { place, version } = await stored('waiting')
      const blob = await place.open('waiting', version)
      proxy.faults.push({ kind: 'silence' })
      const waiting = failureOf(blob.fill(Buffer.alloc(10), 0))
      await blob.close()
      expect(await waiting).toMatchObject({ name: 'AbortError' })
    })
  })
}

/** CSV files in a bucket, for what every source must do. */
export function bucketSource(start: () => Promise<TestStore>): SourceUnderTest {
  return bucketOf(start)({
    fileName: 'clicks.csv',
    cell: fc.option(fc.string({ unit: fc.constantFrom('a', 'é', '😀', '"', ',', '\n', ' '), minLength: 1 }), {
      nil: null,
    }),
    write: tableWriters.csv,
  })
}

/** Moves what others write into a bucket. */
export function bucketOf(start: () => Promise<TestStore>): (source: SourceUnderTest) => SourceUnderTest {
  let store: TestStore
  beforeAll(async () => {
    store = await start()
  }, 120_000)
  afterAll(() => store.close())
  return (source) => ({
    ...source,
    async write(file, rows) {
      await source.write(file, rows)
      await store.put(`${basename(dirname(file))}/${basename(file)}`, await readFile(file))
    },
    async openPlace(folder) {
      const options = { endpoint: store.endpoint, pathStyle: true, requesterPays: false }
      const place = await openBucket(`s3://${store.bucket}/${basename(folder)}`, options)
      onTestFinished(() => place.close())
      return place
    },
  })
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('nothing was thrown')
}
