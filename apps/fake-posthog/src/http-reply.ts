import type { IncomingMessage, ServerResponse } from 'node:http'
import { maxBodyBytes } from './capture.ts'

export interface HttpReply {
  status: number
  body: string
  headers?: Record<string, string>
}

export function json(status: number, body: unknown): HttpReply {
  return { status, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
}

/** The reply with `Retry-After`, where that is wanted. */
export function retryAfter(reply: HttpReply, seconds: number | undefined): HttpReply {
  return seconds === undefined ? reply : { ...reply, headers: { ...reply.headers, 'retry-after': String(seconds) } }
}

export function respond(response: ServerResponse, { status, body, headers }: HttpReply): void {
  response.writeHead(status, headers)
  response.end(body)
}

/** Null for a body over the limit, of which the rest is read and thrown away so that the client can hear the answer. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes <= maxBytes) chunks.push(chunk)
  }
  return bytes <= maxBytes ? Buffer.concat(chunks) : null
}

export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request, maxBodyBytes)
  try {
    return JSON.parse(body?.toString() ?? '')
  } catch {
    return undefined
  }
}
