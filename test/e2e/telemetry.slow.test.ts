import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { openPrivateRedis } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_telemetry000000000000000000000000000000000'
const person = 'canary@example.com'

const Attribute = z.object({ key: z.string(), value: z.looseObject({}) })
const Span = z.looseObject({
  name: z.string(),
  spanId: z.string(),
  traceId: z.string(),
  parentSpanId: z.string().default(''),
  attributes: z.array(Attribute),
})
const Traces = z.object({
  resourceSpans: z.array(
    z.looseObject({
      resource: z.looseObject({ attributes: z.array(Attribute) }),
      scopeSpans: z.array(z.looseObject({ spans: z.array(Span) })),
    }),
  ),
})
const Metrics = z.object({
  resourceMetrics: z.array(
    z.looseObject({ scopeMetrics: z.array(z.looseObject({ metrics: z.array(z.looseObject({ name: z.string() })) })) }),
  ),
})

test('where a collector is named it is told of chunks, their slices, requests and rows, and of nothing that a row holds', async () => {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const home = path.join(folder, 'home')
  const redis = await openPrivateRedis({ home, serverCandidates })
  onTestFinished(() => redis.close())
  const collector = await startCollector()
  await mkdir(path.join(folder, 'export'))
  const rows = Array.from({ length: 50 }, (_, index) => `${index + 1},2,2023-01-02 03:04:05,${person}`)
  await writeFile(path.join(folder, 'export', 'clicks.csv'), `event_id,user_id,time,email\n${rows.join('\n')}\n`)
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: home,
    REDIS_URL: redis.url,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  }
  const options = { cwd: folder, env }
  expect((await heapferry(['enqueue', 'export', '--run', 'told'], options).ended).code).toBe(0)
  const worker = heapferry(['worker'], options)
  await until('all is sent', () => posthog.stored.size === 50)
  await until('the run is over', async () => {
    const { stdout } = await heapferry(['status', 'told', '--json'], options).ended
    return JSON.parse(stdout).state === 'completed'
  })
  worker.child.kill('SIGTERM')
  expect(await worker.ended).toMatchObject({ code: 0 })

  const traces = collector.bodies('/v1/traces').flatMap((body) => Traces.parse(body).resourceSpans)
  const spans = traces.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
  const only = (name: string) => {
    const found = spans.filter((span) => span.name === name)
    expect([name, found.length]).toEqual([name, 1])
    return found[0] ?? Span.parse({})
  }
  const [chunk, slice, request] = [only('chunk'), only('slice'), only('request')]
  expect(attributesOf(chunk)).toMatchObject({ run: 'told', phase: 'events', table: 'clicks', outcome: 'finished' })
  expect(attributesOf(slice)).toEqual({ events: '50', table: 'clicks' })
  expect(attributesOf(request)).toEqual({ events: '50', status: '200' })
  expect([slice.parentSpanId, request.parentSpanId]).toEqual([chunk.spanId, slice.spanId])
  // BullMQ's own, of the job.
  expect(spans.find(({ spanId }) => spanId === chunk.parentSpanId)?.name).toContain('process')
  expect(traces[0]?.resource.attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'heapferry' } })

  const metrics = collector
    .bodies('/v1/metrics')
    .flatMap((body) => Metrics.parse(body).resourceMetrics)
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
  const told = metrics.find(({ name }) => name === 'heapferry.rows')
  expect(JSON.stringify(told)).toMatch(/"as(?:Int|Double)":"?50/)
  expect(metrics.map(({ name }) => name)).toContain('bullmq.jobs.completed')
  expect(collector.all()).not.toMatch(new RegExp(`${person}|${apiKey}|${folder}`))
})

test('a collector that is away costs no row, and the log says so', async () => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'clicks.csv'), 'event_id,user_id,time\n1,2,2023-01-02 03:04:05\n')
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const redis = await openPrivateRedis({ home: path.join(folder, 'home'), serverCandidates })
  onTestFinished(() => redis.close())
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: redis.url,
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
    OTEL_BSP_SCHEDULE_DELAY: '100',
    OTEL_EXPORTER_OTLP_TIMEOUT: '300',
  }
  expect((await heapferry(['enqueue', 'clicks.csv'], { cwd: folder, env }).ended).code).toBe(0)
  const worker = heapferry(['worker'], { cwd: folder, env })
  await until('all is sent', () => posthog.stored.size === 1)
  await until('the log tells', () => /"msg":"OpenTelemetry"/.test(worker.stderr()))
  worker.child.kill('SIGTERM')
  expect(await worker.ended).toMatchObject({ code: 0 })
})

function attributesOf({ attributes }: z.infer<typeof Span>): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]))
}

/** Takes what is sent to it by OTLP over HTTP, as JSON. */
async function startCollector() {
  const received: { path: string; body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (part) => (body += part))
    request.on('end', () => {
      received.push({ path: request.url ?? '', body })
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    bodies: (at: string): unknown[] => received.filter((one) => one.path === at).map((one) => JSON.parse(one.body)),
    all: () => JSON.stringify(received),
  }
}
