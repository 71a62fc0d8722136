import { Mapping } from '@heapferry/domain'
import { z } from 'zod'

export type JsonSchema = z.core.JSONSchema.JSONSchema

/** What a mapping file may hold. */
export function mappingSchema(): JsonSchema {
  return z.toJSONSchema(Mapping, { io: 'input' })
}

/** The same for editors, which complete keys by it and show what each means: JSON, as it is shipped. */
export function editorSchema(): string {
  const { $schema, ...schema } = mappingSchema()
  const json = { $schema, title: 'heapferry mapping file', ...withEmptySections(schema) }
  return `${JSON.stringify(json, null, 2)}\n`
}

/** A section whose keys are all commented out is none that an editor should complain of. */
function withEmptySections({ properties, additionalProperties, type, ...rest }: JsonSchema): Record<string, unknown> {
  const inner = (one: JsonSchema | boolean): unknown => (typeof one === 'object' ? withEmptySections(one) : one)
  const all = Object.entries(properties ?? {}).map(([key, one]) => [key, inner(one)])
  return {
    ...rest,
    ...(type !== undefined && { type: type === 'object' ? ['object', 'null'] : type }),
    ...(properties !== undefined && { properties: Object.fromEntries(all) }),
    ...(additionalProperties !== undefined && { additionalProperties: inner(additionalProperties) }),
  }
}

/** The part of a schema that is about what stands under a key; undefined where nothing may stand there. */
export function schemaUnder(schema: JsonSchema | undefined, key: PropertyKey): JsonSchema | undefined {
  if (schema === undefined) return undefined
  const all = [schema, ...(schema.anyOf ?? [])].filter((one) => typeof one === 'object')
  for (const { properties, additionalProperties, items } of all) {
    const found = typeof key === 'number' ? items : (properties?.[String(key)] ?? additionalProperties)
    if (typeof found === 'object' && !Array.isArray(found)) return found
  }
  return undefined
}

/** The keys that a schema names. */
export function keysOf(schema: JsonSchema | undefined): string[] {
  return [schema, ...(schema?.anyOf ?? [])].flatMap((one) =>
    typeof one === 'object' ? Object.keys(one.properties ?? {}) : [],
  )
}
