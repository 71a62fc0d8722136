import { OperatorError } from '@heapferry/domain'

/** For `catch`: what is not there, or is another's, is as nothing. */
export function unlessOperator(error: unknown): null {
  if (error instanceof OperatorError) return null
  throw error
}
