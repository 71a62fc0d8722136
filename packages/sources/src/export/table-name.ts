import path from 'node:path'
import { endingOf, verdictOf } from './name-endings.ts'
import { knownIn, type KnownName, type KnownTable } from './known-tables.ts'
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
  const paths = relativePaths.map((file) => readPath(file, root))
  const inFolders = stemsOfFolders(paths)
  const named = paths.map((one) => nameOf(one, inFolders))
  const habits = habitsOf(named)
  return settled(named.map((one) => withoutSchema(one, habits)), habits)
}

/** A name of a file or a folder, without what writers append. */
interface Name {
  /** `''` where it is the writer's alone. */
  text: string
  known: KnownName | null
  /** It ended in the number of a shard that can be nothing else: another number belongs to the name. */
  isShard: boolean
}

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
  if (!chosen) return { text: '', known: null, isShard: false }
  const { part, left } = chosen
  return { text: left, known: knownIn(left), isShard: /\d$/.test(part) && left !== part }
}

/** Parts between dots that say how good a file is, not what it holds. */
const endingWords = /^(?:final|fixed|clean|sorted|sample|latest|current|old|new)$/

/** Which names of files each folder holds. */
function stemsOfFolders(paths: readonly ReadPath[]): ReadonlyMap<string, ReadonlySet<string>> {
  const stems = new Map<string, Set<string>>()
  for (const { own, folders } of paths) {
    const folder = folders.at(-1)?.text
    if (folder === undefined) continue
    const known = stems.get(folder) ?? new Set()
    stems.set(folder, known.add(own.text))
  }
  return stems
}

interface Named extends NamedTable {
  path: string
  known: KnownName | null
  isShard: boolean
}

function nameOf(read: ReadPath, inFolders: ReadonlyMap<string, ReadonlySet<string>>): Named {
  const { own, folders, root, stem } = read
  const above = folders.findLast(({ known }) => known !== null && isSure(known))?.known ?? null
  const told = (name: Name, by: NamedTable['by'], more?: Partial<NamedTable>): Named => {
    const { known } = name
    const isKnown = known !== null && isSure(known)
    const perhaps = isKnown ? undefined : (known?.table ?? above?.table)
    return {
      ...{ path: read.path, table: isKnown ? known.table : name.text, by, isNameless: false, isKnown },
      ...{ known, isShard: name.isShard, ...(perhaps && { perhaps }), ...more },
    }
  }
  // all_events may be divided by the tables whose events it lists; its rows are still not those of the tables.
  if (read.partition !== undefined && above?.table !== 'all_events')
    return told({ text: read.partition, known: knownIn(read.partition), isShard: true }, 'folder')
  const folder = folders.at(-1)
  if (own.text !== '' && (own.known !== null || !isWriters(own.text, inFolders))) {
    const elsewhere = [...inFolders].filter(([, stems]) => stems.has(own.text))
    const isAlone = elsewhere.length > 1 && elsewhere.every(([, stems]) => stems.size === 1)
    const isDoubtful = isAlone && own.known === null && above === null && folder?.text !== own.text
    return told(own, 'name', isDoubtful ? { doubt: `files of several folders are called "${own.text}": it may be the table, or what a writer calls every file` } : {})
  }
  if (folder) return told(folder, 'folder')
  const isWord = /^[a-z][a-z_]*$/.test(stem) && !isNoName(stem)
  if (isWord) return told({ text: stem, known: null, isShard: false }, 'name', { notice: `${read.path} is read as a table called ${stem}; where that is not its name, ${sayingSo(read.path, 'NAME')}` })
  if (root.text !== '') return told(root, 'folder')
  return told({ text: stem, known: null, isShard: true }, 'name', { isNameless: true })
}

/** A name that files have in the folders of Heap's tables: whoever wrote it calls every file so. */
function isWriters(stem: string, inFolders: ReadonlyMap<string, ReadonlySet<string>>): boolean {
  const folders = [...inFolders].filter(([, stems]) => stems.has(stem))
  const isAlone = folders.length > 1 && folders.every(([, stems]) => stems.size === 1)
  return isAlone && folders.some(([folder]) => knownIn(folder) !== null)
}

function isSure({ prefix }: KnownName): boolean {
  return prefix === '' || isSchema(prefix)
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
  for (const { known, isKnown } of named) {
    if (known === null) continue
    if (known.prefix !== '') addTo(schemas, known.prefix, known.table)
    if (!isKnown) continue
    const kind = endingOf(`t${known.ending}`)?.kind
    if (kind !== undefined) addTo(endings, kind, known.table)
    else if (known.ending === '') isPlain = true
  }
  const isHabit = ([, tables]: [string, Set<string>]) => tables.size > 1
  const allEndIn = (kind: string) =>
    named.every((one) => endingOf(one.known === null ? one.table : `t${one.known.ending}`)?.kind === kind)
  return {
    schemas: new Set([...schemas].filter((one) => isSchema(one[0]) || isHabit(one)).map(([prefix]) => prefix)),
    endings: new Set([...endings].filter((one) => isHabit(one) || allEndIn(one[0])).map(([kind]) => kind)),
    isPlain,
  }
}

function addTo(sets: Map<string, Set<string>>, key: string, value: string): void {
  sets.set(key, (sets.get(key) ?? new Set()).add(value))
}

/** Without the schema that tables of Heap's have in front too. */
function withoutSchema(one: Named, { schemas }: Habits): Named {
  if (one.isKnown || one.isNameless) return one
  const { known } = one
  if (known !== null && schemas.has(known.prefix)) {
    const { perhaps: _, ...rest } = one
    return { ...rest, table: known.table, isKnown: true }
  }
  const flat = one.table.replaceAll(/[-\s]/g, '_')
  const schema = [...schemas, ...heapSchemas].find((prefix) => flat.startsWith(`${prefix}_`))
  return schema === undefined ? one : { ...one, table: one.table.slice(schema.length + 1).replace(/^_+(?=[a-z])/, '') }
}

/** As Heap names them. */
const heapSchemas = ['heap_main_production', 'heap_main_development', 'main_production', 'main_development'] as const

/** With what stands behind names, or without it where it is the writer's. */
function settled(named: readonly Named[], habits: Habits): NamedTable[] {
  const groups = new Map<string, { texts: string[]; tables: Set<string>; file: string; table: string }>()
  const bases = new Set<string>()
  const tables = new Set(named.map(({ table }) => table))
  const endings = named.map((one) => (one.isKnown || one.isNameless ? null : endingOf(one.table)))
  for (const [index, ending] of endings.entries()) {
    if (ending === null) continue
    const key = keyOf(ending)
    const { path: file, table } = named[index] ?? { path: '', table: '' }
    const group = groups.get(key) ?? { texts: [], tables: new Set(), file, table }
    group.texts.push(ending.text)
    group.tables.add(table)
    groups.set(key, group)
    bases.add(ending.base)
  }
  const isEverywhere = bases.size > 1 && endings.every((ending) => ending?.kind === 'word')
  return named.map(({ path: file, known: _, isShard, ...one }, index): NamedTable => {
    const ending = endings[index] ?? null
    const group = ending && groups.get(keyOf(ending))
    if (ending === null || !group) return one
    const { kind, base, text } = ending
    if (isShard && (kind === 'number' || kind === 'shard')) return one
    if (habits.endings.has(kind)) return { ...one, table: base }
    const names = [...group.tables].toSorted()
    const shown = names.slice(0, 3).join(', ') + (names.length > 3 ? ` and ${names.length - 3} more` : '')
    const verdict = verdictOf(
      text,
      { kind, texts: group.texts, baseIsTable: tables.has(base), isEverywhere },
      habits.isPlain,
    )
    switch (verdict.kind) {
      case 'name':
        if (verdict.isSure) return one
        return {
          ...one,
          notice: `${shown}: what stands behind ${base} is taken for a part of the name; where it is the writer's, ${sayingSo(group.file, base)}`,
        }
      case 'writer':
        if (verdict.isSure) return { ...one, table: base }
        return {
          ...one,
          table: base,
          notice: `${shown}: what stands behind ${base} is taken for the writer's, and ${base} for the table; where it is a part of the name, ${sayingSo(group.file, group.table)}`,
        }
      case 'unclear':
        return { ...one, doubt: `${shown} may be tables of their own, or parts of one table ${base}` }
    }
  })
}

/** What to write into the mapping file. */
export function sayingSo(file: string, table: string): string {
  return `say so in the mapping file: files: { ${JSON.stringify(file)}: ${table} }`
}

function keyOf({ kind, base }: { kind: string; base: string }): string {
  return `${kind} ${base}`
}
