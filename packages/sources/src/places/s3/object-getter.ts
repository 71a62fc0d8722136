import { GetObjectCommand, type GetObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3'
import { getEndpointFromInstructions } from '@smithy/core/endpoints'
import { extendedEncodeURIComponent, HttpResponse } from '@smithy/core/protocols'

/** How an object is named to the store. */
export interface ObjectName {
  Bucket: string
  Key: string
  RequestPayer?: 'requester'
}

/** A part of an object, of a version where that is known. */
interface WantedPart {
  Range: string
  IfMatch?: string
}

export type ObjectPart = Pick<GetObjectCommandOutput, 'Body' | 'ContentRange' | 'ETag'>

export type GetObject = (object: ObjectName, wanted: WantedPart, signal: AbortSignal) => Promise<ObjectPart>

/**
 * Asks for parts of the objects of one bucket. The SDK's stack of middleware takes four times as much of the processor as
 * signing and sending a request do, so requests go around it, by the SDK's own endpoint, credentials, signer and
 * connections. Whatever is answered but the part is handed to the stack as if it had asked: it knows what errors mean, where
 * the bucket is, and by how much the clock is wrong.
 */
export function objectGetter(client: S3Client, bucket: string): GetObject {
  const { config } = client
  let known: { region: string; ask: ReturnType<typeof askerOf> } | undefined

  return async (object, wanted, signal) => {
    const region = await config.region()
    if (known?.region !== region) known = { region, ask: askerOf(client, bucket, region) }
    const ask = await known.ask
    const command = () => new GetObjectCommand({ ...object, ...wanted })
    if (ask === null) return client.send(command(), { abortSignal: signal })

    const response = await ask(object, wanted, signal)
    const { statusCode, headers, body } = response
    if (statusCode === 206) return { Body: body, ContentRange: headers['content-range'], ETag: headers['etag'] }

    let isTold = false
    const answered = command()
    answered.middlewareStack.add(
      (next) => async (args) => {
        // In another region, be it that this answer told it or one that came sooner, the object may be there.
        if (isTold || (await config.region()) !== region) return next(args)
        isTold = true
        return { response }
      },
      { step: 'deserialize', priority: 'low' },
    )
    return client.send(answered, { abortSignal: signal })
  }
}

type Ask = (object: ObjectName, wanted: WantedPart, signal: AbortSignal) => Promise<HttpResponse>

/** Null where a bucket is asked otherwise than by one signed request: a directory bucket by sessions, for instance. */
async function askerOf({ config }: S3Client, bucket: string, region: string): Promise<Ask | null> {
  const endpoint = await getEndpointFromInstructions({ Bucket: bucket }, GetObjectCommand, config)
  const [scheme] = endpoint.properties?.authSchemes ?? []
  if (scheme?.name !== 'sigv4') return null
  const signer = await config.signer(scheme)
  const { protocol, hostname, port, host, pathname } = endpoint.url
  const server = { protocol, hostname, ...(port !== '' && { port: Number(port) }) }
  const below = pathname.replace(/\/$/, '')

  return async ({ Key, RequestPayer }, { Range, IfMatch }, signal) => {
    const request = {
      ...server,
      method: 'GET',
      path: `${below}/${Key.split('/').map(extendedEncodeURIComponent).join('/')}`,
      headers: {
        host,
        range: Range,
        'user-agent': 'heapferry',
        ...(IfMatch !== undefined && { 'if-match': IfMatch }),
        ...(RequestPayer !== undefined && { 'x-amz-request-payer': RequestPayer }),
      },
    }
    const signed = await signer.sign(request, {
      signingDate: new Date(Date.now() + config.systemClockOffset),
      signingRegion: scheme.signingRegion ?? region,
      signingService: scheme.signingName,
    })
    const { response } = await config.requestHandler.handle(signed, { abortSignal: signal })
    if (!HttpResponse.isInstance(response)) throw new Error('the AWS SDK gave an answer that is none of HTTP')
    return response
  }
}
