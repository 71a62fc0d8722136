import { Readable } from 'node:stream'
import { ListObjectsV2Command, type ListObjectsV2CommandOutput, PutObjectCommand } from '@aws-sdk/client-s3'
import { OperatorError } from '@heapferry/domain'
import type { ExportPlace, S3Options } from '../open-place.ts'
import { createClient } from './create-client.ts'
import { objectGetter } from './object-getter.ts'
import { openObject } from './open-object.ts'
import { operatorFault } from './operator-fault.ts'
import { type Patience, retried, usualPatience } from './retried.ts'
import { parseS3Address } from './s3-address.ts'

/**
 * A bucket, or what lies below a prefix of it, as the place of an export. Nothing is asked of the store yet.
 * @param root `s3://bucket` or `s3://bucket/prefix`; of `gs` the same, by the interface of S3 that Google Cloud Storage has
 * @throws OperatorError when it is neither
 */
export async function openBucket(
  root: string,
  options: S3Options,
  patience: Patience = usualPatience,
): Promise<ExportPlace> {
  const { scheme, bucket, key } = parseS3Address(root)
  const store = `${scheme}://${bucket}`
  const prefix = key === '' ? '' : `${key}/`
  const payer = options.requesterPays ? ({ RequestPayer: 'requester' } as const) : {}
  const client = await createClient(scheme, options, patience.stallMs)
  const getObject = objectGetter(client, bucket)

  return {
    root: key === '' ? store : `${store}/${key}`,
    async list() {
      const paths: string[] = []
      let after: string | undefined
      do {
        const page = await listPage(after)
        for (const { Key } of page.Contents ?? []) {
          // Consoles make an empty object whose key ends in "/" to show a folder.
          if (Key === undefined || Key.endsWith('/')) continue
          paths.push(Key.slice(prefix.length))
        }
        after = page.NextContinuationToken
      } while (after !== undefined)
      // S3 sorts by bytes, folders are sorted by UTF-16 units, and compatible stores do as they like.
      return paths.toSorted()
    },
    async open(path, expected) {
      assertBelow(path)
      return openObject(
        { client, getObject },
        { Bucket: bucket, Key: prefix + path, ...payer },
        { address: `${store}/${prefix}${path}`, path, patience, expected },
      )
    },
    async put(path, parts) {
      assertBelow(path)
      const ContentLength = parts.reduce((sum, part) => sum + part.length, 0)
      const put = new PutObjectCommand({ Bucket: bucket, Key: prefix + path, ContentLength, ...payer })
      // A stream for each request, also for that which goes to another region: the parts together can take as much memory
      // again as they do.
      put.middlewareStack.add(
        (next) => (args) => next({ ...args, input: { ...args.input, Body: Readable.from(parts) } }),
        { step: 'initialize', priority: 'low' },
      )
      await retried(() => client.send(put), { patience }).catch((error: unknown) => {
        throw operatorFault(`${store}/${prefix}${path} cannot be written`, error)
      })
    },
    close() {
      client.destroy()
    },
  }

  async function listPage(after: string | undefined): Promise<ListObjectsV2CommandOutput> {
    const wanted = { Bucket: bucket, Prefix: prefix, ContinuationToken: after, ...payer }
    try {
      return await retried(() => client.send(new ListObjectsV2Command(wanted)), { patience })
    } catch (error) {
      throw operatorFault(`${store}/${prefix} cannot be listed`, error)
    }
  }

  /** S3 takes `..` for a name like any other, but not every store and proxy does. */
  function assertBelow(path: string): void {
    if (path !== '' && !path.startsWith('/') && !path.split('/').some((part) => part === '.' || part === '..')) return
    throw new OperatorError(
      `${path} leads out of the export (${store}/${prefix})`,
      'Paths of an export are relative to it. Copy the object under a name without "..".',
    )
  }
}
