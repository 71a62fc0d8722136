import { setTimeout as sleep } from 'node:timers/promises'
import { OperatorError } from '@heapferry/domain'
import { Agent } from 'undici'
import { z } from 'zod'
import { get, post, type Reply } from './post.ts'
import { parseJson } from './transport.ts'

export interface ApiOptions {
  /** Where people use PostHog, not where events are sent to; without a trailing `/`. */
  appHost: string
  /** `phx_…` */
  personalKey: string
  /** Ends waiting and asking: what is asked then rejects. */
  signal: AbortSignal
  /** Told when PostHog wants to be asked later. */
  onWaiting?: (detail: string, forMs: number) => void
  /** Requests that PostHog takes of one key. */
  limits?: { perMinute: number; perHour: number }
  /** The first wait after an answer that says nothing of how long; doubled up to a minute. */
  firstWaitMs?: number
}

export interface ApiRefused {
  kind: 'refused'
  status: number
  /** In PostHog's words. */
  detail: string
}

export type ApiAnswer<T> = { kind: 'answered'; value: T } | ApiRefused

const timeoutMs = 60_000
const publicLimits = { perMinute: 240, perHour: 2400 }
const longestWaitMs = 60_000
// Two minutes of outage. Then a person should know rather than a command that hangs.
const tries = 8

/**
 * PostHog's API for a personal key: asked no more often than PostHog takes, and again and again until there is an answer
 * that stays the same when asked again. Every method throws an OperatorError where that never comes, or is none of PostHog.
 */
export class PostHogApi {
  readonly #options: ApiOptions
  readonly #turn: () => Promise<void>
  readonly #how: { dispatcher: Agent; headers: Record<string, string>; timeoutMs: number }

  constructor(options: ApiOptions) {
    this.#options = options
    this.#turn = turns(options.limits ?? publicLimits, options.signal)
    this.#how = {
      dispatcher: new Agent(),
      headers: { authorization: `Bearer ${options.personalKey}`, 'content-type': 'application/json' },
      timeoutMs,
    }
  }

  get appHost(): string {
    return this.#options.appHost
  }

  async get<T extends z.ZodType>(path: string, schema: T): Promise<ApiAnswer<z.infer<T>>> {
    const { status, body } = await this.#ask(() => get(`${this.appHost}${path}`, this.#how), staysSo)
    return status === 200 ? this.#parsed(schema, body) : this.#refused(status, body)
  }

  /** `too_much`: the query takes too long, or too much memory. */
  async query<T extends z.ZodType>(
    project: string,
    query: string,
    schema: T,
  ): Promise<ApiAnswer<z.infer<T>> | { kind: 'too_much' }> {
    // Without force_blocking PostHog may answer what it found some time ago.
    const asked = JSON.stringify({
      query: { kind: 'HogQLQuery', query },
      name: 'heapferry verify',
      refresh: 'force_blocking',
    })
    const url = `${this.appHost}/api/projects/${encodeURIComponent(project)}/query/`
    const { status, body } = await this.#ask(
      () => post(url, { ...this.#how, body: asked }),
      (one) => staysSo(one) || isTooMuch(one),
    )
    if (status === 200) return this.#parsed(schema, body)
    return isTooMuch(status) ? { kind: 'too_much' } : this.#refused(status, body)
  }

  /** Breaks off what is in flight. */
  close(): Promise<void> {
    return this.#how.dispatcher.destroy()
  }

  async #ask(exchange: () => Promise<Reply>, isFinal: (status: number) => boolean): Promise<AnsweredReply> {
    const { signal, onWaiting = () => {}, firstWaitMs = 1000 } = this.#options
    let waitMs = firstWaitMs
    for (let attempt = 1; ; attempt++) {
      await this.#turn()
      const reply = await exchange()
      signal.throwIfAborted()
      if (reply.kind === 'answered' && isFinal(reply.status)) return reply
      const isPacing = reply.kind === 'answered' && reply.status === 429
      if (attempt >= tries && !isPacing) throw this.#unreachable(reply)
      const told = reply.kind === 'answered' ? reply.retryAfterMs : null
      const forMs = told ?? waitMs
      waitMs = Math.min(waitMs * 2, longestWaitMs)
      onWaiting(reply.kind === 'answered' ? `PostHog answers ${reply.status}` : reply.detail, forMs)
      await sleep(forMs, undefined, { signal })
    }
  }

  #parsed<T extends z.ZodType>(schema: T, body: string): { kind: 'answered'; value: z.infer<T> } {
    const json = parseJson(body)
    if (json === undefined) throw notPostHog(this.appHost, 'the answer is no JSON')
    const parsed = schema.safeParse(json)
    if (parsed.success) return { kind: 'answered', value: parsed.data }
    const [issue] = parsed.error.issues
    throw notPostHog(this.appHost, `${issue?.path.join('.')}: ${issue?.message}`)
  }

  #refused(status: number, body: string): ApiRefused {
    return { kind: 'refused', status, detail: detailOf(body, this.#options.personalKey) }
  }

  #unreachable(reply: Reply): OperatorError {
    const why =
      reply.kind === 'answered' ? `${reply.status}: ${detailOf(reply.body, this.#options.personalKey)}` : reply.detail
    return new OperatorError(
      `PostHog cannot be asked at ${this.appHost} (${why})`,
      'Try again later. If POSTHOG_HOST is a proxy, set POSTHOG_APP_HOST to where you use PostHog in a browser.',
    )
  }
}

type AnsweredReply = Extract<Reply, { kind: 'answered' }>

function staysSo(status: number): boolean {
  return status !== 429 && status < 500
}

/** Of PostHog's own: it took too long or too much memory (504), or would (512). */
function isTooMuch(status: number): boolean {
  return status === 504 || status === 512
}

/** Lets requests begin as often as PostHog takes them. */
function turns(
  { perMinute, perHour }: { perMinute: number; perHour: number },
  signal: AbortSignal,
): () => Promise<void> {
  const begun: number[] = []
  const firstOf = (limit: number): number => begun[begun.length - limit] ?? Number.NEGATIVE_INFINITY
  return async () => {
    for (;;) {
      const waitMs = Math.max(firstOf(perMinute) + 60_000, firstOf(perHour) + 3_600_000) - performance.now()
      if (waitMs <= 0) break
      await sleep(waitMs, undefined, { signal })
    }
    begun.push(performance.now())
    if (begun.length > perHour) begun.shift()
  }
}

/** What PostHog says of an error, in its own words; never the key. */
function detailOf(body: string, personalKey: string): string {
  const parsed = z.object({ detail: z.string() }).safeParse(parseJson(body))
  return (parsed.success ? parsed.data.detail : body).replaceAll(personalKey, '[personal key]').trim().slice(0, 200)
}

export const whereKeysAreMade =
  'Make one in PostHog under Settings → Personal API keys, with the scopes query:read and project:read.'

export function keyRefused(detail: string): OperatorError {
  return new OperatorError(
    `PostHog does not know the personal key (${detail})`,
    `${whereKeysAreMade} A project in the EU needs a key that was made there.`,
  )
}

export function scopeRefused(detail: string, needed: string): OperatorError {
  return new OperatorError(`The personal key may not do this (${detail})`, needed)
}

export function notPostHog(appHost: string, why: string): OperatorError {
  return new OperatorError(
    `${appHost} does not answer like PostHog (${why})`,
    'If POSTHOG_HOST is a proxy, set POSTHOG_APP_HOST to where you use PostHog in a browser, such as https://us.posthog.com.',
  )
}
