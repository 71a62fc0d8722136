import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError } from '@heapferry/domain'
import { type Redis, redisAnswer } from '@heapferry/queue'

interface Health {
  /** From now on this Redis tells whether it is ready; nothing is before. */
  askFrom(redis: Redis): void
  close(): void
}

// Probes of Kubernetes wait a second unless they are told otherwise.
const answerWithinMs = 900

/**
 * Answers probes of whoever keeps this process alive: `/healthz` with 200 while it turns at all, `/readyz` with 200 while Redis
 * answers, else with 503. A Redis that is away is no reason to start a process anew, so only `/readyz` asks it.
 * @throws OperatorError when the port is taken
 */
export async function serveHealth(port: number | undefined): Promise<Health> {
  let asked: Redis | undefined
  if (port === undefined) return { askFrom: () => {}, close: () => {} }

  async function isReady(): Promise<boolean> {
    if (asked === undefined) return false
    const answer = redisAnswer(asked).then(({ kind }) => kind === 'data')
    return Promise.race([answer, sleep(answerWithinMs, false, { ref: false })])
  }
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
    askFrom(redis) {
      asked = redis
    },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
