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

const longestKnown = 12
/** What a known one may begin with, also in quotes or with some spaces around it, and how long it may be. */
const likeKnown: readonly string[] = [
  ...[...knownNulls].flatMap((text) => [text, text.toUpperCase()]),
  ...[' ', '\t', '"', "'"].map((sign) => sign.padEnd(longestKnown)),
]

/** Whether a text is one of those that programs write where there is no value, whatever its case, also in quotes. */
export const isKnownNull = amongThoseLike(likeKnown, (text) => {
  const trimmed = text.trim().toLowerCase()
  return knownNulls.has(/^(['"])(.+)\1$/.exec(trimmed)?.[2] ?? trimmed)
})

export type IsNull = (text: string) => boolean

/**
 * The test, for texts that begin as one of `texts` does and are no longer than the longest: nearly all cells are passed over
 * by that, and nothing is searched for. Every column's test is made here, since V8 compiles into its callers only what is
 * always the same function.
 */
function amongThoseLike(texts: readonly string[], isNull: IsNull): IsNull {
  const longest = Math.max(0, ...texts.map((text) => text.length))
  const ascii = new Uint8Array(128)
  for (const text of texts) ascii[text.charCodeAt(0)] = 1
  const isOther = texts.some((text) => text.charCodeAt(0) >= ascii.length)
  return (text) => {
    if (text.length > longest) return false
    const first = text.charCodeAt(0)
    return (first < ascii.length ? ascii[first] === 1 : isOther) && isNull(text)
  }
}

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
  const givenTexts = new Set(given ?? unmistakable)
  const isGiven = amongThoseLike([...givenTexts], (text) => givenTexts.has(text))
  const likeCertain = [...likeKnown, ...givenTexts]
  const certain = (column: string): IsNull => {
    if (!isStrict(column)) return isGiven
    // A part of an address may well be called so.
    if (/(?:^|_)hash$/.test(column))
      return amongThoseLike(likeCertain, (text) => (isKnownNull(text) && !text.startsWith('#')) || isGiven(text))
    return given === undefined ? isKnownNull : amongThoseLike(likeCertain, (text) => isKnownNull(text) || isGiven(text))
  }
  const seen = given === undefined && 'nulls' in table ? (table.nulls ?? []) : []
  return {
    certain,
    ofProperty(column) {
      const isCertain = certain(column)
      const own = new Set(seen.filter(({ columns }) => columns?.includes(column) ?? true).map(({ text }) => text))
      if (own.size === 0) return isCertain
      return amongThoseLike([...likeCertain, ...own], (text) => isCertain(text) || own.has(text))
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
