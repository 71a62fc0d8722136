import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger, onceAMinute, openTelemetrySurroundings, type Settings } from '@heapferry/config'
import { errorMessage, OperatorError } from '@heapferry/domain'
import { queueTelemetry } from '@heapferry/queue'
import { type Tracing, untraced } from '@heapferry/worker'

// What is left of a worker's time to end when it has handed its chunks over.
const lastWordsMs = 1000

/**
 * Tells OpenTelemetry what workers do, where OTEL_EXPORTER_OTLP_ENDPOINT says to whom; loads nothing else of it. All other
 * OTEL_ variables are read by its SDK. A collector that is away costs traces, no rows, and is told in the log.
 * @throws OperatorError when the packages for it are missing
 */
export async function openTracing(
  settings: Settings,
  logger: Logger,
): Promise<{ tracing: Tracing; closeTracing(): Promise<void> }> {
  if (settings.OTEL_EXPORTER_OTLP_ENDPOINT === undefined) return { tracing: untraced, closeTracing: async () => {} }
  openTelemetrySurroundings(settings)
  const [{ NodeSDK, resources }, api] = await unlessMissing(
    Promise.all([import('@opentelemetry/sdk-node'), import('@opentelemetry/api')]),
  )
  const told = onceAMinute((error) => logger.warn({ err: error }, 'OpenTelemetry'))
  const tell = (message: string): void => told(new Error(message))
  api.diag.setLogger(
    { error: tell, warn: tell, info: silent, debug: silent, verbose: silent },
    { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  // The default detectors add the command line, which names the export.
  const sdk = new NodeSDK({ resourceDetectors: [resources.envDetector, resources.hostDetector] })
  sdk.start()
  // It takes the meter that there is when it is made.
  const queue = await unlessMissing(queueTelemetry())

  const tracer = api.trace.getTracer('heapferry')
  const rows = api.metrics
    .getMeter('heapferry')
    .createCounter('heapferry.rows', { description: 'Rows that have ended.' })
  const tracing: Tracing = {
    queue,
    span: (name, attributes, work) =>
      tracer.startActiveSpan(name, { attributes }, async (span) => {
        try {
          return await work((more) => span.setAttributes(more))
        } catch (error) {
          // Its message may quote what PostHog or a file said; the log has it.
          span.setStatus({ code: api.SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' })
          throw error
        } finally {
          span.end()
        }
      }),
    rows: (count, { run, table }) => rows.add(count, { run, table }),
  }
  return {
    tracing,
    async closeTracing() {
      await Promise.race([sdk.shutdown().catch((error: unknown) => tell(errorMessage(error))), sleep(lastWordsMs)])
    },
  }
}

const silent = (): void => {}

async function unlessMissing<T>(loading: Promise<T>): Promise<T> {
  try {
    return await loading
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause
    throw new OperatorError(
      `OTEL_EXPORTER_OTLP_ENDPOINT is set, and a package for it is not installed: ${errorMessage(cause).split('\n', 1)[0]}`,
      'Install them beside heapferry: npm i @opentelemetry/api@1 @opentelemetry/sdk-node@0.223 bullmq-otel@2. Or unset the variable.',
      { cause },
    )
  }
}
