import type { FileVersion } from '@heapferry/domain'
import type { Blob } from './blob.ts'
import { openFolder } from './open-folder.ts'

/**
 * Where an export lies, or what producer and workers of a run share: a folder, or a prefix of a bucket. Paths are relative
 * to its root, with `/`.
 */
export interface ExportPlace {
  /** As a run stores it: an absolute path, `s3://bucket/prefix` or `gs://bucket/prefix`. */
  readonly root: string
  /** The path of every file below the root, sorted. */
  list(): Promise<string[]>
  /**
   * @param expected of a file that was planned before
   * @throws OperatorError when the file is missing, unreadable, or not below the root
   * @throws SourceChanged when it is not of the expected version
   */
  open(path: string, expected?: FileVersion): Promise<Blob>
  /** Writes a file whole or not at all; one that is there is replaced. Only its owner may read it, as far as the place knows owners. */
  put(path: string, parts: readonly Uint8Array[]): Promise<void>
  close(): void
}

/** How S3 and its kin are reached; credentials come from the AWS SDK's own chain. */
export interface S3Options {
  /** Of a compatible store, such as `http://127.0.0.1:9000`. */
  endpoint?: string
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  pathStyle: boolean
  /** The reader pays for the traffic, which some buckets ask for. */
  requesterPays: boolean
}

/** Whether a place is a bucket, and no folder. */
export function isBucket(root: string): boolean {
  return /^(?:s3|gs):\/\//.test(root)
}

export async function openPlace(root: string, s3: S3Options): Promise<ExportPlace> {
  if (!isBucket(root)) return openFolder(root)
  // The AWS SDK takes 80 ms and 20 MB to load: only those who need it pay for it.
  const { openBucket } = await import('./s3/open-bucket.ts')
  return openBucket(root, s3)
}
