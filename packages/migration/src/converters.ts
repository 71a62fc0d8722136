import { compileConverter, type ConversionContext, textHash } from '@heapferry/conversion'
import {
  type Columns,
  type Convert,
  type ConverterFor,
  goneOnWith,
  type Identities,
  OperatorError,
  type Run,
} from '@heapferry/domain'
import { hiddenText } from './hidden-columns.ts'
import { noIdentities } from './identities/no-identities.ts'
import { fingerprintOfSalt } from './salt-fingerprint.ts'

/**
 * The converters of a run, compiled once for each table and order of columns.
 * @param hashSalt what hashes are keyed with; null where none is set
 * @throws OperatorError when the run was created with another salt, as one text would have two hashes, or another conversion
 */
export function convertersOf(
  run: Run,
  identities: Identities,
  hashSalt: string | null,
  onUncast?: ConversionContext['onUncast'],
): ConverterFor {
  return compiled({ ...contextOf(run, identities, hashSalt), onUncast })
}

/** @throws OperatorError when the run was created with another salt, or another conversion */
export function contextOf(run: Run, identities: Identities, hashSalt: string | null): ConversionContext {
  const { mapping, includeRecent, conversion, createdAtMs: startedAtMs } = run
  if (run.saltFingerprint !== null && run.saltFingerprint !== fingerprintOfSalt(hashSalt)) {
    throw new OperatorError(
      `The run ${run.id} hashes with another salt than the one that is set here`,
      'Set HEAPFERRY_HASH_SALT to the salt that the run was created with.',
    )
  }
  if (!goneOnWith.includes(run.conversion)) {
    throw new OperatorError(
      `The run ${run.id} was begun by a version of heapferry that makes other events of some rows`,
      'Go on with that version, or start another run with --run NAME: rows that are the same keep their uuids.',
    )
  }
  return { run: run.id, conversion, mapping, includeRecent, startedAtMs, identities, hash: hashOf(hashSalt) }
}

/**
 * The same for somebody who looks at rows: nobody is joined to anybody, and of what is hashed is only told that it is, so
 * that neither identities nor the salt are needed.
 */
export function convertersToShow({
  id,
  conversion,
  mapping,
  includeRecent,
  createdAtMs: startedAtMs,
}: Run): ConverterFor {
  const identities = noIdentities
  return compiled({ run: id, conversion, mapping, includeRecent, startedAtMs, identities, hash: hidden })
}

const hidden = (): string => hiddenText.hash

/** How text is hashed with a salt; null where none is set. */
export function hashOf(hashSalt: string | null): ConversionContext['hash'] {
  return hashSalt === null ? null : textHash(hashSalt)
}

function compiled(context: ConversionContext): ConverterFor {
  // Columns belong to a file, and a file to one table, so the array alone is the key.
  const known = new WeakMap<Columns, Convert>()
  return (table, columns) => {
    const convert = known.get(columns)
    if (convert) return convert
    const made = compileConverter(table, columns, context)
    known.set(columns, made)
    return made
  }
}
