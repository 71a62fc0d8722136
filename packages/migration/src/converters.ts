import { compileConverter, type ConversionContext } from '@heapferry/conversion'
import {
  type Columns,
  type Conversion,
  type Identities,
  OperatorError,
  type Run,
  type Table,
  type Values,
} from '@heapferry/domain'
import { fingerprintOfSalt } from './salt-fingerprint.ts'

/**
 * The converters of a run, compiled once for each table and order of columns.
 * @param hashSalt what hashes are keyed with; null where none is set
 * @throws OperatorError when the run was created with another salt: one text would have two hashes
 */
export function convertersOf(
  run: Run,
  identities: Identities,
  hashSalt: string | null,
  onUncast?: ConversionContext['onUncast'],
): (table: Table, columns: Columns) => (values: Values) => Conversion {
  const { mapping, includeRecent, createdAtMs: startedAtMs } = run
  if (run.saltFingerprint !== null && run.saltFingerprint !== fingerprintOfSalt(hashSalt)) {
    throw new OperatorError(
      `The run ${run.id} hashes with another salt than the one that is set here`,
      'Set HEAPFERRY_HASH_SALT to the salt that the run was created with.',
    )
  }
  const context = { run: run.id, mapping, includeRecent, startedAtMs, identities, hashSalt, onUncast }
  // Columns belong to a file, and a file to one table, so the array alone is the key.
  const compiled = new WeakMap<Columns, (values: Values) => Conversion>()
  return (table, columns) => {
    const known = compiled.get(columns)
    if (known) return known
    const convert = compileConverter(table, columns, context)
    compiled.set(columns, convert)
    return convert
  }
}
