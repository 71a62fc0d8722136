import { type Answers, answerSeconds, noAnswers } from '@heapferry/domain'
import type { TransportAnswer, Transport } from '@heapferry/posthog'
import type { Tracing } from './tracing.ts'

export interface MeasuredTransport extends Transport {
  /** What was answered since the last call; null where nothing was. */
  taken(): Answers | null
}

/** Counts the answers of a transport, by status and by the time they took, and has each request traced. */
export function measuredTransport(transport: Transport, tracing: Tracing): MeasuredTransport {
  let byStatus: Record<string, number> = {}
  let byTime = [...noAnswers.byTime]
  let totalMs = 0

  function count(status: string, sinceMs: number): void {
    const ms = performance.now() - sinceMs
    byStatus[status] = (byStatus[status] ?? 0) + 1
    const bucket = answerSeconds.findIndex((seconds) => ms <= seconds * 1000)
    const index = bucket === -1 ? answerSeconds.length : bucket
    byTime[index] = (byTime[index] ?? 0) + 1
    totalMs += Math.round(ms)
  }

  return {
    async ready(events) {
      const askedAtMs = performance.now()
      const readiness = await transport.ready(events)
      if (readiness.kind === 'later') count(statusOf(readiness), askedAtMs)
      return readiness
    },
    async send(events) {
      const sentAtMs = performance.now()
      const [answer, status] = await tracing.span('request', { events: events.length }, async (tell) => {
        const answered = await transport.send(events)
        const answeredStatus = statusOf(answered)
        tell({ status: answeredStatus })
        return [answered, answeredStatus] as const
      })
      count(status, sentAtMs)
      return answer
    },
    close: () => transport.close(),
    taken() {
      if (Object.keys(byStatus).length === 0) return null
      const answers = { byStatus, byTime, totalMs }
      byStatus = {}
      byTime = [...noAnswers.byTime]
      totalMs = 0
      return answers
    },
  }
}

function statusOf(answer: TransportAnswer): string {
  switch (answer.kind) {
    case 'stored':
    case 'each':
      return '200'
    case 'later':
      return answer.status === undefined ? 'none' : String(answer.status)
    case 'too_large':
      return '413'
    case 'refused':
      return '400'
    case 'operator':
      return String(answer.status)
  }
}
