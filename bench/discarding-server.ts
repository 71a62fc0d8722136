import { createServer } from 'node:http'

/** Takes everything, keeps nothing: what is measured is heapferry. Prints its URL and lives until it is killed. */
const server = createServer((request, response) => {
  request.resume()
  request.once('end', () => {
    response.setHeader('content-type', 'application/json')
    response.end(request.url?.startsWith('/flags/') ? '{"flags":{}}' : '{"status":"Ok"}')
  })
})

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address) process.stdout.write(`http://127.0.0.1:${address.port}\n`)
})
