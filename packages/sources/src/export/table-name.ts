import path from 'node:path'
import { endingOf, type NameEnding, verdictOf } from './name-endings.ts'
import { isCertain, knownIn, type KnownName, type KnownTable } from './known-tables.ts'
import { isGeneric, isNoName, isSchema, stemOf, withoutMarks } from './writers-marks.ts'

/** What a path tells of the table that its file holds. */
export interface NamedTable {
  /** Lower case. */
  table: string
  by: 'name' | 'folder'
  /** Nothing in the path names a table: `table` is what the writer has called the file. */
  isNameless: boolean
  /** Surely one of Heap's, by its name: that alone, or with nothing around it but what writers put there. */
  isKnown: boolean
  /** A table of Heap's whose name is a part of the path too: the columns have to tell whether it is meant. */
  perhaps?: KnownTable
  /** What a user should know, where the likelier of two things was taken. */
  notice?: string
  /** Why nobody can tell. */
  doubt?: string
}

/** The table that a file is named for, by its path alone. */
export function tableNameOf(relativePath: string): string {
  return namedTables([relativePath], '')[0]?.table ?? ''
}

/**
 * The tables that files which lie together are named for.
 *
 * Heap's own names win wherever they stand. Of others the name is the last part between dots
 * (`my_app.heap_main_production.signup.csv`), without what writers append; where the file has none of its own
 * (`part-00000-<guid>-c000`, `data_0_0_0`), it is that of the folder, or of the partition (`event_table_name=signup`).
 * What could be a writer's or part of an event's name (`_2`, `_20230501`, `_export`, a schema in front) is told by how the
 * other files are named, Heap's tables above all.
 * @param root the name of what the paths are relative to, `''` where it has none
 */
export function namedTables(relativePaths: readonly string[], root: string): NamedTable[] {
  const read = relativePaths.map((file) => readPath(file, root))
  // Beside files that have names, one without is of any table, and not of that which the whole export is called.
  const areShards = read.every(({ own, folders }) => own.text === '' && folders.length === 0)
  const paths = areShards ? read : read.map((one) => ({ ...one, root: noName }))
  const namesakes = namesakesIn(paths)
  const named = paths.map((one) => nameOf(one, namesakes))
  const habits = habitsOf(named)
  return settled(
    withDoubts(
      named.map((one) => withoutSchema(one, habits)),
      habits,
    ),
    habits,
  )
}

/** A name of a file or a folder, without what writers append. */
interface Name {
  /** `''` where it is the writer's alone. */
  text: string
  known: KnownName | null
  /** What stands before it, between dots. */
  schema: string
  /** It ended in the number of a shard that can be nothing else: another number belongs to the name. */
  isShard: boolean
}

const noName: Name = { text: '', known: null, schema: '', isShard: false }

interface ReadPath {
  path: string
  own: Name
  /** Folders of the export that are named, the nearest last. */
  folders: readonly Name[]
  root: Name
  /** What a partition says. */
  partition: string | undefined
  /** What the file is called, for want of anything better. */
  stem: string
}

/** Folders that divide a table: by a column, as Hive has it (`dt=2024-01-01`), or by numbers alone (`2024/01`). */
const partition = /=|^\d+(?:[-_T:]+\d+)*$/
const tablePartition = /^(?:event_table_name|event_name|table_name|table)=(.+)$/i

function readPath(relativePath: string, root: string): ReadPath {
  const folders = path.posix
    .dirname(relativePath)
    .split('/')
    .filter((folder) => folder !== '.' && folder !== '')
  return {
    path: relativePath,
    own: nameIn(path.posix.basename(relativePath)),
    folders: folders
      .filter((folder) => !partition.test(folder))
      .map(nameIn)
      .filter(({ text }) => text !== ''),
    root: nameIn(partition.test(root) ? '' : root),
    partition: folders
      .map((folder) => tablePartition.exec(folder)?.[1]?.toLowerCase())
      .findLast((name) => name !== undefined),
    stem: stemOf(path.posix.basename(relativePath)),
  }
}

function nameIn(fileOrFolder: string): Name {
  const stem = stemOf(fileOrFolder)
  const parts = stem
    .split('.')
    // "users.000" is Snowflake's and Redshift's way of numbering too; a table name never is a number.
    .filter((part) => !/^v?\d*$/.test(part))
    .map((part) => ({ part, left: withoutMarks(part) }))
    .filter(({ left }) => !isGeneric(left))
  const chosen = parts.findLast(({ left }) => !endingWords.test(left)) ?? parts.at(-1)
  if (!chosen) return noName
  const { part, left } = chosen
  const schema = parts.slice(0, parts.indexOf(chosen)).map((one) => one.left)
  return { text: left, known: knownIn(left), schema: schema.join('.'), isShard: /\d$/.test(part) && left !== part }
}

/** Parts between dots that say how good a file is, not what it holds. */
const endingWords = /^(?:final|fixed|clean|sorted|sample|latest|current|old|new)$/

/** By the name of a file, the folders that hold files of that name, and whether they hold nothing else. */
type Namesakes = ReadonlyMap<string, { folders: ReadonlySet<string>; areAlone: boolean }>

function namesakesIn(paths: readonly ReadPath[]): Namesakes {
  const namesOf = new Map<string, Set<string>>()
  const foldersOf = new Map<string, Set<string>>()
  for (const { own, folders } of paths) {
    const folder = folders.at(-1)?.text
    if (folder === undefined) continue
    addTo(namesOf, folder, own.text)
    addTo(foldersOf, own.text, folder)
  }
  return new Map(
    [...foldersOf].map(([name, folders]) => {
      const areAlone = folders.size > 1 && [...folders].every((folder) => namesOf.get(folder)?.size === 1)
      return [name, { folders, areAlone }]
    }),
  )
}

interface Named {
  path: string
  /** What it was before anything was taken from it. */
  text: string
  told: NamedTable
  /** Where one of Heap's names is a part of it. */
  known: KnownName | null
  /** `''` where the name has none in front. */
  schema: string
  isShard: boolean
}

function nameOf(read: ReadPath, namesakes: Namesakes): Named {
  const { own, folders, root, stem } = read
  const above = folders.findLast(({ known }) => known !== null && isSure(known))?.known ?? null
  const named = (name: Name, by: NamedTable['by'], more?: Partial<NamedTable>): Named => {
    const { text, known, isShard, schema } = name
    const isKnown = known !== null && isSure(known)
    const perhaps = isKnown ? undefined : (known?.table ?? above?.table)
    const table = isKnown ? known.table : text
    const told = { table, by, isNameless: false, isKnown, ...(perhaps && { perhaps }), ...more }
    return { path: read.path, text, told, known, schema: schema || (isKnown ? known.prefix : ''), isShard }
  }
  // all_events may be divided by the tables whose events it lists; its rows are still not those of the tables.
  if (read.partition !== undefined && above?.table !== 'all_events')
    return named({ text: read.partition, known: knownIn(read.partition), schema: '', isShard: true }, 'folder')
  const folder = folders.at(-1)
  const namesake = namesakes.get(own.text)
  const isEverywhere = own.known === null && folder?.text !== own.text && namesake?.areAlone === true
  // Whoever has written the files of Heap's tables under one name calls every file so.
  const isWriters = isEverywhere && [...namesake.folders].some((one) => knownIn(one) !== null)
  if (own.text !== '' && !isWriters) {
    if (!isEverywhere || above !== null) return named(own, 'name')
    const doubt = `files of several folders are called ${own.text}: it may be the table, or what a writer calls every file`
    return named(own, 'name', { doubt })
  }
  if (folder) return named(folder, 'folder')
  if (/^[a-z][a-z_]*$/.test(stem) && !isNoName(stem)) {
    const notice = `${read.path} is read as a table called ${stem}; where that is not its name, ${sayingSo(read.path, 'NAME')}`
    return named({ text: stem, known: null, schema: '', isShard: false }, 'name', { notice })
  }
  if (root.text !== '') {
    const notice = `${read.path} and its like are read as the table ${root.text}, as their folder is called; where that is not its name, ${sayingSo('*', 'NAME')}`
    return named(root, 'folder', root.known === null ? { notice } : {})
  }
  return named({ text: stem, known: null, schema: '', isShard: true }, 'name', { isNameless: true })
}

function isSure(known: KnownName): boolean {
  return isCertain(known) && (known.prefix === '' || isSchema(known.prefix))
}

/** What is seen at Heap's tables, whose names are known, of how a writer names files. */
interface Habits {
  /** In front of names: `acme_production`. */
  schemas: ReadonlySet<string>
  /** Behind names. */
  endings: ReadonlySet<string>
  /** A table of Heap's has nothing behind its name: what others have there is their own. */
  isPlain: boolean
}

function habitsOf(named: readonly Named[]): Habits {
  const schemas = new Map<string, Set<string>>()
  const endings = new Map<string, Set<string>>()
  let isPlain = false
  for (const { known, told } of named) {
    if (known === null) continue
    if (known.prefix !== '') addTo(schemas, known.prefix, known.table)
    if (!told.isKnown) continue
    const kind = endingOf(`t${known.ending}`)?.kind
    if (kind !== undefined) addTo(endings, kind, known.table)
    else if (known.ending === '') isPlain = true
  }
  const allEndIn = (kind: string): boolean =>
    named.every(({ known, told }) => endingOf(known === null ? told.table : `t${known.ending}`)?.kind === kind)
  return {
    schemas: new Set([...schemas].filter(([name, of]) => isSchema(name) || of.size > 1).map(([name]) => name)),
    endings: new Set([...endings].filter(([kind, of]) => of.size > 1 || allEndIn(kind)).map(([kind]) => kind)),
    isPlain,
  }
}

function addTo(sets: Map<string, Set<string>>, key: string, value: string): void {
  const set = sets.get(key)
  if (set) set.add(value)
  else sets.set(key, new Set([value]))
}

/** Without the schema that tables of Heap's have in front too. */
function withoutSchema(one: Named, { schemas }: Habits): Named {
  const { told, known } = one
  if (told.isKnown || told.isNameless) return one
  if (known !== null && schemas.has(known.prefix)) {
    const { by } = told
    return { ...one, schema: known.prefix, told: { table: known.table, by, isNameless: false, isKnown: true } }
  }
  const flat = told.table.replaceAll(/[-\s]/g, '_')
  const schema = [...schemas, ...heapSchemas].find((name) => flat.startsWith(`${name}_`))
  if (schema === undefined) return one
  return { ...one, schema, told: { ...told, table: told.table.slice(schema.length + 1) } }
}

/** As Heap names them. */
const heapSchemas = ['heap_main_production', 'heap_main_development', 'main_production', 'main_development'] as const

/**
 * Where tables of two schemas have one name, and where a table of Heap's is there under its own name and another one with a
 * word behind it (`sessions_export`): an event may be called so.
 */
function withDoubts(named: readonly Named[], habits: Habits): Named[] {
  const schemasOf = new Map<string, Set<string>>()
  const exact = new Set<string>()
  for (const { told, schema, known } of named) {
    if (schema !== '') addTo(schemasOf, told.table, schema)
    if (told.isKnown && known !== null && !/[a-z]/.test(known.ending)) exact.add(known.table)
  }
  return named.map((one): Named => {
    const { told, known, text } = one
    const schemas = [...(schemasOf.get(told.table) ?? [])]
    if (schemas.length > 1) {
      const doubt = `${told.table} is there of several schemas (${schemas.slice(0, 3).join(', ')}), whose ids must not meet in one run`
      return { ...one, told: { ...told, doubt } }
    }
    // Beside Heap's table, one with something in front of its name is another.
    if (isOfAnother(known) && !told.isKnown && exact.has(known.table)) {
      const { table, by, notice } = told
      return { ...one, told: { table, by, isNameless: false, isKnown: false, ...(notice !== undefined && { notice }) } }
    }
    const isWorded = told.isKnown && known !== null && /[a-z]/.test(known.ending) && exact.has(known.table)
    if (!isWorded || habits.endings.has('word')) return one
    return { ...one, told: { table: text, by: told.by, isNameless: false, isKnown: false, perhaps: known.table } }
  })
}

/** Whether columns cannot tell the table of Heap's that is a part of a name. */
function isOfAnother(known: KnownName | null): known is KnownName {
  return known !== null && isCertain(known) && (known.table === 'sessions' || known.table === 'pageviews')
}

/** Names that are the same but for what stands behind them. */
interface Endings {
  texts: string[]
  tables: Set<string>
  /** The first of them. */
  file: string
  table: string
}

/** With what stands behind names, or without it where it is the writer's. */
function settled(named: readonly Named[], habits: Habits): NamedTable[] {
  const tables = new Set(named.map(({ told }) => told.table))
  const bases = new Set<string>()
  const groups = new Map<string, Endings>()
  const endings = named.map(({ told }) => (told.isKnown || told.isNameless ? null : endingOf(told.table)))
  for (const [index, { path: file, told }] of named.entries()) {
    const ending = endings[index]
    if (!ending) continue
    const { table } = told
    const group = groups.get(keyOf(ending)) ?? { texts: [], tables: new Set(), file, table }
    group.texts.push(ending.text)
    group.tables.add(table)
    groups.set(keyOf(ending), group)
    bases.add(ending.base)
  }
  const isEverywhere = bases.size > 1 && endings.every((ending) => ending?.kind === 'word')
  const verdicts = new Map<string, Partial<NamedTable>>()
  const verdict = (ending: NameEnding): Partial<NamedTable> => {
    const { kind, base } = ending
    const group = groups.get(keyOf(ending))
    if (!group) return {}
    const { texts } = group
    const isOf = verdictOf({ kind, texts, baseIsTable: tables.has(base), isEverywhere }, habits.isPlain)
    const names = [...group.tables].toSorted()
    const shown = names.slice(0, 3).join(', ') + (names.length > 3 ? ` and ${names.length - 3} more` : '')
    switch (isOf) {
      case 'name':
        return {}
      case 'writer':
        return { table: base }
      case 'likely_name':
        return {
          notice: `${shown}: what stands behind ${base} is taken for a part of the name; where it is the writer's, ${sayingSo(group.file, base)}`,
        }
      case 'likely_writer':
        return {
          table: base,
          notice: `${shown}: what stands behind ${base} is taken for the writer's, and ${base} for the table; where it is a part of the name, ${sayingSo(group.file, group.table)}`,
        }
      case 'unclear':
        return { doubt: `${shown} may be tables of their own, or parts of one table ${base}` }
    }
  }
  return named.map(({ told, isShard }, index) => {
    const ending = endings[index]
    if (!ending || (isShard && (ending.kind === 'number' || ending.kind === 'shard'))) return told
    if (habits.endings.has(ending.kind)) return { ...told, table: ending.base }
    const key = keyOf(ending)
    const found = verdicts.get(key) ?? verdict(ending)
    verdicts.set(key, found)
    return { ...told, ...found }
  })
}

/** Numbers of one width, and dates of one form, belong together. */
function keyOf({ kind, base, text }: NameEnding): string {
  return [kind, base, kind === 'shard' ? '' : text.replaceAll(/\d/g, '0')].join(' ')
}

/** What to write into the mapping file. */
export function sayingSo(file: string, table: string): string {
  return `say so in the mapping file: files: { ${JSON.stringify(file)}: ${table} }`
}
