import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError } from '@heapferry/domain'

// Probes of Kubernetes wait a second unless they are told otherwise.
const answerWithinMs = 900

/**
 * Answers probes of whoever keeps this process alive: `/healthz` with 200 while it turns at all, `/readyz` with 200 while it
 * can do its work, else with 503. A Redis that is away is no reason to start a process anew, so only `/readyz` asks it.
 * @param ask Redis, in whatever way; until it is given nothing is ready
 * @throws OperatorError when the port is taken
 */
export async function serveHealth(
  port: number | undefined,
): Promise<{ askFrom(ask: () => Promise<unknown>): void; close(): void }> {
  let asking: (() => Promise<unknown>) | undefined
  if (port === undefined) return { askFrom: () => {}, close: () => {} }

  const isReady = () =>
    Promise.race([
      asking?.().then(
        () => true,
        () => false,
      ) ?? false,
      sleep(answerWithinMs, false, { ref: false }),
    ])
  const statusOf = async (path: string | undefined) => {
    if (path === '/healthz') return 200
    return path === '/readyz' ? ((await isReady()) ? 200 : 503) : 404
  }
  const server = createServer(({ url }, response) => {
    void statusOf(url).then((status) => response.writeHead(status).end())
  })
  server.listen(port)
  await once(server, 'listening').catch((cause: unknown) => {
    throw new OperatorError(
      `Probes cannot be answered at port ${port}: ${errorMessage(cause)}`,
      'Set HEAPFERRY_HEALTH_PORT to a free port, or unset it.',
      { cause },
    )
  })
  return {
    askFrom(ask) {
      asking = ask
    },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
