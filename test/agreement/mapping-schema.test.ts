import { readFileSync, writeFileSync } from 'node:fs'
import { editorSchema, mappingSchema } from '@heapferry/config'
import { expect, test } from 'vitest'

const file = new URL('../../packages/config/heapferry.schema.json', import.meta.url)
const page = readFileSync(new URL('../../docs/mapping.md', import.meta.url), 'utf8')

test('the JSON Schema for editors is that of the mapping file (UPDATE_GOLDEN=1 writes it)', () => {
  const current = editorSchema()
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, current)
  expect(readFileSync(file, 'utf8')).toBe(current)
})

test('docs/mapping.md explains every key of the mapping file', () => {
  const keys = new Set(keysIn(mappingSchema()))
  expect(keys.size).toBeGreaterThan(20)
  expect([...keys].filter((key) => !new RegExp(`\\b${key}:|\`${key}\``).test(page))).toEqual([])
})

function keysIn(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  return Object.entries(schema).flatMap(([key, inner]) =>
    key === 'properties'
      ? [...Object.keys(Object(inner)), ...Object.values(Object(inner)).flatMap(keysIn)]
      : keysIn(inner),
  )
}
