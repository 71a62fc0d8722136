import { DeleteObjectCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { type KeptFiles, OperatorError } from '@heapferry/domain'
import { keptFolders } from '../open-kept-files.ts'
import type { S3Options } from '../open-place.ts'
import { createClient } from './create-client.ts'
import { operatorFault } from './operator-fault.ts'
import { type Patience, retried, statusOf, usualPatience } from './retried.ts'
import { parseS3Address } from './s3-address.ts'

/** A work store in a bucket, of which files are deleted. Where the bucket keeps versions, it keeps them of these too. */
export async function openKeptObjects(
  root: string,
  options: S3Options,
  patience: Patience = usualPatience,
): Promise<KeptFiles> {
  const { scheme, bucket, key } = parseS3Address(root)
  const prefix = key === '' ? '' : `${key}/`
  const client = await createClient(scheme, options, patience.stallMs)

  return {
    root,
    async ofRun(run) {
      const files: { path: string; sizeBytes: number }[] = []
      for (const folder of keptFolders(run)) {
        let after: string | undefined
        do {
          const page = await listed(`${prefix}${folder}/`, after)
          for (const { Key, Size = 0 } of page.Contents ?? [])
            if (Key !== undefined && !Key.endsWith('/')) files.push({ path: Key.slice(prefix.length), sizeBytes: Size })
          after = page.NextContinuationToken
        } while (after !== undefined)
      }
      return files
    },
    async remove(file) {
      const object = { Bucket: bucket, Key: prefix + file }
      await retried(() => client.send(new DeleteObjectCommand(object)), { patience }).catch((cause: unknown) => {
        const fault = operatorFault(`s3://${bucket}/${prefix}${file} cannot be deleted`, cause)
        if (statusOf(cause) !== 403) throw fault
        throw new OperatorError(
          fault.message,
          'The credentials need s3:DeleteObject on the work store. What is deleted already stays deleted: the same command goes on.',
          { cause },
        )
      })
    },
    close: () => client.destroy(),
  }

  async function listed(below: string, after: string | undefined): Promise<ListObjectsV2CommandOutput> {
    const wanted = { Bucket: bucket, Prefix: below, ContinuationToken: after }
    try {
      return await retried(() => client.send(new ListObjectsV2Command(wanted)), { patience })
    } catch (error) {
      throw operatorFault(`s3://${bucket}/${below} cannot be listed`, error)
    }
  }
}
