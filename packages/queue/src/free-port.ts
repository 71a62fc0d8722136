import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Linux gives those from 32768 on to connections, other systems from 49152 on. */
const least = 20_000
const most = 32_767

/**
 * A port of 127.0.0.1 that nothing listens at, for a server that has to get it back after it died. No connection is given
 * such a one by its system: not even a client's that tries the dead server again and again, and would else be connected to
 * itself in the end, on the port that it tries.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(least, most + 1)
    if (await isFree(port)) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  } catch (fault) {
    if (fault instanceof Error && 'code' in fault && (fault.code === 'EADDRINUSE' || fault.code === 'EACCES'))
      return false
    throw fault
  }
  server.close()
  await once(server, 'close')
  return true
}
