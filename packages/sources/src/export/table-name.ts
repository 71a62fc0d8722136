import path from 'node:path'
import { endingOf, type NameEnding, verdictOf } from './name-endings.ts'
import { isCertain, knownIn, knownTables, type KnownName, type KnownTable } from './known-tables.ts'
import { isGeneric, isNoName, isSchema, stemOf, withoutMarks } from './writers-marks.ts'

/** What a path tells of the table that its file holds. */
export interface NamedTable {
  /** Lower case. */
  table: string
  /** The name as it is there, without marks. */
  called: string
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
  const areNamed = read.some(({ own, folders }) => own.text !== '' || folders.length > 0)
  const paths = areNamed ? read.map((one) => ({ ...one, root: noName })) : read
  const layout = {
    namesakes: namesakesIn(paths),
    containers: containersIn(paths),
    parents: parentsIn(paths),
    areNamed,
  }
  const named = paths.map((one) => nameOf(one, layout))
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
  /** Where it is but a word of writers, that word: an event may be called so. */
  word: string
}

const noName: Name = { text: '', known: null, schema: '', isShard: false, word: '' }

interface ReadPath {
  path: string
  own: Name
  /** Folders of the export that are named, the nearest last, with their paths. */
  folders: readonly (Name & { path: string })[]
  /** The nearest folder, where its name is but a word of writers. */
  folderWord: string
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
  const named = folders.flatMap((folder, depth) =>
    partition.test(folder) ? [] : [{ ...nameIn(folder), path: folders.slice(0, depth + 1).join('/') }],
  )
  return {
    path: relativePath,
    own: nameIn(path.posix.basename(relativePath)),
    folders: named.filter(({ text }) => text !== ''),
    folderWord: named.at(-1)?.word ?? '',
    root: nameIn(partition.test(root) ? '' : root),
    partition: folders
      .map((folder) => tablePartition.exec(folder)?.[1]?.toLowerCase())
      .findLast((name) => name !== undefined),
    stem: stemOf(path.posix.basename(relativePath)),
  }
}

function nameIn(fileOrFolder: string): Name {
  const parts = stemOf(fileOrFolder)
    .split('.')
    // "users.000" is Snowflake's and Redshift's way of numbering too; a table name never is a number.
    .filter((part) => !/^v?\d*$/.test(part))
    .map((part) => ({ part, left: withoutMarks(part) }))
  // What stands before a schema is a project, and what follows it is a table, whatever word it is.
  const schemaAt = parts.length > 1 ? parts.findLastIndex(({ left }) => isSchema(left)) : -1
  const named = parts.filter(
    ({ left }, at) => at > schemaAt && (!isGeneric(left) || (at === schemaAt + 1 && at > 0 && isWord(left))),
  )
  const chosen = named.findLast(({ left }) => !endingWords.test(left)) ?? named.at(-1)
  const last = parts.at(-1)?.left.replace(/(?:[-_ ]\d+){1,3}$/, '') ?? ''
  if (!chosen) return { ...noName, word: isWord(last) ? last : '' }
  const { part, left } = chosen
  const schema = parts.slice(0, parts.indexOf(chosen)).map((one) => one.left)
  const isShard = /\d$/.test(part) && left !== part
  return { text: left, known: knownIn(left), schema: schema.join('.'), isShard, word: '' }
}

/** A word of writers that an event may be called too, unlike `data` and `part`. */
function isWord(name: string): boolean {
  return /^[a-z][a-z_]*$/.test(name) && !isNoName(name)
}

/** Parts between dots that say how good a file is, not what it holds. */
const endingWords = /^(?:final|fixed|clean|sorted|sample|latest|current|old|new)$/

/** Folders that hold files or folders with names of their own: they are not of one table. */
function containersIn(paths: readonly ReadPath[]): ReadonlySet<string> {
  return new Set(
    paths.flatMap(({ own, folders }) =>
      (own.text === '' ? folders.slice(0, -1) : folders).map((folder) => folder.path),
    ),
  )
}

/** By the name of a folder, the folders that it lies in, where files have no names of their own. */
function parentsIn(paths: readonly ReadPath[]): ReadonlyMap<string, ReadonlySet<string>> {
  const parents = new Map<string, Set<string>>()
  for (const { own, folders } of paths) {
    const [parent, folder] = [folders.at(-2), folders.at(-1)]
    if (own.text === '' && folder && parent) addTo(parents, folder.text, parent.path)
  }
  return parents
}

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
  told: NamedTable
  /** Where one of Heap's names is a part of it. */
  known: KnownName | null
  /** `''` where the name has none in front. */
  schema: string
  isShard: boolean
}

/** How the files of an export lie in its folders. */
interface Layout {
  namesakes: Namesakes
  containers: ReadonlySet<string>
  parents: ReadonlyMap<string, ReadonlySet<string>>
  /** A file or folder has a name of its own. */
  areNamed: boolean
}

function nameOf(read: ReadPath, { namesakes, containers, parents, areNamed }: Layout): Named {
  const { own, folders, root, stem } = read
  const above = folders.findLast(({ known }) => known !== null && isSure(known))?.known ?? null
  const named = (name: Name, by: NamedTable['by'], more?: Partial<NamedTable>): Named => {
    const { text, known, isShard, schema } = name
    const isKnown = known !== null && isSure(known)
    const perhaps = isKnown ? undefined : (known?.table ?? above?.table)
    const table = isKnown ? known.table : text
    const told = { table, called: text, by, isNameless: false, isKnown, ...(perhaps && { perhaps }), ...more }
    return { path: read.path, told, known, schema: schema || (isKnown ? known.prefix : ''), isShard }
  }
  // all_events may be divided by the tables whose events it lists; its rows are still not those of the tables.
  if (read.partition !== undefined && above?.table !== 'all_events')
    return named({ ...noName, text: read.partition, known: knownIn(read.partition), isShard: true }, 'folder')
  const nearest = folders.at(-1)
  const namesake = namesakes.get(own.text)
  const isEverywhere = own.known === null && nearest?.text !== own.text && namesake?.areAlone === true
  // Whoever has written the files of Heap's tables under one name calls every file so.
  const isWriters = isEverywhere && [...namesake.folders].some((one) => knownIn(one) !== null)
  if (own.text !== '' && !isWriters) {
    if (!isEverywhere || above !== null) return named(own, 'name')
    const doubt = `files of several folders are called ${own.text}: it may be the table, or what a writer calls every file`
    return named(own, 'name', { doubt })
  }
  const folder = folders.findLast((one) => !containers.has(one.path) || (one.known !== null && isSure(one.known)))
  if (folder) {
    const lieIn = [...(parents.get(folder.text) ?? [])]
    const areRegions = lieIn.every((parent) => knownTables.some((table) => parents.get(table)?.has(parent)))
    if (lieIn.length < 2 || areRegions || above !== null) return named(folder, 'folder')
    const doubt = `folders called ${folder.text} lie in ${lieIn.slice(0, 3).join(', ')}: either may be the table`
    return named(folder, 'folder', { doubt })
  }
  // Where other tables have names, so may this one.
  const word = own.word === stem || areNamed ? own.word || read.folderWord : ''
  if (word !== '') {
    const notice = `${read.path} is read as a table called ${word}; where that is not its name, ${sayingSo(read.path, 'NAME')}`
    return named({ ...noName, text: word, isShard: own.word !== stem }, own.word === '' ? 'folder' : 'name', { notice })
  }
  if (root.text !== '') {
    const notice = `${read.path} and its like are read as the table ${root.text}, as their folder is called; where that is not its name, ${sayingSo('*', 'NAME')}`
    return named(root, 'folder', root.known === null ? { notice } : {})
  }
  return named({ ...noName, text: stem, isShard: true }, 'name', { isNameless: true })
}

function isSure(known: KnownName): boolean {
  return isCertain(known) && (known.prefix === '' || known.isApart || isSchema(known.prefix))
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
  const apart = new Set<string>()
  let isPlain = false
  for (const { known, told } of named) {
    if (known === null) continue
    if (known.prefix !== '') addTo(schemas, known.prefix, known.table)
    if (known.isApart) apart.add(known.prefix)
    if (!told.isKnown) continue
    const kind = endingOf(`t${known.ending}`)?.kind
    if (kind !== undefined) addTo(endings, kind, known.table)
    else if (known.ending === '') isPlain = true
  }
  const allEndIn = (kind: string): boolean =>
    named.every(({ known, told }) => endingOf(known === null ? told.table : `t${known.ending}`)?.kind === kind)
  return {
    schemas: new Set(
      [...schemas].filter(([name, of]) => isSchema(name) || apart.has(name) || of.size > 1).map(([name]) => name),
    ),
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
    const { perhaps, ...certain } = told
    return { ...one, schema: known.prefix, told: { ...certain, table: perhaps ?? known.table, isKnown: true } }
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
    const { told, known } = one
    const schemas = [...(schemasOf.get(told.table) ?? [])]
    if (schemas.length > 1) {
      const doubt = `${told.table} is there of several schemas (${schemas.slice(0, 3).join(', ')}), whose ids must not meet in one run`
      return { ...one, told: { ...told, doubt } }
    }
    // Beside Heap's table, one with something in front of its name is another.
    if (isOfAnother(known) && !told.isKnown && exact.has(known.table)) {
      const { perhaps, ...certain } = told
      return perhaps === known.table ? { ...one, told: certain } : one
    }
    const isWorded = told.isKnown && known !== null && /[a-z]/.test(known.ending) && exact.has(known.table)
    if (!isWorded || habits.endings.has('word')) return one
    return { ...one, told: { ...told, table: told.called, isKnown: false, perhaps: known.table } }
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
    const isNumber = ending?.kind === 'number' || ending?.kind === 'dashed'
    if (!ending || (isShard && (isNumber || ending.kind === 'shard'))) return told
    if (habits.endings.has(ending.kind) || (isNumber && habits.endings.has('number')))
      return { ...told, table: ending.base }
    const key = keyOf(ending)
    const found = verdicts.get(key) ?? verdict(ending)
    verdicts.set(key, found)
    return { ...told, ...found }
  })
}

/** Numbers of one width, and dates of one form, belong together. */
function keyOf({ kind, base, text }: NameEnding): string {
  return [kind, base, kind === 'shard' || kind === 'dashed' ? '' : text.replaceAll(/\d/g, '0')].join(' ')
}

/** What to write into the mapping file. */
export function sayingSo(file: string, table: string): string {
  return `say so in the mapping file: files: { ${JSON.stringify(file)}: ${table} }`
}
