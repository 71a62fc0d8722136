import { idColumns, type Mapping, nullsIn, type Table, timeColumns } from '@heapferry/domain'

/**
 * What programs write where there is no value, in lower case: pandas and numpy (`<NA>`, NaN, NaT, and what it takes for
 * them), R (NA), Python (None), JavaScript (undefined), Ruby and Go (nil), Hive and MySQL (`\N`), SQL clients (`[NULL]` of
 * DBeaver, `<null>` of DataGrip, `(null)` of SQL Developer, `{null}` of Toad), spreadsheets and their errors, SAS (.),
 * Google Analytics ((not set)), C on Windows (1.#QNAN), and people.
 */
const knownNulls: ReadonlySet<string> = new Set([
  '<na>',
  '<nan>',
  '<nat>',
  '<nil>',
  '<none>',
  '<null>',
  '(blank)',
  '(empty)',
  '(nil)',
  '(none)',
  '(not set)',
  '(null)',
  '(unknown)',
  '[null]',
  '{null}',
  '#div/0!',
  '#n/a n/a',
  '#n/a!',
  '#n/a',
  '#na',
  '#name?',
  '#null!',
  '#num!',
  '#ref!',
  '#value!',
  '-',
  '--',
  '-1.#ind',
  '-1.#qnan',
  '-nan',
  '.',
  '1.#ind',
  '1.#qnan',
  '?',
  '\\\\n',
  '\\n',
  'n/a',
  'na',
  'nan',
  'nat',
  'nil',
  'none',
  'not set',
  'null',
  'undefined',
  'unknown',
])

/** Of those what nobody writes who means something by it, letter by letter. */
const unmistakable: ReadonlySet<string> = new Set([
  '<NA>',
  '<NULL>',
  '<NaT>',
  '<Null>',
  '<nil>',
  '<null>',
  '(NULL)',
  '(Null)',
  '(null)',
  '[NULL]',
  '[null]',
  '{NULL}',
  '{null}',
  '#N/A N/A',
  '#N/A!',
  '#N/A',
  '#NA',
  '#NULL!',
  '-1.#IND',
  '-1.#QNAN',
  '1.#IND',
  '1.#QNAN',
  'NaT',
  '\\N',
  '\\\\N',
])

// Of one in quotes, or with some spaces around it.
const longestKnown = 12
const mayBeKnown = beginningOf([...[...knownNulls].flatMap((text) => [text, text.toUpperCase()]), ' ', '\t', '"', "'"])

/** Whether a text is one of those that programs write where there is no value, whatever its case, also in quotes. */
export function isKnownNull(text: string): boolean {
  if (text.length > longestKnown || !mayBeKnown(text)) return false
  const trimmed = text.trim().toLowerCase()
  return knownNulls.has(/^(['"])(.+)\1$/.exec(trimmed)?.[2] ?? trimmed)
}

/** Whether a text begins as one of these does: nearly all cells are passed over by it, and no cell is searched for. */
function beginningOf(texts: readonly string[]): IsNull {
  const ascii = new Uint8Array(128)
  for (const text of texts) ascii[text.charCodeAt(0)] = 1
  const isOther = texts.some((text) => text.charCodeAt(0) >= ascii.length)
  return (text) => {
    const first = text.charCodeAt(0)
    return first < ascii.length ? ascii[first] === 1 : isOther
  }
}

function oneOf(texts: ReadonlySet<string>): IsNull {
  const longest = Math.max(0, ...[...texts].map((text) => text.length))
  const mayBe = beginningOf([...texts])
  return (text) => text.length <= longest && mayBe(text) && texts.has(text)
}

export type IsNull = (text: string) => boolean

/** Which texts stand for nothing, by column. */
export interface ColumnNulls {
  /** By the mapping and the list above alone: ids, times, names and identities depend on it. */
  certain(column: string): IsNull
  /** For properties also what the table's rows showed when the run was planned. */
  ofProperty(column: string): IsNull
}

/**
 * An identity, an address (of e-mail, the network or a page), an id, a time or a screen is never a text that programs write
 * for nothing. In any other column those that the mapping gives stand for nothing; where it gives none, those that nobody
 * means anything by, and in properties those that the table was seen to use.
 */
export function columnNulls(table: Table, mapping: Mapping): ColumnNulls {
  const given = nullsIn(mapping, table.name)
  const isGiven = oneOf(given === undefined ? unmistakable : new Set(given))
  const certain = (column: string): IsNull => {
    if (!isStrict(column)) return isGiven
    // A part of an address may well be called so.
    if (/(?:^|_)hash$/.test(column)) return (text) => (isKnownNull(text) && !text.startsWith('#')) || isGiven(text)
    return given === undefined ? isKnownNull : (text) => isKnownNull(text) || isGiven(text)
  }
  const seen = given === undefined && 'nulls' in table ? (table.nulls ?? []) : []
  return {
    certain,
    ofProperty(column) {
      const isCertain = certain(column)
      const own = new Set(seen.filter(({ columns }) => columns?.includes(column) ?? true).map(({ text }) => text))
      if (own.size === 0) return isCertain
      const isSeen = oneOf(own)
      return (text) => isCertain(text) || isSeen(text)
    },
  }
}

const strictColumns: ReadonlySet<string> = new Set([
  ...idColumns,
  'identity',
  ...timeColumns,
  // Whether a row is of a page or a screen, and so its name.
  'library',
  'view_controller',
])
const address =
  /^(?:.*[_.-])?(?:e[_-]?mail(?:[_-]?address)?|ip(?:[_-]?address)?)$|^(?:initial_)?(?:landing_page(?:_query|_hash)?|domain|path|query|hash|referrer)$/

function isStrict(column: string): boolean {
  return strictColumns.has(column) || address.test(column)
}
