import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import type { S3Options } from '../open-place.ts'

// Four chunks a process, a few reads ahead of each; of a producer the files whose beginnings are fetched at once, and those
// that are looked into.
const maxSockets = 144

const google = 'https://storage.googleapis.com'

/**
 * Credentials, profile and region are found as by every program with the AWS SDK. A region is not needed: a bucket
 * elsewhere tells where it is, and is believed from then on.
 * @param scheme `gs`: the same, by the interface of S3 that Google Cloud Storage has. Its keys are HMAC keys, and a region says
 *   nothing there. https://docs.cloud.google.com/storage/docs/interoperability
 * @param stallMs without a byte for so long, a connection is given up
 */
export async function createClient(scheme: string, options: S3Options, stallMs: number): Promise<S3Client> {
  const agent = { maxSockets }
  const endpoint = options.endpoint ?? (scheme === 'gs' ? google : undefined)
  const config: S3ClientConfig = {
    ...(endpoint !== undefined && { endpoint }),
    forcePathStyle: scheme === 'gs' || options.pathStyle,
    maxAttempts: 1, // see `retried`
    // Else the SDK writes to the console when an upload fails that is about to be tried again.
    logger: { debug: silence, info: silence, warn: silence, error: silence },
    // Ranges have no checksums of their own, and compatible stores do not all know the header that asks for them.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestChecksumCalculation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: stallMs, socketTimeout: stallMs, httpAgent: agent, httpsAgent: agent },
  }
  let region = await configuredRegion(config)
  const client = new S3Client({ ...config, region: () => Promise.resolve(region) })
  client.middlewareStack.add(
    (next) => async (args) => {
      const asked = region
      try {
        return await next(args)
      } catch (error) {
        const actual = regionToldBy(error)
        // Of many that were asked at once, the first answer has told the region to all later ones.
        if (actual === undefined || actual === asked) throw error
        region = actual
        return next(args)
      }
    },
    { step: 'initialize', name: 'goToBucketRegion' },
  )
  return client
}

function silence(): void {}

async function configuredRegion(config: S3ClientConfig): Promise<string> {
  const client = new S3Client(config)
  // It rejects where no region is set anywhere.
  const region = await client.config.region().catch(() => 'us-east-1')
  client.destroy()
  return region
}

function regionToldBy(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('$response' in error)) return undefined
  const { $response: response } = error
  if (typeof response !== 'object' || response === null || !('headers' in response)) return undefined
  const { headers } = response
  if (typeof headers !== 'object' || headers === null || !('x-amz-bucket-region' in headers)) return undefined
  const region = headers['x-amz-bucket-region']
  return typeof region === 'string' ? region : undefined
}
