export { browserOf } from './browser.ts'

export { type Cast, castText, isTypedText } from './cast-text.ts'
export { canonicalId } from './canonical-id.ts'

export { columnMeanings } from './column-meanings.ts'
export { identityNaming } from './column-treatments.ts'
export { compileConverter } from './compile-converter.ts'
export type { ConversionContext } from './context.ts'
export { consumedEventColumns, knownEventColumns } from './convert-event.ts'
export { compileIdentifyConverter } from './convert-identify.ts'
export { consumedMigrationColumns } from './convert-user-migration.ts'
export { consumedUserColumns, knownInitialColumns, knownUserColumns } from './convert-user.ts'

export { cellsOf } from './declared-values.ts'
export { compileIsDeleted } from './deleted-rows.ts'
export { distinctIdFault, identityIn } from './distinct-id.ts'

export { compileGroupRows, usersTableOf } from './group-rows.ts'
export { flatProperties } from './flat-properties.ts'
export { isTimeInWords, parseHeapTime } from './heap-time.ts'
export { columnNulls, isKnownNull } from './nulls.ts'
export { earliestMs, isInRange } from './outcomes.ts'
export { platformOf } from './platform.ts'

export { compileUndated, compileUserRows, isFirstColumn, userTimeColumns } from './user-rows.ts'
export { textHash } from './text-hash.ts'
export { compileIndexedRow, compileSessionAsk, pageColumns, sessionColumns } from './session-rows.ts'
export { splitVersioned } from './versioned-name.ts'
