import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { EventSink, OutgoingEvent, PostHogEvent } from '@heapferry/domain'
import { openSink } from '@heapferry/worker'
import { expect, onTestFinished, test } from 'vitest'
import { outgoingEvent, outgoingEvents } from '../posthog/outgoing-events.ts'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'

const origin = { table: { kind: 'event', name: 'signup' }, day: 19_359, name: '0123456789ab-000000-0' } as const

async function openFolder(): Promise<{ sink: EventSink; folder: string }> {
  const folder = await temporaryFolder()
  const access = { apiKey: null, transport: 'auto', s3: noS3 } as const
  const pacer = { take: () => Promise.reject(new Error('files have no pace')), later: () => Promise.resolve() }
  const listener = { onWaiting: () => {}, onTransport: () => {}, onOtherWarning: () => {} }
  const { sink, closeSink } = await openSink({ kind: 'json_lines', root: folder }, access, pacer, listener)
  onTestFinished(closeSink)
  return { sink, folder }
}

async function filesIn(folder: string): Promise<Map<string, PostHogEvent[]>> {
  const names = await readdir(folder, { recursive: true })
  const files = names.filter((name) => name.endsWith('.gz')).toSorted()
  const read = async (name: string): Promise<[string, PostHogEvent[]]> => {
    const text = gunzipSync(await readFile(path.join(folder, name))).toString()
    const lines = text.trimEnd().split('\n')
    return [name, lines.map((line): PostHogEvent => JSON.parse(line))]
  }
  return new Map(await Promise.all(files.map(read)))
}

function write(sink: EventSink, events: readonly OutgoingEvent[]) {
  return sink.send(events, new AbortController().signal, origin)
}

test('every line keeps its event and tells PostHog to leave the timestamp as it is', async () => {
  const { sink, folder } = await openFolder()
  const events = outgoingEvents(3)
  expect(await write(sink, events)).toEqual({ kind: 'acknowledged', refused: [], warned: {} })
  const [[name, lines] = ['', []], ...others] = await filesIn(folder)
  expect([name, others]).toEqual(['2-events/2023-01-02/signup-0123456789ab-000000-0.jsonl.gz', []])
  expect(lines).toEqual(
    events.map(({ json }) => {
      const event: PostHogEvent = JSON.parse(Buffer.from(json).toString())
      return { ...event, properties: { ...event.properties, $ignore_sent_at: true } }
    }),
  )
})

test('an event that the export has three times stands in a file once, and the others are counted as repeated', async () => {
  const { sink, folder } = await openFolder()
  const [a, b] = [outgoingEvent(1), outgoingEvent(2)]
  expect(await write(sink, [a, b, a, a])).toEqual({ kind: 'acknowledged', refused: [], warned: { repeated: 2 } })
  const files = [...(await filesIn(folder)).values()]
  expect(files.map((lines) => lines.map(({ uuid }) => uuid))).toEqual([[a.uuid, b.uuid]])
})

test('two events with one uuid that differ go into two files, so that PostHog gets both and no request holds a uuid twice', async () => {
  const { sink, folder } = await openFolder()
  const first = outgoingEvent(1)
  const second = outgoingEvent(1, { distinct_id: 'someone else' })
  const third = outgoingEvent(1, { distinct_id: 'a third' })
  const events = [first, outgoingEvent(2), second, first, third, second]
  expect(await write(sink, events)).toMatchObject({ warned: { repeated: 2 } })
  const files = [...(await filesIn(folder)).values()]
  const written = files.map((lines) => lines.map(({ distinct_id }) => distinct_id))
  expect(written.toSorted((a, b) => b.length - a.length)).toEqual([
    [first.distinct_id, outgoingEvent(2).distinct_id],
    ['someone else'],
    ['a third'],
  ])
})

test('a batch that is repeated after a crash leaves the same files with the same bytes', async () => {
  const { sink, folder } = await openFolder()
  const events = [outgoingEvent(1), outgoingEvent(2), outgoingEvent(1, { event: 'other' }), outgoingEvent(1)]
  await write(sink, events)
  const bytesOf = async () => {
    const names = [...(await filesIn(folder)).keys()]
    return Promise.all(names.map(async (name) => [name, (await readFile(path.join(folder, name))).toString('hex')]))
  }
  const before = await bytesOf()
  await write(sink, events)
  expect(before).toHaveLength(2)
  expect(await bytesOf()).toEqual(before)
})
