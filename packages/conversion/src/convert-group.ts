import type { Columns, Conversion, OfRow, Table, Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { identityNaming } from './column-treatments.ts'
import type { ConversionContext } from './context.ts'
import { importedProperties, ownerOf, seedTimeIn } from './convert-user.ts'
import { cellsOf } from './declared-values.ts'
import { distinctIdFault, identityIn } from './distinct-id.ts'
import { compileConditions } from './event-filter.ts'
import { rowUuid } from './event-uuid.ts'
import { compileGroupRows } from './group-rows.ts'
import { Properties } from './properties.ts'
import { rejectDistinctId, skip } from './outcomes.ts'

/**
 * Converts rows of people, read a second time, into `$groupidentify`: PostHog takes properties of a group from nothing else.
 * Each property of a group is sent with one row, the newest that has it: PostHog keeps what arrives last.
 */
export function compileGroupConverter(
  table: Extract<Table, { kind: 'groups' }>,
  columns: Columns,
  context: ConversionContext,
): OfRow<Conversion> {
  const { identities, mapping } = context
  const { groupIn, compiled } = compileGroupRows(table, columns, context)
  const meetsConditions = compileConditions(columns, Object.entries(mapping.tables[table.of]?.where ?? {}))
  const personIn = compilePerson(compiled.keyCell, context)
  const timeIn = seedTimeIn(compiled, context)
  const userIdCell = compiled.keyCell('user_id')

  return (row, types) => {
    const values = cellsOf(row, types)
    if (meetsConditions !== null && !meetsConditions(values)) return skip('filtered_out')
    const userId = canonicalId(userIdCell(values))
    if (table.dump !== undefined && userId.kind === 'id' && identities.isSuperseded(userId.id, table.dump))
      return skip('superseded')
    const group = groupIn(values)
    if (group === null) return skip('no_group')
    const own = new Set(group.values.filter((one) => identities.givesToGroup(one.row)).map(({ column }) => column))
    if (own.size === 0) return skip('superseded')
    const set = new Properties()
    compiled.describe(
      values.map((value, index) => (own.has(columns[index] ?? '') ? value : null)),
      set,
      types,
    )
    // Nobody in particular, as PostHog's own libraries call whoever describes a group.
    const distinctId = personIn(values) ?? `$${table.group}_${group.key}`
    const timeMs = timeIn(values)
    return (
      rejectDistinctId('the name of the group', distinctId) ?? {
        kind: 'event',
        event: {
          uuid: rowUuid(table.name, compiled.content(row), timeMs, context.hash),
          event: '$groupidentify',
          distinct_id: distinctId,
          timestamp: new Date(timeMs).toISOString(),
          properties: {
            ...importedProperties(context),
            $group_type: table.group,
            $group_key: group.key,
            $group_set: set.toObject(),
          },
        },
      }
    )
  }
}

/**
 * Whose row it is. PostHog makes a person of whoever sends an event, so it has to be somebody whom the row of people itself
 * makes; null where that is nobody.
 */
function compilePerson(
  keyCell: (column: string) => (values: Values) => string | null,
  context: ConversionContext,
): (values: Values) => string | null {
  const { identities, mapping } = context
  const distinctIdOf = identityNaming(context)
  const userIdCell = keyCell('user_id')
  const identityCell = keyCell('identity')
  return (values) => {
    const userId = canonicalId(userIdCell(values))
    if (userId.kind !== 'id' || distinctIdFault(userId.id)) return null
    const named = identityIn(identityCell(values))
    if (named !== null && distinctIdFault(named)) return null
    const owner = ownerOf(userId.id, named === null ? null : distinctIdOf(named), identities)
    if (owner.kind !== 'person') return null
    if (mapping.anonymous === 'personless' && named === null && !identities.isKnown(userId.id)) return null
    return owner.distinctId
  }
}
