import type { Columns, Conversion, Identities, OfRow, Resolution, Table, Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { compileColumns } from './compile-columns.ts'
import type { CellReader, CompiledColumns, ValueSetter } from './compile-columns.ts'
import { identityNaming, noTreatments, staticProperties, type Treatments, treatmentsOf } from './column-treatments.ts'
import type { ConversionContext } from './context.ts'
import { cellsOf } from './declared-values.ts'
import { identityIn } from './distinct-id.ts'
import { compileEmail, derivedEmail } from './email.ts'
import { compileConditions } from './event-filter.ts'
import { rowUuid } from './event-uuid.ts'
import { parseHeapDate } from './heap-time.ts'
import { columnNulls } from './nulls.ts'
import { isInvalidDate, userRowKey, userTimeColumns } from './user-rows.ts'
import { asIs, knownColumns } from './known-columns.ts'
import type { Setter } from './known-columns.ts'
import {
  earliestMs,
  isInRange,
  reject,
  rejectDistinctId,
  rejectId,
  rejectTimeOutOfRange,
  rejectUnparsableTime,
  skip,
} from './outcomes.ts'
import { entryUrl } from './page-address.ts'
import { Properties } from './properties.ts'
import { storableName } from './property-names.ts'

const initial = 'initial_'

export const consumedUserColumns: ReadonlySet<string> = new Set(['user_id', 'identity'])

export const knownUserColumns: ReadonlyMap<string, Setter> = new Map<string, Setter>([
  ...userTimeColumns.map((column): [string, Setter] => [column, timeSetter(column)]),
  ...knownColumns((name) => name),
  ['ip', asIs('$ip')],
])

/** What Heap saw first of a person; under the names that PostHog keeps such things, and so before its own guesses. */
export const knownInitialColumns: ReadonlyMap<string, Setter> = new Map<string, Setter>([
  ...[...knownColumns(initialNameOf)].map(([column, set]): [string, Setter] => [initial + column, set]),
  [
    'initial_landing_page',
    (properties, value) => {
      properties.set('$initial_current_url', entryUrl(value, null, null))
    },
  ],
  ['initial_path', asIs('$initial_pathname')],
  ['initial_domain', asIs('$initial_host')],
])

/**
 * Converts rows of `users`: `$identify` where a row joins its id to an identity, else `$set`. A row that joins nobody goes
 * to the person's distinct_id all the same: sent to its own id it would make a person who has to be merged later.
 */
export function compileUserConverter(
  table: Extract<Table, { kind: 'users' }>,
  columns: Columns,
  context: ConversionContext,
): OfRow<Conversion> {
  const { identities, mapping } = context
  const { persons } = mapping
  const treatments = treatmentsOf(context, [table.name])
  const nulls = columnNulls(table, mapping)
  const current = compileColumns(columns, {
    consumed: consumedUserColumns,
    known: knownUserColumns,
    about: (column) => !column.startsWith(initial),
    treatments,
    nulls,
  })
  const first = compileColumns(columns, {
    consumed: consumedUserColumns,
    known: knownInitialColumns,
    about: (column) => column.startsWith(initial),
    otherwise: initialSetter,
    treatments,
    nulls,
  })
  const distinctIdOf = identityNaming(context)
  const meetsConditions = compileConditions(columns, Object.entries(mapping.tables[table.name]?.where ?? {}))
  // Properties that all events have are none of people.
  const statics = staticProperties([mapping.tables[table.name]?.static])
  const isPersonless = mapping.anonymous === 'personless'
  // Runs that were begun before take the column alone.
  const emailIn = context.conversion < 3 ? () => null : compileEmail(columns, { mapping, table: table.name, nulls })
  const emailTreatment = treatments.get('email')
  const userIdCell = current.keyCell('user_id')
  const identityCell = current.keyCell('identity')
  const timeCells = timeCellsOf(current, treatments)

  return (row, types) => {
    const values = cellsOf(row, types)
    if (meetsConditions !== null && !meetsConditions(values)) return skip('filtered_out')
    const userId = canonicalId(userIdCell(values))
    if (userId.kind !== 'id') return rejectId('user_id', userId, userIdCell(values))
    if (table.dump !== undefined && identities.isSuperseded(userId.id, table.dump)) return skip('superseded')
    const named = identityIn(identityCell(values))
    const idFault =
      rejectDistinctId('user_id', userId.id) ?? (named === null ? undefined : rejectDistinctId('identity', named))
    if (idFault) return idFault
    const identity = named === null ? null : distinctIdOf(named)
    const owner = ownerOf(userId.id, identity, identities)
    if (owner.kind !== 'person') return owner
    const { distinctId } = owner
    const isJoined = identity !== null && distinctId !== userId.id
    const content = current.content(row)
    const standing = identities.standing(userId.id, () => userRowKey(content))
    // What an older row says counts no more; but if only it knows the identity, the id has to be joined.
    if (standing?.kind === 'older' && (standing.joins || !isJoined)) return skip('superseded')
    if (persons === 'skip' && !isJoined) return skip('persons_skipped')
    if (isPersonless && identity === null && !identities.isKnown(userId.id)) return skip('persons_skipped')
    const time = seedTime(timeCells, values, { startedAtMs: context.startedAtMs, isIdentified: identity !== null })
    if (time.kind !== 'time') return time

    const properties: Record<string, unknown> = { ...importedProperties(context) }
    if (isJoined) properties.$anon_distinct_id = userId.id
    if (persons !== 'skip' && standing?.kind !== 'older') {
      const own = standing === undefined ? values : valuesOfItsOwn(columns, values, standing.elsewhere)
      // The values of an id that was migrated away, or that only others know the identity of, are not the current ones.
      const isCurrent = standing?.isNewest ?? (distinctId === userId.id || (isJoined && !owner.migratedAway))
      const now = new Properties()
      if (isCurrent || standing === undefined) now.set('heap_user_id', userId.id)
      current.describe(own, now, types)
      const email = standing?.elsewhere.has(derivedEmail) ? null : emailIn(values)
      if (email !== null && now.get('email') === undefined)
        now.set('email', emailTreatment?.kind === 'property' ? emailTreatment.valueOf(email, email) : email)
      for (const [property, value] of statics) if (now.get(property) === undefined) now.set(property, value)
      const once = new Properties()
      first.describe(own, once, types)
      if (persons === 'set' && isCurrent) properties.$set = now.toObject()
      else for (const [name, value] of now.entries()) once.set(name, value)
      const hasMore = once.entries().length > 0
      if (hasMore) properties.$set_once = once.toObject()
      else if (!isCurrent && !isJoined) return skip('superseded')
    }
    return {
      kind: 'event',
      event: {
        uuid: rowUuid(table.name, content, time.ms, context.hash),
        event: isJoined ? '$identify' : '$set',
        distinct_id: distinctId,
        timestamp: new Date(time.ms).toISOString(),
        properties,
      },
    }
  }
}

/** Without those that the person has from another row. */
function valuesOfItsOwn(columns: Columns, values: Values, elsewhere: ReadonlySet<string>): Values {
  if (elsewhere.size === 0) return values
  return values.map((value, index) => (elsewhere.has(columns[index] ?? '') ? null : value))
}

/** What every event about a person carries, so that PostHog does not take the importing machine for theirs. */
export function importedProperties(context: ConversionContext): Record<string, unknown> {
  return {
    $geoip_disable: true,
    $ip: '0.0.0.0',
    historical_migration: true,
    analytics_source: 'heap',
    $import_job_id: context.run,
  }
}

/** Whom a row belongs to that says of an id what its identity is, or that none is known. */
export function ownerOf(
  userId: string,
  identity: string | null,
  identities: Identities,
): Extract<Resolution, { kind: 'person' }> | Conversion {
  const owner = identities.person(userId) ?? { kind: 'person', distinctId: identity ?? userId, migratedAway: false }
  switch (owner.kind) {
    case 'conflict':
      // What is known of the id without an identity joins it to nobody.
      if (identity === null) return { kind: 'person', distinctId: userId, migratedAway: false }
      return reject('identity_conflict', owner.detail)
    case 'person':
      if (identity === null || identity === owner.distinctId) return owner
      // An identity that reads like the user id of somebody else is theirs for PostHog.
      return reject('identity_conflict', `user_id ${userId} and the row's identity are not one person`)
  }
}

interface TimeCell {
  column: string
  cell: CellReader
  isShown: boolean
}

function timeCellsOf(compiled: CompiledColumns, treatments: Treatments): TimeCell[] {
  return userTimeColumns.map((column) => ({
    column,
    cell: compiled.keyCell(column),
    isShown: isShown(treatments, column),
  }))
}

/** The time at which a row of people has its person begin; the earliest there is where the row does not tell. */
export function seedTimeIn(
  compiled: CompiledColumns,
  { startedAtMs }: Pick<ConversionContext, 'startedAtMs'>,
): (values: Values) => number {
  const cells = timeCellsOf(compiled, noTreatments)
  return (values) => {
    const time = seedTime(cells, values, { startedAtMs, isIdentified: true })
    return time.kind === 'time' ? time.ms : earliestMs
  }
}

type SeedTime = { kind: 'time'; ms: number } | Conversion

/**
 * The first date that can be one. A person with an identity gets the earliest time there is where none can: the merge
 * matters more than its time, and without it all their events would stay anonymous.
 */
function seedTime(
  cells: readonly TimeCell[],
  values: Values,
  { startedAtMs, isIdentified }: { startedAtMs: number; isIdentified: boolean },
): SeedTime {
  let fault: Conversion | undefined
  for (const { column, cell, isShown: shows } of cells) {
    const text = cell(values)
    if (text === null || isInvalidDate(text)) continue
    const ms = parseHeapDate(text)
    const shown = shows ? text : hiddenText
    if (ms === undefined) fault ??= rejectUnparsableTime(column, shown)
    else if (isInRange(ms, startedAtMs)) return { kind: 'time', ms }
    else fault ??= rejectTimeOutOfRange(column, ms, shown)
  }
  if (isIdentified) return { kind: 'time', ms: earliestMs }
  return fault ?? reject('missing_time', `${userTimeColumns.join(', ')} are all empty`)
}

/** Stands for the text of a column that the mapping drops or hashes: details are kept in Redis and shown. */
const hiddenText = '(not shown)'

function isShown(treatments: Treatments, column: string): boolean {
  const treatment = treatments.get(column)
  return treatment === undefined || (treatment.kind === 'property' && !treatment.hides)
}

function timeSetter(column: string): Setter {
  return (properties, value) => {
    if (isInvalidDate(value)) return
    const ms = parseHeapDate(value)
    properties.set(column, ms === undefined ? value : new Date(ms).toISOString())
  }
}

function initialNameOf(name: string): string {
  if (name.startsWith('$')) return `$initial_${name.slice(1)}`
  return name.startsWith('heap_') ? `heap_initial_${name.slice(5)}` : `$initial_${name}`
}

function initialSetter(column: string): ValueSetter {
  const name = initialNameOf(storableName(column.slice(initial.length)))
  const other = storableName(column)
  return (properties, value) => {
    properties.set(properties.get(name) === undefined ? name : other, value)
  }
}
