import type { Telemetry } from 'bullmq'

export type QueueTelemetry = Telemetry

/** What BullMQ tells OpenTelemetry of jobs: spans, and how many were completed or failed. Needs `bullmq-otel`, an optional peer. */
export async function queueTelemetry(): Promise<QueueTelemetry> {
  const { BullMQOtel } = await import('bullmq-otel')
  return new BullMQOtel({ tracerName: 'heapferry', meterName: 'heapferry', enableMetrics: true })
}
