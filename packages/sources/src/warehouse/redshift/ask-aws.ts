import { errorMessage, OperatorError } from '@heapferry/domain'
import { credentialsHint } from '../../places/s3/operator-fault.ts'
import { statusOf } from '../../places/s3/retried.ts'

interface Asked {
  /** The address of the warehouse. */
  text: string
  /** Of the cluster or workgroup. */
  name: string
  region: string
  /** Of IAM, which are needed for it. */
  actions: readonly string[]
}

/** Asks an API of AWS. @throws OperatorError that says what failed there, caused by what was said */
export async function askAws<T>(send: () => Promise<T>, asked: Asked): Promise<T> {
  try {
    return await send()
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause
    const hasAnswered = statusOf(cause) !== undefined
    const isOfCredentials = /^(?:Credentials|Token)ProviderError$/.test(cause.name)
    const said = `${errorMessage(cause)}${cause.name === 'Error' ? '' : ` (${cause.name})`}`
    throw new OperatorError(
      `${asked.text}: ${hasAnswered ? 'AWS says' : isOfCredentials ? 'there are no credentials of AWS' : 'AWS cannot be reached'}: ${said}`,
      hintOf(cause, asked),
      { cause },
    )
  }
}

function hintOf(error: Error, { name, region, actions }: Asked): string {
  const ofCredentials = credentialsHint(error.name)
  if (ofCredentials !== undefined) return ofCredentials
  if (/NotFound|ValidationException/.test(error.name))
    return `Check what it says, and the host in the address: it stands for ${name} in ${region}. The credentials have to be of the account that has it.`
  if (statusOf(error) === 403 || /^(?:AccessDenied|Unauthorized)/.test(error.name))
    return `Allow ${actions.join(', ')} to the user or role of AWS that this is. The policy to paste is in docs/warehouses.md.`
  if (statusOf(error) === undefined)
    return `Check that this machine may reach the APIs of AWS in ${region} by https. What is unloaded stays: the same command goes on.`
  return 'That is its own answer. What is unloaded stays: the same command goes on.'
}

/** Whether AWS has too much to do, or asks this account to wait. */
export function isThrottledByAws(error: Error): boolean {
  return (
    statusOf(error) === 429 ||
    /^(?:Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|Active\w+Exceeded)/.test(error.name)
  )
}

/** Whether asking AWS again may help. */
export function passesAtAws(error: Error): boolean {
  return isThrottledByAws(error) || error.name === 'TimeoutError' || (statusOf(error) ?? 0) >= 500
}
