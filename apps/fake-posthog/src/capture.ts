import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { z } from 'zod'
import { parseTimestampMs, storedTimeMs } from './timestamp.ts'

/** An event as PostHog would store it. */
export interface CapturedEvent {
  uuid: string
  event: string
  distinct_id: string
  /** `YYYY-MM-DDTHH:MM:SS.sssZ` */
  timestamp: string
  properties: Record<string, unknown>
}

export type Capture =
  | {
      kind: 'captured'
      token: string
      historicalMigration: boolean
      sentAt: string | null
      events: readonly CapturedEvent[]
      /** One event is larger than PostHog's queue takes: the answer is 413, yet `events`, those before it, are in. */
      oversized: boolean
    }
  | { kind: 'refused'; status: number; message: string }

export const MiB = 1024 * 1024
/** PostHog's limit on the body as sent. */
export const maxBodyBytes = 20 * MiB
const maxDecompressedBytes = 100 * MiB
/** The limit of one message of PostHog's queue, in which the event's JSON is a string inside JSON. */
const maxEventBytes = 1_000_000
export const maxNameLength = 200

export const tooLarge: Capture = { kind: 'refused', status: 413, message: 'maximum event size exceeded' }

const gunzipAsync = promisify(gunzip)

/** What PostHog's `POST /batch/` makes of a body: every rule that can be kept without a database. */
export async function capture(body: Buffer, contentEncoding: string | undefined, nowMs: number): Promise<Capture> {
  const bytes = await decompress(body, contentEncoding)
  if (!Buffer.isBuffer(bytes)) return bytes
  if (!isUtf8(bytes)) return refused(400, 'failed to decode request: invalid body encoding')

  const text = bytes.toString()
  const json = parseJson(text)
  if (json === undefined) return refused(400, 'failed to parse request: invalid JSON')
  const parsed = RawBatch.safeParse(json)
  // PostHog does not say which event or field it was either.
  if (!parsed.success) {
    return refused(400, 'failed to parse request: data did not match any variant of untagged enum RawRequest')
  }
  const batch = parsed.data

  const token = (batch.api_key ?? batch.token ?? '').trim()
  const tokenFault = faultOfToken(token)
  if (tokenFault) return refused(401, `API key is not valid: ${tokenFault}`)
  if (batch.batch.length === 0) return refused(400, 'request holds no event')

  const sentAtMs = typeof batch.sent_at === 'string' ? parseTimestampMs(batch.sent_at) : null
  const events: CapturedEvent[] = []
  for (const raw of batch.batch) {
    const distinctId = distinctIdOf(raw)
    if (distinctId === null) return refused(400, 'event submitted without a distinct_id')
    if (raw.event === '') return refused(400, 'event submitted with an empty event name')
    events.push(eventOf(raw, distinctId, sentAtMs, nowMs))
  }
  // Escaping at most doubles JSON, so most requests cannot hold an event that is too large.
  const isSmall = bytes.length * 4 < maxEventBytes
  const oversizedAt = isSmall ? -1 : events.findIndex((event, at) => isOversized(batch.batch[at] ?? {}, event, token))
  return {
    kind: 'captured',
    token,
    historicalMigration: batch.historical_migration ?? false,
    sentAt: batch.sent_at ?? null,
    events: oversizedAt === -1 ? events : events.slice(0, oversizedAt),
    oversized: oversizedAt !== -1,
  }
}

/** Why PostHog calls a token malformed, or null. Whether a project has it is another question. */
export function faultOfToken(token: string): string | null {
  if (token === '') return 'empty'
  if (token.length > 64) return 'too_long'
  if (/[^\0-\x7f]/.test(token)) return 'not_ascii'
  if (token.startsWith('phx_')) return 'personal_api_key'
  return token.includes('\0') ? 'null_byte' : null
}

async function decompress(body: Buffer, contentEncoding: string | undefined): Promise<Buffer | Capture> {
  const looksGzipped = body[0] === 0x1f && body[1] === 0x8b && body[2] === 8
  if (!looksGzipped) {
    return contentEncoding === 'gzip' ? refused(400, 'failed to decode request: invalid gzip data') : body
  }
  const bytes = await gunzipped(body, maxDecompressedBytes)
  if (bytes === 'too_long') return tooLarge
  return bytes === 'invalid' ? refused(400, 'failed to decode request: invalid gzip data') : bytes
}

export async function gunzipped(body: Buffer, maxOutputLength: number): Promise<Buffer | 'too_long' | 'invalid'> {
  try {
    return await gunzipAsync(body, { maxOutputLength })
  } catch (error) {
    const isTooLong = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
    return isTooLong ? 'too_long' : 'invalid'
  }
}

/** Undefined where PostHog's parser fails; unlike JavaScript's it refuses half of a surrogate pair. */
function parseJson(text: string): unknown {
  if (hasLoneSurrogate(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function hasLoneSurrogate(json: string): boolean {
  if (!json.includes('\\ud') && !json.includes('\\uD')) return false
  for (const [, pair, half] of json.matchAll(/\\(?:(u[dD][89abAB]..\\u[dD][c-fC-F]..)|(u[dD][89a-fA-F]..)|.)/gs)) {
    if (pair === undefined && half !== undefined) return true
  }
  return false
}

export const JsonObject = z.custom<Record<string, unknown>>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
)
export const uuidText = /^(?:urn:uuid:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$|^[0-9a-f]{32}$/i

/** Typed as in PostHog's capture service: a wrong type anywhere fails the request. Unknown fields are left out. */
const RawEvent = z
  .object({
    event: z.string(),
    distinct_id: z.unknown().optional(),
    $distinct_id: z.unknown().optional(),
    uuid: z.union([z.literal(''), z.string().regex(uuidText)]).nullish(),
    timestamp: z.string().nullish(),
    offset: z.int().nullish(),
    properties: JsonObject.optional(),
    $set: JsonObject.nullish(),
    $set_once: JsonObject.nullish(),
    token: z.string().nullish(),
    api_key: z.string().nullish(),
  })
  .refine((event) => event.distinct_id === undefined || event.$distinct_id === undefined)
type RawEvent = z.infer<typeof RawEvent>

const RawBatch = z
  .object({
    api_key: z.string().optional(),
    token: z.string().optional(),
    historical_migration: z.boolean().nullish(),
    sent_at: z.string().nullish(),
    batch: z.array(RawEvent),
  })
  .refine((batch) => (batch.api_key === undefined) !== (batch.token === undefined))

function distinctIdOf(raw: RawEvent): string | null {
  const value = raw.distinct_id ?? raw.$distinct_id ?? raw.properties?.['distinct_id'] ?? null
  if (value === null) return null
  const text = (typeof value === 'string' ? value : JSON.stringify(value)).replaceAll('\0', '\ufffd')
  if (text.trim() === '') return null
  return cut(text)
}

function eventOf(raw: RawEvent, distinctId: string, sentAtMs: number | null, nowMs: number): CapturedEvent {
  const properties = raw.properties ?? {}
  const sentTime = {
    timestamp: raw.timestamp,
    offsetMs: raw.offset,
    sentAtMs: properties['$ignore_sent_at'] === true ? null : sentAtMs,
  }
  if (raw.$set) properties['$set'] = raw.$set
  if (raw.$set_once) properties['$set_once'] = raw.$set_once
  return {
    uuid: raw.uuid ? canonicalUuid(raw.uuid) : randomUUID(),
    event: cut(raw.event),
    distinct_id: distinctId,
    timestamp: new Date(storedTimeMs(sentTime, nowMs)).toISOString(),
    properties,
  }
}

/** PostHog counts characters, not UTF-16 units. */
function cut(text: string): string {
  return text.length <= maxNameLength ? text : Array.from(text).slice(0, maxNameLength).join('')
}

export function canonicalUuid(text: string): string {
  const lower = text.toLowerCase()
  if (lower.length === 36) return lower
  return lower.replace('urn:uuid:', '').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/**
 * Whether an event is more than one message of PostHog's queue takes: its JSON as a string in an envelope, which repeats
 * what events are told apart by and takes some 350 bytes.
 * @param data what the client sent of it
 */
export function isOversized(
  data: object,
  { uuid, event, distinct_id, timestamp }: CapturedEvent,
  token: string,
): boolean {
  const json = JSON.stringify(data)
  // A UTF-16 unit is at most 3 bytes, and escaping at most doubles.
  if (json.length * 8 <= maxEventBytes) return false
  const [ip, now, sent_at] = ['127.0.0.1', '2026-11-01T00:00:00.000000000+00:00', '2026-11-01T00:00:00.000000Z']
  const envelope = {
    uuid,
    distinct_id,
    ip,
    data: json,
    now,
    sent_at,
    token,
    event,
    timestamp,
    historical_migration: true,
  }
  return Buffer.byteLength(JSON.stringify(envelope)) > maxEventBytes
}

function refused(status: number, message: string): Capture {
  return { kind: 'refused', status, message }
}
