import type { z } from 'zod'

/** Redis holds text that another version, or another program, may have written. */
export function parsed<T extends z.ZodType>(schema: T, json: string | null | undefined): z.infer<T> | null {
  return json === null || json === undefined ? null : schema.parse(JSON.parse(json))
}
