import { readFileSync } from 'node:fs'
import path from 'node:path'
import { noAnswers } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { ask, open, seedRun, tallyOf } from './support.ts'

const server = redisForTests()
const docs = path.resolve(import.meta.dirname, '../../docs/monitoring')

interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

test('the metrics of all runs are one valid exposition, and say what the ledger says', async () => {
  await seeded('measured')
  await seeded('measured-too')
  const { text, headers } = await ask(`${await open(server.redis)}/metrics`)
  expect(headers['content-type']).toContain('text/plain; version=0.0.4')
  const samples = parsed(text)
  expect(valueOf(samples, 'heapferry_rows_read_total', { run: 'measured', table: '"odd"\n\\table' })).toBe(20)
  expect(valueOf(samples, 'heapferry_rows_sent_total', { run: 'measured', table: '"odd"\n\\table' })).toBe(17)
  const rejected = { run: 'measured', table: '"odd"\n\\table', reason: 'missing_time' }
  expect(valueOf(samples, 'heapferry_rows_rejected_total', rejected)).toBe(2)
  expect(valueOf(samples, 'heapferry_rows_skipped_total', { ...rejected, reason: 'held_back' })).toBe(1)
  const warned = { run: 'measured', table: '"odd"\n\\table', warning: 'person_processing_disabled' }
  expect(valueOf(samples, 'heapferry_rows_warned_total', warned)).toBe(4)
  expect(valueOf(samples, 'heapferry_rows_left', { run: 'measured-too' })).toBe(10)
  expect(valueOf(samples, 'heapferry_posthog_answers_total', { run: 'measured', status: '429' })).toBe(1)
  expect(valueOf(samples, 'heapferry_posthog_answer_seconds_bucket', { run: 'measured', le: '0.1' })).toBe(0)
  expect(valueOf(samples, 'heapferry_posthog_answer_seconds_bucket', { run: 'measured', le: '0.25' })).toBe(3)
  expect(valueOf(samples, 'heapferry_posthog_answer_seconds_bucket', { run: 'measured', le: '+Inf' })).toBe(4)
  expect(valueOf(samples, 'heapferry_posthog_answer_seconds_count', { run: 'measured' })).toBe(4)
  expect(valueOf(samples, 'heapferry_posthog_answer_seconds_sum', { run: 'measured' })).toBe(1.5)
})

test('a worker that lives and takes no chunk makes the dashboard not ready, and counts as stuck', async () => {
  const run = await seeded('stuck')
  const url = await open(server.redis)
  const pulse = {
    worker: 'host:1',
    atMs: Date.now(),
    startedAtMs: 1,
    awaits: null,
    memoryBytes: 2,
    rate: 0,
    chunks: [],
  }
  await run.ledger.setPulse(run.id, { ...pulse, movedAtMs: Date.now() })
  expect((await ask(`${url}/readyz`)).status).toBe(200)

  const [chunk] = await run.table('taps', 10, [null])
  if (!chunk) throw new Error('no chunk was planned')
  // The events of a run are open once its identities are done.
  await run.ledger.seal(run.id, 'identities', 0)
  await run.queue('events').add([{ chunk, title: 'taps 1' }])
  await run.ledger.setPulse(run.id, { ...pulse, movedAtMs: Date.now() - 120_000 })
  const { status, text } = await ask(`${url}/readyz`)
  expect([status, JSON.parse(text)]).toEqual([503, { ok: false, workers_stuck: 1, trouble: [] }])
  const samples = parsed((await ask(`${url}/metrics`)).text)
  expect(valueOf(samples, 'heapferry_workers_stuck', { run: 'stuck' })).toBe(1)
  await run.ledger.removePulse(run.id, 'host:1')
})

test('the page of machines says of runs and workers what the metrics say', async () => {
  const run = await seeded('shown-too')
  const pulse = {
    startedAtMs: 1,
    awaits: null,
    memoryBytes: 123_000_000,
    chunks: [],
    movedAtMs: Date.now(),
    atMs: Date.now(),
  }
  for (const worker of ['db-1:7', 'db-1:8', 'web-2:7'])
    await run.ledger.setPulse(run.id, { ...pulse, worker, rate: 1234 })
  const url = await open(server.redis)
  const { text } = await ask(`${url}/machines`)
  expect([...text.matchAll(/<h3>([^<]*)/g)].map(([, machine]) => machine)).toEqual(['db-1', 'host', 'web-2'])
  const cellsOf = (name: string) =>
    [...(text.split(`>${name}</`)[1]?.split('</tr>')[0] ?? '').matchAll(/<td[^>]*>([^<]*)/g)].map(([, cell]) => cell)
  expect(cellsOf('db-1:8').slice(0, 4)).toEqual(['shown-too', '1,234', '0', '123 MB'])
  const samples = parsed((await ask(`${url}/metrics`)).text)
  const left = valueOf(samples, 'heapferry_rows_left', { run: 'shown-too' })
  const workers = valueOf(samples, 'heapferry_workers', { run: 'shown-too' })
  expect(cellsOf('shown-too').slice(2)).toEqual([String(left), '0', '0', '0', String(workers)])
})

test.each(['grafana-dashboard.json', 'alerts.yaml'])('%s asks only for metrics that there are', async (file) => {
  await seeded('shown')
  const names = new Set(parsed((await ask(`${await open(server.redis)}/metrics`)).text).map(({ name }) => name))
  const asked = new Set(readFileSync(path.join(docs, file), 'utf8').match(/\bheapferry_\w+/g))
  expect(asked.size).toBeGreaterThan(4)
  expect([...asked].filter((name) => !names.has(name))).toEqual([])
})

async function seeded(name: string) {
  const run = await seedRun(server.redis, name)
  const tally = tallyOf({
    read: 20,
    sent: 17,
    skipped: { held_back: 1 },
    rejected: { missing_time: 2 },
    warned: { person_processing_disabled: 4 },
  })
  await run.table('"odd"\n\\table', 30, [tally, null])
  await run.ledger.addAnswers(run.id, {
    byStatus: { 200: 3, 429: 1 },
    byTime: noAnswers.byTime.with(2, 3).with(noAnswers.byTime.length - 1, 1),
    totalMs: 1500,
  })
  const pulse = {
    worker: 'host:9',
    atMs: Date.now(),
    startedAtMs: 1,
    awaits: null,
    memoryBytes: 2,
    rate: 0,
    chunks: [],
  }
  await run.ledger.setPulse(run.id, { ...pulse, movedAtMs: Date.now() })
  return run
}

/** By the rules of the format: every metric has one HELP and one TYPE before its samples, which stand together. */
function parsed(text: string): Sample[] {
  expect(text.endsWith('\n')).toBe(true)
  const helped = new Set<string>()
  const typed = new Set<string>()
  const samples: Sample[] = []
  const closed = new Set<string>()
  let family = ''
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const comment = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line)
    if (comment) {
      const [, kind, name = ''] = comment
      const seen = kind === 'HELP' ? helped : typed
      expect([name, seen.has(name), closed.has(name)]).toEqual([name, false, false])
      seen.add(name)
      if (family !== '' && family !== name) closed.add(family)
      family = name
      continue
    }
    const sample = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (!sample) throw new Error(`no line of the format: ${line}`)
    const [, name = '', inside = '', value = ''] = sample
    expect(name.replace(/_(?:bucket|sum|count)$/, '').startsWith(family) || name === family).toBe(true)
    expect(typed.has(family)).toBe(true)
    samples.push({ name, labels: labelsOf(inside), value: Number(value) })
  }
  return samples
}

function labelsOf(inside: string): Record<string, string> {
  const pairs = [...inside.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
  return Object.fromEntries(
    pairs.map(([, name = '', value = '']) => [
      name,
      value.replace(/\\(.)/g, (_, sign: string) => (sign === 'n' ? '\n' : sign)),
    ]),
  )
}

function valueOf(samples: readonly Sample[], name: string, labels: Record<string, string>): number | undefined {
  return samples.find(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  )?.value
}
