import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

export interface TcpProxy {
  port: number
  /** From now on nothing more passes on the connections that are open, in neither direction, and nobody is told. */
  dropOpen(): void
  /** How many were made. */
  connections(): number
  /** Bytes that were sent on connections after these had been dropped. */
  swallowedBytes(): number
}

/**
 * Stands between a client and a server, as a network does that can lose packets. It ends with the test.
 * @param target its port, asked for at every connection
 */
export async function startTcpProxy(target: number | (() => number)): Promise<TcpProxy> {
  let swallowedBytes = 0
  const open = new Set<{ isDropped: boolean; sockets: Socket[] }>()
  const server = createServer((client) => {
    const upstream = connect(typeof target === 'number' ? target : target(), '127.0.0.1')
    const pair = { isDropped: false, sockets: [client, upstream] }
    open.add(pair)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (data) => {
        if (pair.isDropped) swallowedBytes += data.length
        else to.write(data)
      })
      from.on('end', () => pair.isDropped || to.end())
      from.on('error', () => pair.isDropped || to.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  onTestFinished(async () => {
    for (const { sockets } of open) for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return {
    port: address.port,
    dropOpen() {
      for (const pair of open) pair.isDropped = true
    },
    connections: () => open.size,
    swallowedBytes: () => swallowedBytes,
  }
}
