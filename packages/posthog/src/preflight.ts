import { Agent } from 'undici'
import { post } from './post.ts'

export interface PreflightProblem {
  problem: string
  hint: string
  /** It may be gone in a while without anybody doing something: an outage, not a wrong key. */
  mayPass: boolean
}

/**
 * Asks, without sending an event, whether events would arrive: `/batch/` answers 200 even for a key that no project
 * has, and drops everything. Empty when all is well; no problem ever shows the key.
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
    return problemsOfStatus(reply.status, host)
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

function problemsOfStatus(status: number, host: string): PreflightProblem[] {
  if (status >= 200 && status < 300) return []
  if (status === 401 || status === 403) {
    return [
      {
        problem: `no project at ${host} has this key`,
        hint: `${whereTheKeyIs} A project in the EU needs POSTHOG_HOST=eu, one in the US POSTHOG_HOST=us.`,
        mayPass: false,
      },
    ]
  }
  if (status === 402 || status === 429 || status >= 500) {
    return [
      {
        problem: `PostHog at ${host} answers ${status} at the moment`,
        hint: 'Try again in a few minutes.',
        mayPass: true,
      },
    ]
  }
  return [
    {
      problem: `${host} does not answer like a PostHog (status ${status} for /flags/)`,
      hint: 'Check POSTHOG_HOST: us, eu, or the address that your SDKs send events to.',
      mayPass: false,
    },
  ]
}
