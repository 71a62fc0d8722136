import type { Redis } from 'ioredis'

/**
 * What Redis answers to the commands of a MULTI, in their order.
 * @throws the first error among them
 */
export async function answersOf(multi: ReturnType<Redis['multi']>): Promise<unknown[]> {
  return ((await multi.exec()) ?? []).map(([error, answer]) => {
    if (error) throw error
    return answer
  })
}
