import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { pathToFileURL } from 'node:url'
import type { OutgoingEvent } from '@heapferry/domain'
import { batchTransport, sdkTransport, type Transport, type TransportOptions, v1Transport } from '@heapferry/posthog'

const batchEvents = 1000
const v1Path = '/i/v1/analytics/events'
const batches = 200
const sideBySide = 4

/**
 * What sending costs by itself: 200,000 ready events of about 830 bytes, in batches of 1000, to a server in another
 * process that throws them away. CPU is this process's, user and system, threads of zlib included.
 */
export async function benchTransport(): Promise<{ transport: string; eventsPerS: number; cpuUsPerEvent: number }[]> {
  const server = fork(import.meta.filename, ['discard'], { execArgv: process.execArgv })
  try {
    const [port] = await once(server, 'message')
    const events = Array.from({ length: batchEvents }, (_, n) => sampleEvent(n))
    const options = { host: `http://127.0.0.1:${port}`, apiKey: 'phc_bench' }
    return [
      { transport: 'batch', ...(await measure(batchTransport, options, events)) },
      { transport: 'v1', ...(await measure(v1Transport, options, events)) },
      { transport: 'sdk', ...(await measure(sdkTransport, options, events)) },
    ]
  } finally {
    server.kill()
  }
}

async function measure(
  open: (options: TransportOptions) => Transport,
  options: TransportOptions,
  events: readonly OutgoingEvent[],
): Promise<{ eventsPerS: number; cpuUsPerEvent: number }> {
  const transport = open(options)
  await sendAll(transport, events, sideBySide * 5)
  const startMs = performance.now()
  const cpu = process.cpuUsage()
  await sendAll(transport, events, batches)
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (performance.now() - startMs) / 1000
  await transport.close()
  const sent = batches * batchEvents
  return { eventsPerS: Math.round(sent / seconds), cpuUsPerEvent: Number(((user + system) / sent).toFixed(1)) }
}

async function sendAll(transport: Transport, events: readonly OutgoingEvent[], count: number): Promise<void> {
  let left = count
  async function lane(): Promise<void> {
    while (left > 0) {
      left -= 1
      // A new array is a new request; the same one would be sent as it was.
      const answer = await transport.send([...events])
      if (answer.kind !== 'stored') throw new Error(JSON.stringify(answer))
    }
  }
  await Promise.all(Array.from({ length: sideBySide }, lane))
}

function sampleEvent(n: number): OutgoingEvent {
  const id = (n * 2_654_435_761).toString(16).padStart(12, '0').slice(-12)
  const event = {
    uuid: `018a0000-0000-7000-8000-${id}`,
    event: '$pageview',
    distinct_id: String(4_000_000_000_000_000 + n * 7919),
    timestamp: new Date(1_692_185_821_463 + n * 137).toISOString(),
    properties: {
      $current_url: `https://shop.example.com/products/${n}?color=blue`,
      $host: 'shop.example.com',
      $pathname: `/products/${n}`,
      $referrer: 'https://www.google.com/',
      $referring_domain: 'www.google.com',
      $browser: 'Chrome',
      $browser_version: 115,
      $os: 'Mac OS X',
      $os_version: '10.15.7',
      $device_type: 'Desktop',
      $geoip_city_name: 'Berlin',
      $geoip_country_name: 'Germany',
      $geoip_country_code: 'DE',
      $geoip_disable: true,
      $ip: `10.0.${n % 256}.7`,
      $lib: 'web',
      $session_id: `018a0000-0000-7000-9000-${id}`,
      utm_source: 'newsletter',
      utm_campaign: 'summer',
      title: `Product ${n}`,
      historical_migration: true,
      analytics_source: 'heap',
      $import_job_id: 'shop-2023',
      heap_event_id: String(n * 104_729),
      heap_session_id: String(n * 15_485_863),
    },
  }
  return { uuid: event.uuid, distinct_id: event.distinct_id, json: Buffer.from(JSON.stringify(event)) }
}

async function discard(): Promise<void> {
  // Made once: what the server does is not what is measured.
  const results = Object.fromEntries(
    Array.from({ length: batchEvents }, (_, n) => [sampleEvent(n).uuid, { result: 'ok' }]),
  )
  const answers: Record<string, string> = { '/batch/': '{"status":"Ok"}', [v1Path]: JSON.stringify({ results }) }
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.end(answers[request.url ?? '']))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  process.once('disconnect', () => process.exit())
  if (typeof address === 'object') process.send?.(address?.port)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href && process.argv[2] === 'discard') await discard()
