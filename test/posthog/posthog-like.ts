import { createServer, type IncomingHttpHeaders } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { onTestFinished } from 'vitest'

export interface Asked {
  path: string
  headers: IncomingHttpHeaders
  /** Unpacked. */
  body: string
}

/** A server with answers of the test's own, for those that the rehearsal server does not give. */
export async function posthogLike(
  answerTo: (asked: Asked) => { status?: number; headers?: Record<string, string>; body?: unknown },
): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const bytes = Buffer.concat(chunks)
      const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
      const one = { path: request.url ?? '', headers: request.headers, body: body.toString() }
      asked.push(one)
      const { status = 200, headers = {}, body: answer = '' } = answerTo(one)
      response.writeHead(status, headers)
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { url: `http://127.0.0.1:${address.port}`, asked }
}
