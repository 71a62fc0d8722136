/** What stands behind a name and may be the writer's or a part of it. */
export interface NameEnding {
  kind: 'shard' | 'number' | 'dashed' | 'date' | 'word'
  base: string
  text: string
}

const endings: readonly { kind: NameEnding['kind']; pattern: RegExp }[] = [
  // Snowflake: `_0_1_2`.
  { kind: 'shard', pattern: /^(.+?)_(\d+_\d+_\d+)$/ },
  { kind: 'date', pattern: /^(.+?)_?(20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))$/ },
  { kind: 'date', pattern: /^(.+?)_(20\d\d_(?:0[1-9]|1[0-2])(?:_(?:0[1-9]|[12]\d|3[01]))?)$/ },
  { kind: 'date', pattern: /^(.+?)_(20\d\d(?:0[1-9]|1[0-2])|1[4-9]\d{8}(?:\d{3})?)$/ },
  // Dask, and copies of macOS; a person writes "Step 1" so.
  { kind: 'dashed', pattern: /^(.+?)[- ]+(\d+)$/ },
  // Redshift, split: `000`, `_00`.
  { kind: 'number', pattern: /^(.*[a-z])_?(0\d+|\d{3})$/ },
  { kind: 'number', pattern: /^(.+?)_(\d+)$/ },
  { kind: 'word', pattern: /^(.+?)_(exports?|exported|dump|unload|backup)$/ },
]

export function endingOf(name: string): NameEnding | null {
  for (const { kind, pattern } of endings) {
    const [, base, text] = pattern.exec(name) ?? []
    if (base !== undefined && text !== undefined) return { kind, base, text }
  }
  return null
}

/** Names that are the same but for an ending of one kind: of numbers those of one width, of dates those of one form. */
interface EndingGroup {
  kind: NameEnding['kind']
  /** Of each name what stands behind the base. */
  texts: readonly string[]
  /** Another table is called as the base is. */
  baseIsTable: boolean
  /** All files of the export have such an ending, and they are of several tables. */
  isEverywhere: boolean
}

/** Whose an ending is: the likelier of two things is told. */
type EndingVerdict = 'name' | 'likely_name' | 'writer' | 'likely_writer' | 'unclear'

/**
 * Whether an ending is the writer's, by the endings of the names that are the same otherwise: `000` and `001` are shards,
 * `step_1` and `step_2` are events of a user.
 * @param isPlain Heap's tables in the same export have nothing behind their names
 */
export function verdictOf({ kind, texts, baseIsTable, isEverywhere }: EndingGroup, isPlain: boolean): EndingVerdict {
  const different = new Set(texts)
  switch (kind) {
    case 'shard':
      if (different.has('0_0_0')) return 'writer'
      return texts.some((text) => text.startsWith('0_')) ? 'likely_name' : 'name'
    case 'number':
      return ofNumbers(different, isPlain, baseIsTable)
    case 'dashed':
      if (texts.some((text) => text.startsWith('0'))) return 'writer'
      return different.size > 1 || baseIsTable ? 'unclear' : 'likely_writer'
    case 'date':
      if (isPlain) return 'likely_name'
      return different.size > 1 || !texts.some((text) => text.includes('_')) ? 'likely_writer' : 'likely_name'
    case 'word':
      return isEverywhere ? 'likely_writer' : 'likely_name'
  }
}

/** @param texts of one width */
function ofNumbers(texts: ReadonlySet<string>, isPlain: boolean, baseIsTable: boolean): EndingVerdict {
  const numbers = [...texts].map(Number)
  const width = [...texts][0]?.length ?? 0
  const first = numbers.reduce((least, next) => Math.min(least, next))
  const last = numbers.reduce((most, next) => Math.max(most, next))
  const isSeveral = texts.size > 1
  const isRow = isSeveral && first <= 1 && last - first === texts.size - 1
  // Nobody counts events from 00 on.
  if (width > 1 && first === 0) return isSeveral ? 'writer' : width > 2 ? 'likely_writer' : 'likely_name'
  if ([...texts].some((text) => text.startsWith('0'))) {
    if (isRow && width > 2) return 'likely_writer'
    return isRow && !isPlain ? 'unclear' : 'likely_name'
  }
  return !isPlain && (isRow || baseIsTable) ? 'likely_name' : 'name'
}
