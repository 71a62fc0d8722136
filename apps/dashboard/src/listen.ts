import { once } from 'node:events'
import type { Server } from 'node:http'
import { errorMessage, OperatorError } from '@heapferry/domain'

/**
 * Listens, and answers the URL to connect to.
 * @throws OperatorError when the port is in use, or the host is not one of this machine's
 */
export async function listen(server: Server, host: string, port: number): Promise<string> {
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  try {
    server.listen({ host: bare, port })
    await once(server, 'listening')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE') {
      throw new OperatorError(
        `Port ${port} is in use, so the dashboard cannot listen there`,
        'Set HEAPFERRY_DASHBOARD_PORT to another port, or to 0 for any free one.',
        { cause },
      )
    }
    throw new OperatorError(
      `The dashboard cannot listen on ${host}, port ${port}: ${errorMessage(cause)}`,
      'Check HEAPFERRY_DASHBOARD_HOST and HEAPFERRY_DASHBOARD_PORT.',
      { cause },
    )
  }
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the dashboard listens at no port')
  return `http://${nameOf(bare)}:${address.port}`
}

function nameOf(host: string): string {
  // They stand for all addresses of this machine and are none to connect to.
  if (host === '0.0.0.0' || host === '::') return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}
