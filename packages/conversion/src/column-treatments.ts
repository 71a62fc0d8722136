import type { ColumnRule, Mapping } from '@heapferry/domain'
import { type Cast, castText } from './cast-text.ts'
import type { ConversionContext } from './context.ts'
import { storableText } from './storable-text.ts'

/** What the mapping says of a column, instead of what it means otherwise. */
export type Treatment =
  | { kind: 'drop' }
  /** One property; `name` where the mapping gives one. `hides`: its value does not tell the text of the cell. */
  | { kind: 'property'; name: string | undefined; hides: boolean; valueOf: ValueOf }

/** Of the text of a cell, and what it is in PostHog otherwise: the text, or what the format itself declares. */
export type ValueOf = (text: string, value: unknown) => unknown

export type Treatments = ReadonlyMap<string, Treatment>

export const noTreatments: Treatments = new Map()

/** @param tables the names under which the mapping may speak of a table's rows, the most special last */
export function treatmentsOf(
  { mapping, hash, onUncast }: Pick<ConversionContext, 'mapping' | 'hash' | 'onUncast'>,
  tables: readonly string[],
): Map<string, Treatment> {
  const treatments = new Map<string, Treatment>()
  const rules = [mapping.properties, ...tables.map((table) => mapping.tables[table]?.properties ?? {})]
  for (const [column, rule] of rules.flatMap((one) => Object.entries(one))) {
    const treatment = treatmentOf(rule, hash, (cast) => onUncast?.(column, cast))
    if (treatment) treatments.set(column, treatment)
    else treatments.delete(column)
  }
  return treatments
}

function treatmentOf(
  rule: ColumnRule,
  hash: ConversionContext['hash'],
  onUncast: (cast: Cast) => void,
): Treatment | undefined {
  const { as, name } = typeof rule === 'string' ? { as: rule, name: undefined } : rule
  switch (as) {
    case 'keep':
      return undefined
    case 'drop':
      return { kind: 'drop' }
    case 'hash':
      return hashed(hash, name)
    case 'number':
    case 'boolean':
    case 'date':
      return asProperty(name, (text) => {
        const value = castText(as, text)
        if (value === undefined) onUncast(as)
        return value ?? text
      })
    case undefined:
      return asProperty(name, (_, value) => value)
  }
}

export function hashed(hash: ConversionContext['hash'], name?: string): Treatment {
  const hashOf = given(hash)
  return { ...asProperty(name, (text) => hashOf(text)), hides: true }
}

function asProperty(name: string | undefined, valueOf: ValueOf) {
  return { kind: 'property', name: name === undefined ? undefined : storableText(name), hides: false, valueOf } as const
}

/** Properties that are the same for every row; of two of a name the last. */
export function staticProperties(all: readonly (Mapping['static'] | undefined)[]): [string, unknown][] {
  const entries = all.flatMap((properties) => Object.entries(properties ?? {}))
  return [...new Map(entries)].map(([name, value]) => [
    storableText(name),
    typeof value === 'string' ? storableText(value) : value,
  ])
}

/**
 * The distinct_id of people with an identity. The resolved graph of people and the rows that are sent have to have the
 * same one.
 */
export function identityNaming({
  mapping,
  hash,
}: Pick<ConversionContext, 'mapping' | 'hash'>): (identity: string) => string {
  switch (mapping.identity) {
    case 'keep':
      return (identity) => identity
    case 'hash':
      return given(hash)
  }
}

function given(hash: ConversionContext['hash']): (text: string) => string {
  if (hash === null) throw new Error('the mapping hashes, and no salt was given')
  return hash
}
