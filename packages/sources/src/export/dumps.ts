import { OperatorError } from '@heapferry/domain'
import pMap from 'p-map'
import { z } from 'zod'
import type { ExportPlace } from '../places/open-place.ts'
import type { FoundFile } from './discover.ts'

/**
 * What Heap Connect writes of a dump when all of its files are there. A manifest holds more than this, but the files tell
 * it too: the columns above all.
 */
export const DumpManifest = z.object({
  dump_id: z.union([
    z.number().int().nonnegative(),
    z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
  ]),
  tables: z.array(
    z.object({
      name: z.string().min(1),
      /** Addresses such as `s3://bucket/sync_852/users/part-00000.avro`. */
      files: z.array(z.string()),
      /** Whether the dump adds to what earlier ones hold of the table; else it replaces that. */
      incremental: z.boolean().default(true),
    }),
  ),
})
export type DumpManifest = z.infer<typeof DumpManifest>

/** What of an export of Heap Connect for S3 counts. */
export interface ChosenDumps {
  files: FoundFile[]
  notices: string[]
  newestDump: number
}

/** A tree of dumps as it was found. */
export interface DumpTree {
  /** Of the place. */
  root: string
  /** Where in the place the tree begins, `''` or ending in `/`. */
  prefix: string
  /** Of all files of the place. */
  paths: readonly string[]
}

const manifestPath = /^(|.*\/)manifests\/sync_[^/]*\.json$/

/**
 * The last dump that counts for those who read the place with this root, undefined where that is the newest there is. A
 * run keeps to the dumps that it was planned with, although another comes every night.
 */
export type PlannedWith = (root: string) => Promise<number | undefined>

/**
 * What of a place counts, where it holds dumps of Heap Connect; null where it does not.
 * @throws OperatorError when dumps are not whole, have no manifests, or are of different environments
 */
export async function dumpsOf(
  place: ExportPlace,
  paths: readonly string[],
  plannedWith: PlannedWith,
): Promise<ChosenDumps | null> {
  const { root } = place
  const manifests = paths.filter((path) => manifestPath.test(path))
  const prefixes = [...new Set(manifests.map((path) => manifestPath.exec(path)?.[1] ?? ''))]
  const [prefix] = prefixes
  if (prefix === undefined) {
    assertNoBareDumps(root, paths)
    return null
  }
  if (prefixes.length > 1) {
    throw new OperatorError(
      `${root} holds ${prefixes.length} exports of Heap Connect: ${shortened(prefixes.map((name) => name || './'))}`,
      'Each is of an environment of its own, whose ids must not meet those of another in one run. Give the address of one of them.',
    )
  }
  // Years of nightly dumps have a thousand of them.
  const read = await pMap(manifests, (path) => readManifest(place, path), { concurrency: 16 })
  return chooseDumps(read, { root, prefix, paths }, await plannedWith(root))
}

/**
 * The files that count, in the order of the dumps: of each table those from its last full dump on. A table may be missing
 * from a dump that has nothing new of it. user_migrations are sent anew with every dump, whatever its manifest says: the
 * last ones hold all.
 * @param plannedWith the last dump that counts; without it, the newest there is
 * @throws OperatorError when files that count are missing
 */
export function chooseDumps(manifests: readonly DumpManifest[], tree: DumpTree, plannedWith?: number): ChosenDumps {
  // By number: as text, 1000 comes before 999.
  const all = manifests.toSorted((a, b) => a.dump_id - b.dump_id)
  assertEachOnce(all, tree)
  const newestDump = plannedWith ?? all.at(-1)?.dump_id ?? 0
  const dumps = all.filter((dump) => dump.dump_id <= newestDump)
  assertThere(newestDump, dumps, tree)
  const known = new Set(tree.paths)
  const files = new Map<string, FoundFile>()
  const notices: string[] = []
  const missing: string[] = []
  for (const [table, parts] of partsByTable(dumps)) {
    const isSentAnew = table === 'user_migrations'
    const start = isSentAnew
      ? parts.length - 1
      : Math.max(
          0,
          parts.findLastIndex((part) => !part.incremental),
        )
    const [first, ...later] = parts.slice(start)
    if (!first) continue
    const replaced = parts.slice(0, start).reduce((sum, part) => sum + part.uris.length, 0)
    if (replaced > 0) {
      notices.push(`${table}: dump ${first.dump} is a full one and replaces ${counted(replaced)} of earlier dumps`)
    } else if (first.incremental && !isSentAnew) {
      notices.push(`${table}: none of its dumps is a full one, so rows from before dump ${first.dump} are not here`)
    }
    for (const { dump, uris } of [first, ...later]) {
      const gone: string[] = []
      for (const uri of uris) {
        const path = pathOf(uri, tree, known)
        if (path === null) gone.push(uri)
        else files.set(path, { path, table, dump })
      }
      if (gone.length > 0) {
        const found = uris.length - gone.length
        missing.push(
          `${table}: the manifest of dump ${dump} lists ${counted(uris.length)}, found ${found} (missing ${shortened(gone)})`,
        )
      }
    }
  }
  if (missing.length > 0) {
    throw new OperatorError(
      [`${tree.root} is not whole`, ...missing.map((one) => `  ${one}`)],
      'Copy the missing files too, or have Heap send the table again in full.',
    )
  }
  const later = all.slice(dumps.length).map((dump) => dump.dump_id)
  return {
    files: [...files.values()],
    notices: [...notices, ...leftOut(all, tree, known), ...laterNotices(later)],
    newestDump,
  }
}

interface DumpedFiles {
  dump: number
  incremental: boolean
  uris: readonly string[]
}

function partsByTable(dumps: readonly DumpManifest[]): Map<string, DumpedFiles[]> {
  const tables = new Map<string, DumpedFiles[]>()
  for (const { dump_id: dump, tables: listed } of dumps) {
    for (const { name, incremental, files } of listed) {
      listOf(tables, name).push({ dump, incremental, uris: files })
    }
  }
  return tables
}

/**
 * A manifest names its files where Heap has written them; a tree that was copied has them at the same place of the tree.
 * Only what was found in the tree is ever read, whatever a manifest names.
 * @returns null where there is no such file
 */
function pathOf(uri: string, { root, prefix }: DumpTree, known: ReadonlySet<string>): string | null {
  const key = uri.replace(/^s3[an]?:\/\/[^/]+\//, '')
  const inDump = /^(?:.*\/)?(sync_[^/]+\/.+)$/.exec(key)?.[1]
  const candidates = [
    ...(uri.startsWith(`${root}/`) ? [uri.slice(root.length + 1)] : []),
    prefix + key,
    ...(inDump === undefined ? [] : [prefix + inDump]),
  ]
  return candidates.find((path) => known.has(path)) ?? null
}

/** What stands in the place and no manifest names. */
function leftOut(dumps: readonly DumpManifest[], tree: DumpTree, known: ReadonlySet<string>): string[] {
  const listed = new Set(
    dumps.flatMap(({ tables }) => tables.flatMap(({ files }) => files.map((uri) => pathOf(uri, tree, known)))),
  )
  const complete = new Set(dumps.map(({ dump_id: dump }) => String(dump)))
  const byDump = new Map<string, string[]>()
  const others: string[] = []
  for (const path of tree.paths) {
    if (listed.has(path) || manifestPath.test(path)) continue
    const dump = path.startsWith(tree.prefix) ? /^sync_(\d+)\//.exec(path.slice(tree.prefix.length))?.[1] : undefined
    if (dump === undefined) others.push(path)
    else listOf(byDump, dump).push(path)
  }
  return [
    ...[...byDump].map(([dump, paths]) =>
      complete.has(dump)
        ? `dump ${dump}: its manifest does not list ${shortened(paths)}, left out`
        : `dump ${dump} is not complete (it has no manifest): ${counted(paths.length)} left out`,
    ),
    ...(others.length > 0 ? [`no part of a dump, left out: ${shortened(others)}`] : []),
  ]
}

function laterNotices(later: readonly number[]): string[] {
  const [first] = later
  if (first === undefined) return []
  const dumps = later.length === 1 ? `dump ${first}` : `dumps ${first} to ${later.at(-1)}`
  return [
    `${dumps} came after this run was planned, left out: migrate the export again in a run of another name (--run NAME), PostHog keeps one of each event`,
  ]
}

async function readManifest(place: ExportPlace, path: string): Promise<DumpManifest> {
  const blob = await place.open(path)
  try {
    const text = Buffer.alloc(blob.version.sizeBytes)
    await blob.fill(text, 0)
    return DumpManifest.parse(JSON.parse(text.toString('utf8')))
  } catch (cause) {
    if (!(cause instanceof z.ZodError || cause instanceof SyntaxError)) throw cause
    const fault = cause instanceof z.ZodError ? z.prettifyError(cause) : cause.message
    throw new OperatorError(
      `${path} is no manifest of a dump: ${fault}`,
      'Copy the file again. If it is as Heap wrote it, please report this.',
      { cause },
    )
  } finally {
    await blob.close()
  }
}

function assertEachOnce(dumps: readonly DumpManifest[], { root }: DumpTree): void {
  const twice = dumps.find((dump, index) => dump.dump_id === dumps[index - 1]?.dump_id)
  if (!twice) return
  throw new OperatorError(
    `${root} has two manifests of dump ${twice.dump_id}`,
    'Keep the one that Heap wrote, and only dumps of one environment.',
  )
}

function assertThere(newest: number, dumps: readonly DumpManifest[], { root }: DumpTree): void {
  if (dumps.at(-1)?.dump_id === newest) return
  throw new OperatorError(
    `${root}: the manifest of dump ${newest}, with which this run was planned, is gone`,
    'Put it back, or start another run with --run NAME.',
  )
}

/** Without manifests it cannot be told which dumps are complete, and which replace which. */
function assertNoBareDumps(root: string, paths: readonly string[]): void {
  const dumps = new Set(paths.flatMap((path) => /(?:^|\/)(sync_\d+)\//.exec(path)?.[1] ?? []))
  if (dumps.size === 0) return
  throw new OperatorError(
    `${root} holds dumps of Heap Connect without their manifests: ${shortened([...dumps])}`,
    'Copy the folder manifests/ too: it tells which files count. To read a single dump as it is, give the address of its folder.',
  )
}

function listOf<T>(lists: Map<string, T[]>, key: string): T[] {
  const known = lists.get(key)
  if (known) return known
  const list: T[] = []
  lists.set(key, list)
  return list
}

function counted(files: number): string {
  return files === 1 ? '1 file' : `${files} files`
}

function shortened(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ')
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown
}
