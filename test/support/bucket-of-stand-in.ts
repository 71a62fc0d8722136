import type { S3Options } from '@heapferry/sources'
import { onTestFinished } from 'vitest'
import { openBucket } from '../../packages/sources/src/places/s3/open-bucket.ts'
import { startFaultProxy } from './fault-proxy.ts'
import { type StandInOptions, startS3StandIn } from './s3-stand-in.ts'

/** The bucket `acme` with a `users.csv`, behind a proxy that tells what was asked for. It ends with the test. */
export async function bucketOfStandIn(standIn: StandInOptions = {}, options: Partial<S3Options> = {}) {
  const store = await startS3StandIn(standIn)
  const proxy = await startFaultProxy(store.endpoint)
  const s3 = { endpoint: proxy.endpoint, pathStyle: true, requesterPays: false, ...options }
  const place = await openBucket('s3://acme', s3, { stallMs: 1000, firstPauseMs: 1, longestPauseMs: 1, tries: 3 })
  onTestFinished(async () => {
    place.close()
    await proxy.close()
    await store.close()
  })
  await store.put('users.csv', 'user_id\n1\n')
  return { place, store, requests: proxy.requests, faults: proxy.faults }
}
