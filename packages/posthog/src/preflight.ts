import { Agent } from 'undici'
import { post, type Reply } from './post.ts'
import { answerOf, parseJson } from './transport.ts'

export interface PreflightProblem {
  problem: string
  hint: string
  /** It may be gone in a while without anybody doing something: an outage, not a wrong key. */
  mayPass: boolean
  /** Nothing is known to be wrong, but the key could not be checked: a notice rather than a reason not to send. */
  unchecked?: true
}

/**
 * Asks, without sending an event, whether events would arrive: `/batch/` answers 200 even for a key that no project
 * has, and drops everything. Where there is no `/flags/`, a batch of no events tells whether the host takes events at all.
 * Empty when all is well; no problem ever shows the key.
 */
export async function preflight({
  host,
  apiKey,
  timeoutMs = 10_000,
}: {
  host: string
  apiKey: string
  timeoutMs?: number
}): Promise<PreflightProblem[]> {
  const fault = faultOfKey(apiKey)
  if (fault) return [fault]

  const dispatcher = new Agent()
  try {
    const body = JSON.stringify({ token: apiKey, distinct_id: 'heapferry-preflight' })
    const headers = { 'content-type': 'application/json' }
    const reply = await post(`${host}/flags/?v=2`, { dispatcher, body, headers, timeoutMs })
    if (reply.kind === 'unanswered') {
      return [
        {
          problem: `PostHog cannot be reached at ${host} (${reply.detail})`,
          hint: 'Check POSTHOG_HOST, the network and any proxy or firewall between here and there.',
          mayPass: true,
        },
      ]
    }
    const problem = problemOf(reply, host)
    if (problem !== 'no_flags') return problem === null ? [] : [problem]
    const nothing = JSON.stringify({ api_key: apiKey, batch: [] })
    const ofBatch = await post(`${host}/batch/`, { dispatcher, body: nothing, headers, timeoutMs })
    return [isOfCapture(ofBatch, apiKey) ? keyUnchecked(host, reply.status) : notPostHog(host, reply.status)]
  } finally {
    await dispatcher.destroy()
  }
}

const whereTheKeyIs = 'Copy the project API key ("phc_…") from the settings of the project into POSTHOG_API_KEY.'

function faultOfKey(apiKey: string): PreflightProblem | null {
  if (apiKey.trim() !== apiKey) {
    return { problem: 'the project key has spaces or line breaks around it', hint: whereTheKeyIs, mayPass: false }
  }
  if (apiKey.startsWith('phx_')) {
    return {
      problem: 'the key is a personal API key ("phx_…"), which cannot send events',
      hint: whereTheKeyIs,
      mayPass: false,
    }
  }
  if (/^phc_[\w-]{1,60}$/.test(apiKey)) return null
  return {
    problem: 'the project key does not look like one ("phc_…", at most 64 characters)',
    hint: whereTheKeyIs,
    mayPass: false,
  }
}

type Answered = Extract<Reply, { kind: 'answered' }>

/** What the answer of `/flags/` tells; `no_flags` where it is not one of PostHog's. */
function problemOf({ status, body }: Answered, host: string): PreflightProblem | 'no_flags' | null {
  if (status === 401 || status === 403) {
    return {
      problem: `no project at ${host} has this key`,
      hint: `${whereTheKeyIs} A project in the EU needs POSTHOG_HOST=eu, one in the US POSTHOG_HOST=us.`,
      mayPass: false,
    }
  }
  if (status === 402 || status === 429 || status >= 500) {
    return {
      problem: `PostHog at ${host} answers ${status} at the moment`,
      hint: 'Try again in a few minutes. If only /flags/ is away there, --skip-key-check sends without asking it.',
      mayPass: true,
    }
  }
  // Some servers have a friendly page for every address that they do not know.
  const isPage = parseJson(body) === undefined && body !== ''
  return status >= 200 && status < 300 && !isPage ? null : 'no_flags'
}

/**
 * Whether an answer to a batch of no events is one of PostHog's capture service. Those of 2022 and before took it; the
 * others refuse it, and leave no warning in the project.
 */
function isOfCapture(reply: Reply, apiKey: string): boolean {
  if (reply.kind === 'unanswered') return false
  return reply.status === 400
    ? reply.body.includes('request holds no event')
    : answerOf(reply, apiKey).kind === 'stored'
}

function keyUnchecked(host: string, status: number): PreflightProblem {
  return {
    problem: `the project key could not be checked: ${host} takes events, and has no /flags/ (status ${status})`,
    hint: 'Look for the first events in PostHog: with a key that no project has, all of them are dropped without a word.',
    mayPass: false,
    unchecked: true,
  }
}

function notPostHog(host: string, status: number): PreflightProblem {
  return {
    problem: `${host} does not answer like a PostHog (status ${status} for /flags/)`,
    hint: 'Check POSTHOG_HOST: us, eu, or the address that your SDKs send events to. Where that is right, and takes events all the same, --skip-key-check sends without asking.',
    mayPass: false,
  }
}
