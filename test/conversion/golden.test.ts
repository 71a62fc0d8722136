import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { compileConverter, pageColumns, sessionColumns, textHash } from '@heapferry/conversion'
import { conversionVersion, Mapping, RunId, Table, tableOf } from '@heapferry/domain'
import type { Columns, Conversion, FoundSession, Identities, Resolution } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { reasonsOfConversion } from './reasons-of-conversion.ts'

const folder = new URL('../golden/conversion/', import.meta.url)
// With UPDATE_GOLDEN=1 what the converter says is written as what is expected; the difference is for a person to review.
const update = process.env['UPDATE_GOLDEN'] === '1'

const Case = z.strictObject({
  /** The sentence that the case stands for. */
  says: z.string(),
  /** Its name, or all of it where the name does not tell. */
  table: z.union([z.string(), Table]),
  row: z.record(z.string(), z.string().nullable()).optional(),
  /** Instead of `row`, where two columns have the same name. */
  cells: z.array(z.tuple([z.string(), z.string().nullable()])).optional(),
  mapping: Mapping.optional(),
  /** What was found of the row's session: columns that are not named are not in the table. */
  session: z
    .strictObject({
      start: z.string().nullable().default(null),
      isMissing: z.boolean().default(false),
      cells: z.record(z.string(), z.string()).optional(),
      page: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
  /** Of the run; today's where nothing is said. */
  conversion: z.number().optional(),
  includeRecent: z.boolean().optional(),
  identities: z.record(z.string(), z.unknown()).optional(),
  expected: z.unknown(),
})

const Resolved = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('person'), distinctId: z.string(), migratedAway: z.boolean().default(true) }),
  z.object({ kind: z.literal('conflict'), detail: z.string() }),
])

const files = readdirSync(folder).filter((file) => file.endsWith('.json'))

test.each(files)('%s', (file) => {
  const { text, conversion, golden } = convertCase(file)
  if (update) {
    const input: unknown = JSON.parse(text)
    writeFileSync(
      new URL(file, folder),
      `${JSON.stringify(Object.assign(Object(input), { expected: conversion }), null, 2)}\n`,
    )
  } else {
    expect(conversion, golden.says).toStrictEqual(golden.expected)
  }
})

test('the cases reach every reason for which conversion skips or rejects a row', () => {
  const reached = new Set<string>()
  for (const file of files) {
    const { conversion } = convertCase(file)
    if (conversion.kind !== 'event') reached.add(conversion.reason)
  }
  expect([...reached].toSorted()).toEqual(reasonsOfConversion.toSorted())
})

/** A migration joins its from-id to what the case says of it. */
function identitiesOf(known: ReadonlyMap<string, Resolution>): Identities {
  return {
    person: (userId) => known.get(userId),
    joinedBy(fromId, toId) {
      const end = known.get(fromId) ?? { kind: 'person', distinctId: toId }
      if (end.kind === 'conflict') return end
      return end.distinctId === fromId
        ? { kind: 'nothing' }
        : { kind: 'joins', alias: fromId, distinctId: end.distinctId }
    },
    isKnown: (userId) => known.has(userId),
    // Told by the number of the dump alone: those before 1000 are superseded.
    isSuperseded: (_, dump) => dump < 1000,
    givesToGroup: () => true,
    standing: () => undefined,
  }
}

function convertCase(file: string): { text: string; conversion: Conversion; golden: z.infer<typeof Case> } {
  const text = readFileSync(new URL(file, folder), 'utf8')
  const golden = Case.parse(JSON.parse(text))
  const cells = golden.cells ?? Object.entries(golden.row ?? {})
  const columns = cells.map(([column]) => column)
  const identities = new Map<string, Resolution>(
    Object.entries(golden.identities ?? {}).map(([id, resolution]) => [id, Resolved.parse(resolution)]),
  )
  const convert = compileConverter(
    typeof golden.table === 'string' ? tableOf(golden.table, columns) : golden.table,
    columns,
    {
      run: RunId.parse('golden'),
      conversion: golden.conversion ?? conversionVersion,
      mapping: golden.mapping ?? Mapping.parse({}),
      startedAtMs: Date.UTC(2024, 0, 1),
      includeRecent: golden.includeRecent ?? false,
      identities: identitiesOf(identities),
      hash: textHash('salt of the golden pairs'),
    },
  )
  const values = cells.map(([, value]) => value)
  return { text, conversion: convert(values, undefined, golden.session && foundOf(golden.session)), golden }
}

function foundOf({ start, isMissing, cells, page }: NonNullable<z.infer<typeof Case>['session']>): FoundSession {
  return {
    startMs: start === null ? null : Date.parse(start),
    isMissing,
    cells: cells ? inOrder(sessionColumns, cells) : null,
    page: page ? inOrder(pageColumns, page) : null,
  }
}

function inOrder(columns: Columns, named: Record<string, string>) {
  expect(columns).toEqual(expect.arrayContaining(Object.keys(named)))
  return columns.map((column) => named[column] ?? null)
}
