import { OperatorError } from '@heapferry/domain'

/**
 * Splits `s3://bucket/key`, or the same of `gs`; the key is what the user typed, without `/` at its ends.
 * @throws OperatorError when it is no such address
 */
export function parseS3Address(address: string): { scheme: string; bucket: string; key: string } {
  const [, scheme = 's3', bucket, key = ''] =
    /^(s3|gs):\/\/([a-z0-9][\w.-]*)(?:\/+(.*))?$/is.exec(address) ?? /^(gs):/.exec(address) ?? []
  if (bucket === undefined) {
    throw new OperatorError(
      `${address} is no address in ${scheme === 'gs' ? 'Google Cloud Storage' : 'S3'}`,
      `Give ${scheme}://bucket or ${scheme}://bucket/prefix.`,
    )
  }
  return { scheme, bucket, key: key.replace(/\/+$/, '') }
}
