import { type Destination, OperatorError } from '@heapferry/domain'
import { preflight } from '@heapferry/posthog'

/** @throws OperatorError when a project's events would not arrive; asked without sending one */
export async function assertReachable(destination: Destination, apiKey: string | null): Promise<void> {
  if (destination.kind !== 'posthog' || apiKey === null) return
  const [first] = await preflight({ host: destination.host, apiKey })
  if (first) throw new OperatorError(first.problem, first.hint)
}
