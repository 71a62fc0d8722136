import { once } from 'node:events'
import { createServer } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { onTestFinished } from 'vitest'

/** Stands between heapferry and a PostHog, and keeps what is sent: every body, unpacked. */
export async function recordRequests(target: string): Promise<{ url: string; bodies: string[] }> {
  const bodies: string[] = []
  const server = createServer((request, response) => {
    const passOn = async (): Promise<void> => {
      const body = Buffer.concat(await request.toArray())
      bodies.push((request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString())
      const encoding = request.headers['content-encoding']
      const answer = await fetch(new URL(request.url ?? '/', target), {
        method: request.method ?? 'POST',
        body,
        headers: {
          'content-type': request.headers['content-type'] ?? 'application/json',
          ...(encoding !== undefined && { 'content-encoding': encoding }),
        },
      })
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
    }
    passOn().catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { url: `http://127.0.0.1:${address.port}`, bodies }
}
