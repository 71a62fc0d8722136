import { type Destination, OperatorError, visible } from '@heapferry/domain'
import type { Settings } from '@heapferry/config'
import { preflight } from '@heapferry/posthog'
import { say } from './print.ts'

/** What is said where nobody asks whether a project has the key. */
export const keyCheckSkipped = 'The project key is not checked (HEAPFERRY_SKIP_KEY_CHECK, --skip-key-check)'

/**
 * Asks, without sending an event, and says so where it cannot be found out.
 * @throws OperatorError when a project's events would not arrive
 */
export async function assertReachable(
  destination: Destination,
  apiKey: string | null,
  { HEAPFERRY_SKIP_KEY_CHECK: skip }: Settings,
): Promise<void> {
  if (destination.kind !== 'posthog' || apiKey === null) return
  if (skip) {
    say(`${keyCheckSkipped}.`)
    return
  }
  const [first] = await preflight({ host: destination.host, apiKey })
  if (!first) return
  if (!first.unchecked) throw new OperatorError(first.problem, first.hint)
  say(visible(`NOTICE: ${first.problem}. ${first.hint}`))
}
