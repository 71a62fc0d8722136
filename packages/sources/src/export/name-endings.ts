/** What stands behind a name and may be the writer's or a part of it. */
interface NameEnding {
  kind: 'shard' | 'number' | 'date' | 'word'
  base: string
  text: string
}

const endings: readonly { kind: NameEnding['kind']; pattern: RegExp }[] = [
  // Snowflake: `_0_1_2`.
  { kind: 'shard', pattern: /^(.+?)_(\d+_\d+_\d+)$/ },
  { kind: 'date', pattern: /^(.+?)_?(20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))$/ },
  { kind: 'date', pattern: /^(.+?)_(20\d\d_(?:0[1-9]|1[0-2])(?:_(?:0[1-9]|[12]\d|3[01]))?)$/ },
  { kind: 'date', pattern: /^(.+?)_(20\d\d(?:0[1-9]|1[0-2])|1[4-9]\d{8}(?:\d{3})?)$/ },
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

/** Names that are the same but for an ending of one kind. */
interface EndingGroup {
  kind: NameEnding['kind']
  /** Of each name what stands behind the base. */
  texts: readonly string[]
  /** Another table is called as the base is. */
  baseIsTable: boolean
  /** All files of the export have such an ending, and they are of several tables. */
  isEverywhere: boolean
}

type EndingVerdict =
  /** It is the name's. */
  | { kind: 'name'; isSure: boolean }
  /** It is the writer's. */
  | { kind: 'writer'; isSure: boolean }
  | { kind: 'unclear' }

const ofName = { kind: 'name', isSure: true } as const
const likelyOfName = { kind: 'name', isSure: false } as const
const ofWriter = { kind: 'writer', isSure: true } as const
const likelyOfWriter = { kind: 'writer', isSure: false } as const

/**
 * Whether an ending is the writer's, by the endings of the names that are the same otherwise: `000` and `001` are shards,
 * `step_1` and `step_2` are events of a user.
 * @param isPlain Heap's tables in the same export have nothing behind their names
 */
export function verdictOf(text: string, group: EndingGroup, isPlain: boolean): EndingVerdict {
  const { kind, texts, baseIsTable, isEverywhere } = group
  switch (kind) {
    case 'shard':
      if (texts.includes('0_0_0')) return ofWriter
      return text.startsWith('0_') ? likelyOfName : ofName
    case 'number':
      return ofNumber(text, texts, isPlain, baseIsTable)
    case 'date':
      if (isPlain) return likelyOfName
      return new Set(texts).size > 1 || !text.includes('_') ? likelyOfWriter : likelyOfName
    case 'word':
      return isEverywhere ? likelyOfWriter : likelyOfName
  }
}

function ofNumber(text: string, texts: readonly string[], isPlain: boolean, baseIsTable: boolean): EndingVerdict {
  const alike = [...new Set(texts)].filter(({ length }) => length === text.length).map(Number)
  const first = Math.min(...alike)
  const isSeveral = alike.length > 1
  const isRow = isSeveral && first <= 1 && Math.max(...alike) - first === alike.length - 1
  // Nobody counts events from 00 on.
  if (text.length > 1 && first === 0) return isSeveral ? ofWriter : text.length > 2 ? likelyOfWriter : likelyOfName
  if (text.startsWith('0')) {
    if (isRow && text.length > 2) return likelyOfWriter
    return isRow && !isPlain ? { kind: 'unclear' } : likelyOfName
  }
  return !isPlain && (isRow || baseIsTable) ? likelyOfName : ofName
}
