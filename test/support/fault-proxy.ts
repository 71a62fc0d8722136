import { once } from 'node:events'
import { createServer, type IncomingMessage, request as send, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What becomes of one answer on its way; where `on` is given, of one to such a request. */
export type Fault = { on?: RegExp } /** The connection breaks after so many bytes of the body. */ & (
  | { kind: 'reset'; afterBytes: number }
  /** After so many bytes nothing more comes, and the connection stays. */
  | { kind: 'stall'; afterBytes: number }
  /** A complete answer, of which only so many bytes are there. */
  | { kind: 'truncated'; bytes: number }
  | { kind: 'status'; status: number; code: string; headers?: Record<string, string>; body?: string }
  /** No answer at all. */
  | { kind: 'silence' }
  /** A complete answer that says something else. */
  | { kind: 'rewritten'; as(text: string): string }
)

export interface FaultProxy {
  endpoint: string
  /** Taken by the next requests, one each; after that answers come unharmed. */
  faults: Fault[]
  /** Method and path of every request, with its range. */
  requests: string[]
  close(): Promise<void>
}

/** Stands between a client and an HTTP server, and harms answers on demand. */
export async function startFaultProxy(target: string, options: { latencyMs?: number } = {}): Promise<FaultProxy> {
  const faults: Fault[] = []
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push([request.method, request.url, request.headers.range].filter(Boolean).join(' '))
    const at = faults.findIndex(({ on }) => on === undefined || on.test(`${request.method} ${request.url}`))
    const [fault] = at < 0 ? [] : faults.splice(at, 1)
    pass(target, request, response, { fault, latencyMs: options.latencyMs ?? 0 }).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    faults,
    requests,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function pass(
  target: string,
  request: IncomingMessage,
  response: ServerResponse,
  { fault, latencyMs }: { fault: Fault | undefined; latencyMs: number },
): Promise<void> {
  if (latencyMs > 0) await sleep(latencyMs)
  if (fault?.kind === 'silence') return
  if (fault?.kind === 'status') {
    response.writeHead(fault.status, { 'content-type': 'application/xml', ...fault.headers })
    response.end(fault.body ?? `<Error><Code>${fault.code}</Code><Message>${fault.code}</Message></Error>`)
    return
  }
  const forwarded = send(new URL(request.url ?? '/', target), { method: request.method, headers: request.headers })
  request.pipe(forwarded)
  const [answer]: IncomingMessage[] = await once(forwarded, 'response')
  if (!answer) throw new Error('no answer')
  const { statusCode = 502, headers } = answer
  if (!fault) {
    response.writeHead(statusCode, headers)
    answer.pipe(response)
    return
  }
  const body = Buffer.concat(await answer.toArray())
  switch (fault.kind) {
    case 'reset':
      response.writeHead(statusCode, headers)
      response.write(body.subarray(0, fault.afterBytes), () => response.destroy())
      return
    case 'stall':
      response.writeHead(statusCode, headers)
      response.write(body.subarray(0, fault.afterBytes))
      return
    case 'truncated':
      response.writeHead(statusCode, { ...headers, 'content-length': fault.bytes })
      response.end(body.subarray(0, fault.bytes))
      return
    case 'rewritten': {
      const bytes = Buffer.from(fault.as(body.toString('utf8')))
      response.writeHead(statusCode, { ...headers, 'content-length': bytes.length })
      response.end(bytes)
    }
  }
}
