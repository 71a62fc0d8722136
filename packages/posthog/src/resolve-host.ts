import { OperatorError } from '@heapferry/domain'

const clouds: Record<string, string> = { us: 'https://us.i.posthog.com', eu: 'https://eu.i.posthog.com' }

/**
 * `us`, `eu` or the address of a PostHog (with a path where a proxy needs one) → the address without a trailing `/`.
 * @throws OperatorError for anything else
 */
export function resolveHost(host: string): string {
  const text = host.trim()
  const cloud = clouds[text.toLowerCase()]
  if (cloud) return cloud
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.search !== '' || url.hash !== '') {
    throw new OperatorError(
      `expected us, eu or the address of a PostHog, got ${JSON.stringify(host)}`,
      'Set POSTHOG_HOST to us, eu or an address such as https://posthog.example.com',
    )
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}
