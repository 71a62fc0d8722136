import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import { z } from 'zod'
import {
  canonicalUuid,
  type CapturedEvent,
  faultOfToken,
  gunzipped,
  hasLoneSurrogate,
  isOversized,
  JsonObject,
  maxNameLength,
  MiB,
  uuidText,
} from './capture.ts'
import { parseRfc3339Ms, storedTimeMs } from './timestamp.ts'

/** An event of a request to v1, and PostHog's answer for it unless a fault has another. */
export interface JudgedEvent {
  /** As PostHog would store it, if it does. */
  event: CapturedEvent
  result: 'ok' | 'drop'
  details?: string
}

export type CaptureV1 =
  | { kind: 'captured'; token: string; historicalMigration: boolean; events: readonly JudgedEvent[] }
  | { kind: 'refused'; status: number; error: string; description: string }

/** PostHog's limit on the body as sent, half of what `/batch/` takes. */
export const maxBodyBytesV1 = 10 * MiB
const maxDecompressedBytes = 50 * MiB

/**
 * What PostHog's `POST /i/v1/analytics/events` makes of a request: headers and uuids decide about the whole of it, all else
 * about single events. Of the encodings that PostHog unpacks, this one knows gzip.
 *
 * @param body null for one over the limit
 */
export async function captureV1(body: Buffer | null, headers: IncomingHttpHeaders, nowMs: number): Promise<CaptureV1> {
  const context = contextOf(headers)
  if (context.kind === 'refused') return context
  if (body === null) return refused(413, 'payload_too_large', 'payload too large: Request body exceeds limit')
  if (body.length === 0) return refused(400, 'empty_body', 'request body is empty')
  const bytes = await decompress(body, headers['content-encoding'])
  if (!Buffer.isBuffer(bytes)) return bytes

  const parsed = RawBatchV1.safeParse(isUtf8(bytes) ? parseJsonV1(bytes.toString()) : undefined)
  if (!parsed.success) return refused(400, 'request_parsing_error', 'Failed to parse request body.')
  const { created_at: createdAt, historical_migration: historicalMigration, batch } = parsed.data
  if (batch.length === 0) return refused(400, 'empty_batch', 'request batch is empty')
  if (parseRfc3339Ms(createdAt) === null) {
    return refused(400, 'invalid_batch', `invalid batch: created_at is not valid RFC 3339: ${createdAt}`)
  }

  const uuids = new Set<string>()
  for (const { uuid } of batch) {
    if (uuid === '') return refused(400, 'missing_event_uuid', 'event submitted without a uuid')
    if (!uuidText.test(uuid)) return refused(400, 'invalid_event_uuid', `invalid event uuid: ${uuid}`)
    const canonical = canonicalUuid(uuid)
    if (uuids.has(canonical)) return refused(400, 'duplicate_event_uuid', `duplicate event uuid: ${uuid}`)
    uuids.add(canonical)
  }
  const events = batch.map((raw) => judged(raw, context, nowMs))
  return { kind: 'captured', token: context.token, historicalMigration, events }
}

type Context = { kind: 'context'; token: string; sentAtMs: number; sdk: { name: string; version: string } | null }

const requiredHeaders = [
  'posthog-sdk-info',
  'posthog-attempt',
  'posthog-request-id',
  'posthog-request-timestamp',
  'content-type',
  'user-agent',
]

function contextOf(headers: IncomingHttpHeaders): Context | Extract<CaptureV1, { kind: 'refused' }> {
  const { authorization } = headers
  if (authorization === undefined) return refused(401, 'missing_authorization', 'missing Authorization header')
  const missing = requiredHeaders.filter((name) => headers[name] === undefined)
  if (missing.length > 0) {
    return refused(400, 'missing_required_headers', `request is missing required headers: ${missing.join(', ')}`)
  }
  const invalid = (text: string) => refused(400, 'invalid_header_value', `invalid header value: ${text}`)
  const of = (name: string) => String(headers[name])

  const token = /^bearer (.*)$/i.exec(authorization)?.[1]?.trim()
  if (token === undefined) return invalid('Authorization must use Bearer scheme')
  if (faultOfToken(token) !== null) return refused(401, 'invalid_api_token', 'The provided API token is not valid.')
  if (!/^application\/json\s*(?:;|$)/i.test(of('content-type'))) {
    return refused(415, 'unsupported_content_type', `unsupported content type: ${of('content-type')}`)
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'gzip') {
    return refused(415, 'unsupported_encoding', `unsupported content encoding: ${encoding}`)
  }
  if (!uuidText.test(of('posthog-request-id'))) return invalid('PostHog-Request-Id is not a valid UUID')
  if (!/^\+?0*[1-9]\d*$/.test(of('posthog-attempt'))) return invalid('PostHog-Attempt must be a positive integer')
  const sentAtMs = parseRfc3339Ms(of('posthog-request-timestamp'))
  if (sentAtMs === null) return invalid('PostHog-Request-Timestamp is not valid RFC 3339')
  const sdk = /^(.*)\/(.*)$/.exec(of('posthog-sdk-info'))
  const [name, version] = [sdk?.[1]?.trim(), sdk?.[2]?.trim()]
  return { kind: 'context', token, sentAtMs, sdk: name && version ? { name, version } : null }
}

async function decompress(
  body: Buffer,
  encoding: string | undefined,
): Promise<Buffer | Extract<CaptureV1, { kind: 'refused' }>> {
  if (encoding === undefined) return body
  const bytes = await gunzipped(body, maxDecompressedBytes)
  if (bytes === 'too_long')
    return refused(413, 'payload_too_large', 'payload too large: decompressed gzip payload exceeds limit')
  return bytes === 'invalid' ? refused(400, 'request_decoding_error', 'Failed to decode request body.') : bytes
}

/** Undefined where no JavaScript reads it either; half of a surrogate pair is a matter of where it stands. */
function parseJsonV1(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const Text = z.string().refine((text) => !/\p{Surrogate}/u.test(text))
const Trimmed = Text.transform((text) => text.trim())

/**
 * Typed as in PostHog's capture service: a wrong type fails the request, and so does half of a surrogate pair, except in
 * `properties`, which PostHog passes on without reading them. Unknown fields are left out.
 */
const RawEventV1 = z.object({
  event: Text,
  uuid: Trimmed,
  distinct_id: Trimmed,
  timestamp: Text,
  session_id: Text.nullish(),
  window_id: Text.nullish(),
  options: z
    .unknown()
    .refine((options) => !hasLoneSurrogate(JSON.stringify(options) ?? ''))
    .optional(),
  properties: z.unknown().optional(),
})
type RawEventV1 = z.infer<typeof RawEventV1>

const RawBatchV1 = z.object({
  created_at: Text,
  historical_migration: z.boolean().default(false),
  capture_internal: z.boolean().nullish(),
  batch: z.array(RawEventV1),
})

/** What PostHog reads as true or false; text and numbers too. */
const Flag = z
  .union([
    z.boolean(),
    z.number().transform((value) => value !== 0),
    z
      .string()
      .transform((text) => text.trim().toLowerCase())
      .pipe(z.enum(['true', '1', 'false', '0']))
      .transform((text) => text === 'true' || text === '1'),
  ])
  .nullish()

const Options = z
  .object({
    cookieless_mode: Flag,
    disable_skew_correction: Flag,
    process_person_profile: Flag,
    product_tour_id: z.union([z.string(), z.int().transform(String)]).nullish(),
  })
  .nullish()

function judged(raw: RawEventV1, { token, sentAtMs, sdk }: Context, nowMs: number): JudgedEvent {
  const { event, distinct_id, timestamp, session_id, window_id } = raw
  const uuid = canonicalUuid(raw.uuid)
  const options = Options.safeParse(raw.options)
  const properties = JsonObject.safeParse(raw.properties === undefined ? {} : raw.properties)
  const details = faultOf(raw) ?? (properties.success ? null : 'malformed_event_properties')
  const readAs = { uuid, event, distinct_id, timestamp, properties: properties.data ?? {} }
  if (details !== null) return { event: readAs, result: 'drop', details }
  if (!options.success) return { event: readAs, result: 'drop', details: 'invalid_options' }

  const { cookieless_mode, disable_skew_correction, process_person_profile, product_tour_id } = options.data ?? {}
  // Without the correction PostHog stores what it is told, however far in the future.
  const timeMs =
    (disable_skew_correction === true ? parseRfc3339Ms(timestamp) : null) ??
    storedTimeMs({ timestamp, offsetMs: null, sentAtMs }, nowMs)
  const stored: CapturedEvent = {
    ...readAs,
    timestamp: new Date(timeMs).toISOString(),
    // Appended to what the client sent, and so stronger.
    properties: {
      ...readAs.properties,
      ...given({
        $session_id: session_id,
        $window_id: window_id,
        $cookieless_mode: cookieless_mode,
        $ignore_sent_at: disable_skew_correction,
        $product_tour_id: product_tour_id,
        $process_person_profile: process_person_profile,
        $lib: sdk?.name,
        $lib_version: sdk?.version,
      }),
    },
  }
  if (isOversized({ ...stored, timestamp }, stored, token)) {
    return { event: stored, result: 'drop', details: 'event_too_big' }
  }
  if (illegalDistinctIds.has(distinct_id.toLowerCase())) {
    return { event: stored, result: 'ok', details: 'person_processing_disabled' }
  }
  return { event: stored, result: 'ok' }
}

/** PostHog counts bytes here. */
function faultOf({ event, distinct_id, timestamp }: RawEventV1): string | null {
  if (event === '$performance_event') return 'dropped_performance_event'
  if (event === '') return 'missing_event_name'
  if (Buffer.byteLength(event) > maxNameLength) return 'event_name_too_long'
  if (distinct_id === '') return 'missing_distinct_id'
  if (Buffer.byteLength(distinct_id) > maxNameLength) return 'distinct_id_too_large'
  return parseRfc3339Ms(timestamp) === null ? 'invalid_event_timestamp' : null
}

/** Compared without regard to case, unlike by the merges of `/batch/`. */
const illegalDistinctIds = new Set(
  (
    '0 00000000-0000-0000-0000-000000000000 anonymous anonymous-user backend distinct_id distinctid email false guest ' +
    'id nan none not_authenticated null system true undefined user'
  )
    .split(' ')
    .concat('[object object]'),
)

function given(values: Record<string, string | boolean | null | undefined>): Record<string, string | boolean> {
  const kept: Record<string, string | boolean> = {}
  for (const [name, value] of Object.entries(values)) if (value !== null && value !== undefined) kept[name] = value
  return kept
}

function refused(status: number, error: string, description: string): Extract<CaptureV1, { kind: 'refused' }> {
  return { kind: 'refused', status, error, description }
}
