import { canonicalId, columnNulls, distinctIdFault, identityIn, identityNaming } from '@heapferry/conversion'
import { type Columns, type ExportFile, type Mapping, OperatorError, type Slice } from '@heapferry/domain'
import { hashOf } from '../converters.ts'
import { none } from './codes.ts'
import { IdentityTexts } from './identity-texts.ts'
import { writeId } from './packed-ids.ts'
import { PackedRows } from './packed-rows.ts'

/** What an export says of user ids, packed: no object or string is held for an id. */
export interface IdentityFacts {
  /** Words of from_user_id, words of to_user_id. */
  migrations: PackedRows
  /** Words of user_id, number of the identity, rank of the dump; `none` where the row has none. */
  claims: PackedRows
  identities: IdentityTexts
  /** In ascending order. A dump's rank is its place here. */
  dumps: readonly number[]
}

/**
 * Reads what `users`, `user_migrations` and identify records say of user ids. Rows that cannot be read, and ids that
 * PostHog takes for nobody, are left to the workers, which reject them with their place. An identity that PostHog
 * refuses is as none: the migrations of the id still join it.
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
  const dumps = [...new Set(files.flatMap((file) => dumpOf(file) ?? []))].toSorted((a, b) => a - b)
  const facts = { migrations: new PackedRows(), claims: new PackedRows(), identities: new IdentityTexts(), dumps }
  const from = new Int32Array(2)
  const to = new Int32Array(2)
  for (const file of files) {
    const whenDamaged = (detail: string) => onDamage(file, peopleMissing(file, detail))
    if (file.table.kind === 'user_migrations') {
      await eachRow(read(file), whenDamaged, ['from_user_id', 'to_user_id'], (fromText, toText) => {
        const fromId = idOf(fromText)
        const toId = idOf(toText)
        if (fromId === undefined || toId === undefined || fromId === toId) return
        writeId(fromId, from)
        writeId(toId, to)
        facts.migrations.push(from[0] ?? 0, from[1] ?? 0, to[0] ?? 0, to[1] ?? 0)
      })
    }
    if (file.table.kind === 'users' || file.table.kind === 'identify') {
      const dump = dumpOf(file)
      const rank = dump === undefined ? none : dumps.indexOf(dump)
      const isNull = columnNulls(file.table, mapping).certain('identity')
      await eachRow(read(file), whenDamaged, ['user_id', 'identity'], (idText, identityText) => {
        const id = idOf(idText)
        const identity = identityText === null || isNull(identityText) ? undefined : identityOf(identityText)
        // Without an identity a row matters only where it takes the place of an older one.
        if (id === undefined || (identity === undefined && rank < 1)) return
        writeId(id, from)
        const number = identity === undefined ? none : facts.identities.numberOf(distinctIdOf(identity))
        facts.claims.push(from[0] ?? 0, from[1] ?? 0, number, rank)
      })
    }
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

async function eachRow(
  slices: AsyncIterable<Slice>,
  whenDamaged: (detail: string) => void,
  [first, second]: readonly [string, string],
  take: (first: string | null, second: string | null) => void,
): Promise<void> {
  let known: Columns | undefined
  let firstAt = -1
  let secondAt = -1
  for await (const { rows } of slices) {
    for (const row of rows) {
      if (row.kind !== 'row') {
        if (row.reason === 'file_damaged') whenDamaged(row.detail)
        continue
      }
      if (row.columns !== known) {
        known = row.columns
        firstAt = known.indexOf(first)
        secondAt = known.indexOf(second)
      }
      take(row.values[firstAt] ?? null, row.values[secondAt] ?? null)
    }
  }
}

function dumpOf({ table }: ExportFile): number | undefined {
  return table.kind === 'users' ? table.dump : undefined
}

function idOf(text: string | null): string | undefined {
  const reading = canonicalId(text)
  return reading.kind === 'id' && distinctIdFault(reading.id) === undefined ? reading.id : undefined
}

function identityOf(text: string): string | undefined {
  const identity = identityIn(text)
  return identity === null || distinctIdFault(identity) ? undefined : identity
}
