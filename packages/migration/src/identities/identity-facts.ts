import {
  canonicalId,
  columnNulls,
  compileIsDeleted,
  compileUndated,
  distinctIdFault,
  identityIn,
  identityNaming,
} from '@heapferry/conversion'
import {
  type Columns,
  type ExportFile,
  type Mapping,
  OperatorError,
  phaseOf,
  type Slice,
  type Table,
  type Values,
} from '@heapferry/domain'
import { hashOf } from '../converters.ts'
import { hiddenColumns } from '../hidden-columns.ts'
import { readAhead } from '../read-ahead.ts'
import { byColumns } from './by-columns.ts'
import { none } from './codes.ts'
import { IdentityTexts } from './identity-texts.ts'
import { writeId } from './packed-ids.ts'
import { PackedRows } from './packed-rows.ts'
import { addUndated, type UndatedPeople } from './undated-people.ts'

/** What an export says of user ids, packed: no object or string is held for an id. */
export interface IdentityFacts {
  /** Words of from_user_id, words of to_user_id. */
  migrations: PackedRows
  /** Words of user_id, number of the identity, rank of the dump; `none` where the row has none, `noUser` of an identify record. */
  claims: PackedRows
  /** Words of the user_id of each row of `users` without an identity. */
  unnamed: PackedRows
  identities: IdentityTexts
  /** In ascending order. A dump's rank is its place here. */
  dumps: readonly number[]
  undated: UndatedPeople
}

/** The rank of what is no row of `users`. */
export const noUser = -2

/**
 * Reads what `users`, `user_migrations` and identify records say of user ids. Rows that cannot be read, and ids that
 * PostHog takes for nobody, are left to the workers, which reject them with their place; rows that are deleted count as
 * not there. An identity that PostHog refuses is as none: the migrations of the id still join it.
 *
 * @param read the rows of a whole file
 * @param hashSalt with the mapping it decides what an identity is called in PostHog, as in the conversion
 * @param onDamage told of files that cannot be read to their end; should it return, the rows before that count
 * @throws OperatorError of the first such file, unless `onDamage` is given
 */
export async function identityFacts(
  files: readonly ExportFile[],
  read: (file: ExportFile) => AsyncIterable<Slice>,
  {
    mapping,
    hashSalt,
    onDamage = (_, fault) => {
      throw fault
    },
  }: { mapping: Mapping; hashSalt: string | null; onDamage?: (file: ExportFile, fault: OperatorError) => void },
): Promise<IdentityFacts> {
  const distinctIdOf = identityNaming({ mapping, hash: hashOf(hashSalt) })
  const dumps = [...new Set(files.flatMap(({ table }) => (table.kind === 'users' ? (table.dump ?? []) : [])))].toSorted(
    (a, b) => a - b,
  )
  const facts: IdentityFacts = {
    migrations: new PackedRows(),
    claims: new PackedRows(),
    unnamed: new PackedRows(2),
    identities: new IdentityTexts(),
    dumps,
    undated: new Map(),
  }
  const from = new Int32Array(2)
  const to = new Int32Array(2)

  const migrationIn = (columns: Columns): ((values: Values) => void) => {
    const [fromAt, toAt] = [columns.indexOf('from_user_id'), columns.indexOf('to_user_id')]
    return (values) => {
      const fromId = idOf(values[fromAt] ?? null)
      const toId = idOf(values[toAt] ?? null)
      if (fromId === undefined || toId === undefined || fromId === toId) return
      writeId(fromId, from)
      writeId(toId, to)
      facts.migrations.push(from[0] ?? 0, from[1] ?? 0, to[0] ?? 0, to[1] ?? 0)
    }
  }

  const claimIn = (columns: Columns, table: Table): ((values: Values) => void) => {
    const [idAt, identityAt] = [columns.indexOf('user_id'), columns.indexOf('identity')]
    const isUser = table.kind === 'users'
    const dump = isUser ? table.dump : undefined
    const rank = dump === undefined ? (isUser ? none : noUser) : dumps.indexOf(dump)
    const undated = isUser ? compileUndated(table, columns, mapping) : null
    const isNull = columnNulls(table, mapping).certain('identity')
    const hidden = hiddenColumns(table, mapping)
    return (values) => {
      const id = idOf(values[idAt] ?? null)
      if (id === undefined) return
      const text = values[identityAt] ?? null
      const identity = text === null || isNull(text) ? undefined : identityOf(text)
      writeId(id, from)
      if (identity === undefined && isUser) facts.unnamed.push(from[0] ?? 0, from[1] ?? 0)
      // Without an identity a row makes a claim only where it takes the place of an older one.
      if (identity === undefined && rank < 1) return
      const number = identity === undefined ? none : facts.identities.numberOf(distinctIdOf(identity))
      facts.claims.push(from[0] ?? 0, from[1] ?? 0, number, rank)
      const fault = identity === undefined ? null : (undated?.(values) ?? null)
      if (fault !== null) addUndated(facts.undated, fault, hidden)
    }
  }

  const ofPeople = files.filter(({ table: { kind } }) => phaseOf(kind) === 'identities' && kind !== 'groups')
  for await (const { file, slices } of readAhead(ofPeople, read)) {
    const { table } = file
    const rowIn = table.kind === 'user_migrations' ? migrationIn : claimIn
    await eachRow(
      slices,
      (columns) => ({ isDeleted: compileIsDeleted(columns, mapping), take: rowIn(columns, table) }),
      (detail) => onDamage(file, peopleMissing(file, detail)),
    )
  }
  facts.identities.close()
  return facts
}

/** Merges cannot be taken back: who is who is not decided on a part of what the export knew. */
function peopleMissing({ path }: ExportFile, detail: string): OperatorError {
  return new OperatorError(
    `${path} is damaged or cut off: ${detail}`,
    'Who is who takes every row of it: get the file again. If there is no other, unpack what can be unpacked and give that file in its place.',
  )
}

interface RowTaker {
  isDeleted: ((values: Values) => boolean) | null
  take(values: Values): void
}

async function eachRow(
  slices: AsyncIterable<Slice>,
  compile: (columns: Columns) => RowTaker,
  whenDamaged: (detail: string) => void,
): Promise<void> {
  const takerOf = byColumns(compile)
  for await (const { rows } of slices) {
    for (const row of rows) {
      if (row.kind !== 'row') {
        if (row.reason === 'file_damaged') whenDamaged(row.detail)
        continue
      }
      const taker = takerOf(row.columns)
      if (!taker.isDeleted?.(row.values)) taker.take(row.values)
    }
  }
}

export function idOf(text: string | null): string | undefined {
  const reading = canonicalId(text)
  return reading.kind === 'id' && distinctIdFault(reading.id) === undefined ? reading.id : undefined
}

export function identityOf(text: string | null): string | undefined {
  const identity = identityIn(text)
  return identity === null || distinctIdFault(identity) ? undefined : identity
}
