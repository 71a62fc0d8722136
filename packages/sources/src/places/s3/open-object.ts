import { setMaxListeners } from 'node:events'
import { Readable } from 'node:stream'
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type FileVersion, OperatorError } from '@heapferry/domain'
import { type Blob, beginningBytes } from '../blob.ts'
import { sourceChanged } from '../source-changed.ts'
import type { GetObject, ObjectName, ObjectPart } from './object-getter.ts'
import { operatorFault } from './operator-fault.ts'
import { type Patience, passes, retried, ShortBody, statusOf } from './retried.ts'

/**
 * An object as bytes. Every read asks for the version that was planned (If-Match), so that no byte of a replaced object is
 * handed out. A connection that breaks or stalls is replaced, and reading goes on where it broke.
 * @param address for messages, and the path of the export
 * @param expected spares the request that asks for the version
 * @throws OperatorError when there is no such object, or it may not be read
 */
export async function openObject(
  { client, getObject }: { client: S3Client; getObject: GetObject },
  object: ObjectName,
  {
    address,
    path,
    patience,
    expected,
  }: { address: string; path: string; patience: Patience; expected: FileVersion | undefined },
): Promise<Blob> {
  const closing = new AbortController()
  const { signal } = closing
  // Every request in flight listens, and a reader may have more than ten.
  setMaxListeners(0, signal)

  const { version, head } = expected ? { version: expected, head: Buffer.alloc(0) } : await beginning()
  return {
    version,
    async fill(target, at) {
      if (at + target.length > version.sizeBytes) {
        throw new Error(`${path}: ${at + target.length} bytes expected, the object has ${version.sizeBytes}`)
      }
      const known = at < head.length ? head.copy(target, 0, at) : 0
      if (known < target.length) await fetch(target.subarray(known), at + known)
    },
    async close() {
      closing.abort(closed)
    },
  }

  /** The version and as many bytes as inspecting most files takes, in one request. */
  async function beginning(): Promise<{ version: FileVersion; head: Buffer }> {
    try {
      return await retried(
        async () => {
          const answer = await getObject(object, { Range: `bytes=0-${beginningBytes - 1}` }, signal)
          const found = versionOf(answer)
          const first = Buffer.alloc(Math.min(beginningBytes, found.sizeBytes))
          await copyBody(answer, first)
          return { version: found, head: first }
        },
        { patience, signal },
      )
    } catch (error) {
      // An empty object has no range to give.
      const found = statusOf(error) === 416 ? await versionNow() : null
      if (found) return { version: found, head: Buffer.alloc(0) }
      throw operatorFault(`${address} cannot be read`, error)
    }
  }

  async function fetch(target: Buffer, at: number): Promise<void> {
    let filled = 0
    const attempt = async () => {
      const Range = `bytes=${at + filled}-${at + target.length - 1}`
      const answer = await getObject(object, { Range, IfMatch: etagOf(version) }, signal)
      const now = versionOf(answer)
      // A store that does not know If-Match serves whatever it has.
      if (now.mark !== version.mark || now.sizeBytes !== version.sizeBytes) throw sourceChanged(path, version, now)
      await copyBody(answer, target.subarray(filled), (bytes) => {
        filled += bytes
      })
    }
    try {
      await retried(attempt, { patience, progress: () => filled, signal })
    } catch (error) {
      if (signal.aborted || error instanceof OperatorError) throw error
      const status = statusOf(error)
      if (status === 404 || status === 412 || status === 416) throw sourceChanged(path, version, await versionNow())
      if (!passes(error)) throw operatorFault(`${address} cannot be read`, error)
      throw new Error(`${address}: the bytes from ${at + filled} on do not come`, { cause: error })
    }
  }

  /** Null where the object is gone. */
  async function versionNow(): Promise<FileVersion | null> {
    try {
      return await retried(
        async () => {
          const { ETag, ContentLength = 0 } = await client.send(new HeadObjectCommand(object), { abortSignal: signal })
          return { sizeBytes: ContentLength, mark: markOf(ETag) }
        },
        { patience, signal },
      )
    } catch (error) {
      if (statusOf(error) === 404) return null
      throw operatorFault(`${address} cannot be read`, error)
    }
  }

  function versionOf({ ETag, ContentRange }: ObjectPart): FileVersion {
    const size = /^bytes \d+-\d+\/(\d+)$/.exec(ContentRange ?? '')?.[1]
    if (size === undefined) {
      throw new OperatorError(
        `${address}: the store does not serve a part of an object when asked for one`,
        'Use a store that knows ranges, or copy the export to a folder.',
      )
    }
    return { sizeBytes: Number(size), mark: markOf(ETag) }
  }

  function markOf(etag: string | undefined): string {
    if (etag !== undefined) return `etag ${etag}`
    throw new OperatorError(
      `${address}: the store gives no ETag, so it could not be told whether the object is replaced while it is read`,
      'Use a store that gives ETags, or copy the export to a folder.',
    )
  }
}

// Made once: most objects are closed when nothing is on its way, and an error takes longer than all else about closing one.
const closed = new Error('the object was closed')

function etagOf({ mark }: FileVersion): string {
  return mark.slice('etag '.length)
}

/** @param onBytes called as they come, so that it is known how far a body came that breaks off */
async function copyBody(
  { Body: body }: ObjectPart,
  target: Buffer,
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  if (!(body instanceof Readable)) throw new Error('the AWS SDK gave a body that is no stream of Node')
  let filled = 0
  for await (const piece of body as AsyncIterable<Buffer>) {
    const bytes = piece.copy(target, filled)
    filled += bytes
    onBytes(bytes)
  }
  if (filled < target.length) throw new ShortBody(`${target.length - filled} of ${target.length} bytes did not come`)
}
