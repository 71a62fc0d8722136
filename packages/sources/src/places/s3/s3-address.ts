import { OperatorError } from '@heapferry/domain'

/**
 * Splits `s3://bucket/key`; the key is what the user typed, without `/` at its ends.
 * @throws OperatorError when it is no such address
 */
export function parseS3Address(address: string): { bucket: string; key: string } {
  const [, bucket, key = ''] = /^s3:\/\/([a-z0-9][\w.-]*)(?:\/+(.*))?$/is.exec(address) ?? []
  if (bucket === undefined) {
    throw new OperatorError(`${address} is no address in S3`, 'Give s3://bucket or s3://bucket/prefix.')
  }
  return { bucket, key: key.replace(/\/+$/, '') }
}
