import type { Redis } from '../redis-client.ts'

export const scannedAtOnce = 1000

/** Fields and values of a hash, however large it is; one may come twice while the hash grows or shrinks. */
export async function* scanHash(redis: Redis, key: string): AsyncGenerator<[string, string][]> {
  let cursor = '0'
  do {
    const [next, flat] = await redis.hscan(key, cursor, 'COUNT', scannedAtOnce)
    yield Array.from({ length: flat.length / 2 }, (_, nth) => [flat[nth * 2] ?? '', flat[nth * 2 + 1] ?? ''])
    cursor = next
  } while (cursor !== '0')
}
