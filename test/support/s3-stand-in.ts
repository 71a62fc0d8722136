import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

/** A store for tests, however it is made: a stand-in of our own or somebody else's server. */
export interface TestStore {
  endpoint: string
  bucket: string
  put(key: string, body: string | Uint8Array): Promise<void>
  remove(key: string): Promise<void>
  close(): Promise<void>
}

export interface StandInOptions {
  /** Of the only bucket. A request that is signed for another is sent there, as AWS does. */
  region?: string
  /** Whether a reader is refused who does not say that he pays. */
  requesterPays?: boolean
  /** The largest page of a list; S3's own limit. */
  pageKeys?: number
  /** As some compatible stores do. */
  ignoresIfMatch?: boolean
  /** Every answer waits for this. */
  beforeAnswer?: () => Promise<unknown>
}

/**
 * Answers what heapferry asks of S3: pages of a list, HEAD, GET with Range and If-Match, PUT and DELETE of a whole object. It
 * knows one bucket and no signature beyond its region: it shows that heapferry keeps to what its authors know of S3, not
 * that it gets on with S3. The same tests run against a server of other authors: `npm run test:emulators`.
 */
export async function startS3StandIn(options: StandInOptions = {}): Promise<TestStore> {
  const bucket = 'acme'
  const objects = new Map<string, StoredObject>()
  const server = createServer((request, response) => {
    const answerIt = () => answer(request, response, { bucket, objects, ...options })
    if (options.beforeAnswer === undefined) answerIt()
    else void options.beforeAnswer().then(answerIt)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    bucket,
    async put(key, body) {
      objects.set(key, objectOf(Buffer.from(body)))
    },
    async remove(key) {
      objects.delete(key)
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface StoredObject {
  body: Buffer
  etag: string
}

function objectOf(body: Buffer): StoredObject {
  return { body, etag: `"${createHash('md5').update(body).digest('hex')}"` }
}

interface Store extends StandInOptions {
  bucket: string
  objects: Map<string, StoredObject>
}

function answer(request: IncomingMessage, response: ServerResponse, store: Store): void {
  const url = new URL(request.url ?? '/', 'http://store')
  const [, bucket = '', ...rest] = decodeURIComponent(url.pathname).split('/')
  const key = rest.join('/')
  const { authorization = '', 'x-amz-request-payer': payer } = request.headers
  const signedFor = /Credential=[^/]+\/\d{8}\/([^/]+)\/s3\//.exec(authorization)?.[1]
  if (signedFor === undefined) return fail(response, 403, 'AccessDenied')
  if (bucket !== store.bucket) return fail(response, 404, 'NoSuchBucket')
  if (store.region !== undefined && signedFor !== store.region) {
    response.setHeader('x-amz-bucket-region', store.region)
    return fail(response, 301, 'PermanentRedirect')
  }
  if (store.requesterPays && payer !== 'requester') return fail(response, 403, 'AccessDenied')
  if (key === '') return answerList(url.searchParams, response, store)
  if (request.method === 'PUT') return takeObject(request, response, (body) => store.objects.set(key, objectOf(body)))
  if (request.method === 'DELETE') {
    store.objects.delete(key)
    response.writeHead(204).end()
    return
  }
  const object = store.objects.get(key)
  if (!object) return fail(response, 404, 'NoSuchKey')
  answerObject(request, response, object, store)
}

function answerList(query: URLSearchParams, response: ServerResponse, { objects, pageKeys = 1000 }: Store): void {
  const prefix = query.get('prefix') ?? ''
  const after = query.get('continuation-token') ?? ''
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).toSorted(byBytes)
  const left = keys.filter((key) => byBytes(key, after) > 0)
  const page = left.slice(0, pageKeys)
  const last = page.at(-1)
  const token =
    last !== undefined && left.length > page.length
      ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${escaped(last)}</NextContinuationToken>`
      : '<IsTruncated>false</IsTruncated>'
  const contents = page.map(
    (key) => `<Contents><Key>${escaped(key)}</Key><Size>${objects.get(key)?.body.length ?? 0}</Size></Contents>`,
  )
  response.writeHead(200, { 'content-type': 'application/xml' })
  response.end(`<ListBucketResult>${token}${contents.join('')}</ListBucketResult>`)
}

function takeObject(request: IncomingMessage, response: ServerResponse, take: (body: Buffer) => void): void {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.once('end', () => {
    take(Buffer.concat(parts))
    response.end()
  })
}

function answerObject(
  request: IncomingMessage,
  response: ServerResponse,
  { body, etag }: StoredObject,
  store: Store,
): void {
  const { range, 'if-match': wanted } = request.headers
  if (wanted !== undefined && wanted !== etag && !store.ignoresIfMatch) return fail(response, 412, 'PreconditionFailed')
  response.setHeader('etag', etag)
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
  const start = Number(from ?? 0)
  const end = Math.min(Number(to ?? body.length - 1), body.length - 1)
  if (range !== undefined && start >= body.length) return fail(response, 416, 'InvalidRange')
  if (range !== undefined) response.setHeader('content-range', `bytes ${start}-${end}/${body.length}`)
  response.writeHead(range === undefined ? 200 : 206, { 'content-length': end + 1 - start })
  response.end(request.method === 'HEAD' ? undefined : body.subarray(start, end + 1))
}

function fail(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' })
  response.end(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`)
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
