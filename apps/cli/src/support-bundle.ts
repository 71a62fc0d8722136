import { readFile } from 'node:fs/promises'
import { arch, constants, cpus, platform, release, totalmem } from 'node:os'
import { homeOf, type Settings, settingsSchema } from '@heapferry/config'
import type { Run } from '@heapferry/domain'
import { readRun } from '@heapferry/migration'
import { redisFacts } from '@heapferry/queue'
import { z } from 'zod'
import type { OpenLedger } from './open-ledger.ts'
import { ownWords } from './own-words.ts'
import { version } from './version.ts'

/** What a bundle holds, in words for the person who sends it on. */
export const bundleContents = [
  'versions and machine: heapferry, Node, system, memory',
  'settings: which are set; of numbers and choices also to what',
  'the run: state, counts by table and reason, phases, chunks, workers, answers of PostHog, timeline',
  'Redis: version, memory, persistence, what it refused',
  "the last lines of the run's logs on this machine",
] as const

/** What it holds none of, and what stands there instead. */
export const bundleOmissions =
  'No row, key, password, address, path, or name of a person, machine, table of yours, file or run: numbers stand for them, and … for every word that is not of heapferry itself.'

const logLines = 300
const levels: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }

/** All that helps somebody else to see what is the matter with a run, and nothing that is not theirs to see. */
export async function supportBundle(run: Run, { ledger, redis }: OpenLedger, settings: Settings): Promise<object> {
  const { status, queue, workers } = await readRun(run.id, ledger)
  const [files, timeline, answers, latest] = await Promise.all([
    ledger.files(run.id),
    ledger.timeline(run.id),
    ledger.answers(run.id),
    ledger.latestPoint(run.id),
  ])
  const of = redaction(run)
  const logs: Record<string, unknown> = {}
  for (const role of ['run', 'worker', 'retry']) {
    logs[role] = of(await lastLines(homeOf(settings.HEAPFERRY_HOME).log(run.id, role)))
  }
  return {
    format: 'heapferry-support-1',
    contents: bundleContents,
    omissions: bundleOmissions,
    versions: { heapferry: version, node: process.versions.node, system: `${platform()} ${release()} ${arch()}` },
    machine: { cpus: cpus().length, memory_bytes: totalmem() },
    settings: shapeOf(settings),
    run: {
      created_at: new Date(run.createdAtMs).toISOString(),
      source: run.source.split(':', 1)[0] === run.source ? 'folder' : of({ kind: run.source.split(':', 1)[0] }),
      destination: { kind: run.destination.kind },
      include_recent: run.includeRecent,
      max_rejected_percent: run.maxRejectedPercent,
      chunk_bytes: run.chunkBytes,
      hashes: run.saltFingerprint !== null,
      mapping: Object.keys(run.mapping),
    },
    status: of(status),
    queue: of(queue),
    workers: of(workers),
    answers: of(answers),
    latest: of(latest),
    files: of(
      files.map(({ path, table, format, compression, version: { sizeBytes }, columns }) => ({
        path,
        table: table.name,
        kind: table.kind,
        format: format.kind,
        compression,
        sizeBytes,
        columns: columns.length,
      })),
    ),
    timeline: of(timeline),
    redis: await redisFacts(redis),
    logs,
  }
}

/** Which settings are set; to what only where no text can be given. */
function shapeOf(settings: Settings): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(settingsSchema.shape).map((name) => {
      const value = Object.entries(settings).find(([key]) => key === name)?.[1]
      const isClosed = ['number', 'boolean'].includes(typeof value) || closedSettings.has(name)
      return [name, value === undefined ? null : isClosed ? value : 'set']
    }),
  )
}

const closedSettings = new Set(['HEAPFERRY_TRANSPORT', 'HEAPFERRY_WAREHOUSE_TLS', 'LOG_LEVEL'])

/** Fields whose text is one of a closed list, as the code has them, Node.js or the system. */
const closedFields = new Set(
  'kind,state,phase,role,msg,type,code,transport,format,compression,awaits,verdict,against,how,what,outcome,reason'.split(
    ',',
  ),
)

/** Fields that name something of the customer's, by what a number is given to. */
const namingFields: Readonly<Record<string, string>> = {
  by: 'person',
  table: 'table',
  name: 'name',
  worker: 'worker',
  path: 'file',
  file: 'file',
  chunk: 'chunk',
  id: 'chunk',
  run: 'run',
}

const heapsOwnTables = new Set(['users', 'user_migrations', 'sessions', 'pageviews', 'all_events', 'first_touch'])

/** The same value with nothing of the customer's in it. A name has the same number wherever it stands. */
function redaction(run: Run): (value: unknown) => unknown {
  const words = ownWords()
  const known = new Map<string, string>([
    [run.id, 'this run'],
    ['heapferry', 'heapferry'],
  ])
  const counts = new Map<string, number>()

  function numbered(kind: string, name: string): string {
    if (kind === 'table' && heapsOwnTables.has(name)) return name
    const before = known.get(`${kind} ${name}`) ?? known.get(name)
    if (before !== undefined) return before
    const count = (counts.get(kind) ?? 0) + 1
    counts.set(kind, count)
    known.set(`${kind} ${name}`, `${kind} ${count}`)
    return `${kind} ${count}`
  }

  function text(value: string, field: string): string | string[] {
    if (field === 'stack') return placesOf(value)
    if (field === 'time') return Number.isNaN(Date.parse(value)) ? '…' : new Date(value).toISOString()
    const kind = namingFields[field]
    if (kind !== undefined) return numbered(kind, value)
    const isClosed = words.has(value) || value in globalThis || value in constants.errno
    return closedFields.has(field) && isClosed ? value : words.of(value)
  }

  function of(value: unknown, field: string): unknown {
    if (typeof value === 'string') return text(value, field)
    if (Array.isArray(value)) return value.map((one) => of(one, field))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, key === 'level' ? levels[Number(one)] : of(one, key)]),
    )
  }
  return (value) => of(value, '')
}

/** Where in the code: the names of its files, without the folders that they lie in, and lines. */
function placesOf(stack: string): string[] {
  return [...stack.matchAll(/\n\s+at .*?([\w.-]+\.(?:[cm]?[jt]s)|node:[\w/]+):(\d+):\d+\)?(?=\n|$)/g)].map(
    ([, file, line]) => `${file}:${line}`,
  )
}

const LogLine = z.looseObject({ level: z.number(), time: z.string() })

async function lastLines(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return null
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.slice(-logLines).flatMap((line) => {
    const parsed = LogLine.safeParse(parsedOrNull(line))
    return parsed.success ? [withoutSettings(parsed.data)] : []
  })
}

function parsedOrNull(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // A line that was cut off, or that somebody else has written.
    return null
  }
}

/** Those are told beside the logs; process and host are of no use elsewhere. */
function withoutSettings(line: z.infer<typeof LogLine>): object {
  return Object.fromEntries(Object.entries(line).filter(([field]) => field !== 'settings' && field !== 'pid'))
}
