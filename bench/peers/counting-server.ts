import { createServer, type IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'

const unpacked = promisify(gunzip)
// In the JSON of an event; a quote inside of a text has a backslash before it.
const eventKey = Buffer.from('"event":')
const sdkEndpoints = ['/batch/', '/import']

let events = 0
let requests = 0
let refusingUntilMs = 0

/**
 * Takes what PostHog and Mixpanel take, and counts the events in it. `POST /refuse/SECONDS` begins a count anew and has the
 * events of the next seconds answered with 429; `GET /count` tells. Prints its URL and lives until it is killed.
 */
const server = createServer((request, response) => {
  const url = request.url ?? ''
  void bodyOf(request).then((body) => {
    response.setHeader('content-type', 'application/json')
    const refused = /^\/refuse\/(\d+)$/.exec(url)?.[1]
    if (refused !== undefined) {
      events = 0
      requests = 0
      refusingUntilMs = performance.now() + Number(refused) * 1000
      response.end('{}')
    } else if (url === '/count') {
      response.end(JSON.stringify({ events, requests }))
    } else if (!sdkEndpoints.some((endpoint) => url.startsWith(endpoint))) {
      response.end('{"flags":{}}')
    } else if (performance.now() < refusingUntilMs) {
      response.writeHead(429, { 'retry-after': '2' }).end('{"error":"too many"}')
    } else {
      const counted = count(body)
      events += counted
      requests++
      response.end(JSON.stringify({ status: 'Ok', code: 200, num_records_imported: counted }))
    }
  })
})

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part)
  const body = Buffer.concat(parts)
  return body[0] === 0x1f && body[1] === 0x8b ? unpacked(body) : body
}

function count(body: Buffer): number {
  let found = 0
  for (let at = body.indexOf(eventKey); at !== -1; at = body.indexOf(eventKey, at + 1)) found++
  return found
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address) process.stdout.write(`http://127.0.0.1:${address.port}\n`)
})
