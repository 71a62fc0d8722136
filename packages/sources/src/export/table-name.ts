import path from 'node:path'

const extensions =
  /(?:\.(?:csv|tsv|psv|txt|jsonl?|ndjson|dat|avro|parquet|parq|pq|snappy|deflate|lz4\w*|lzo|brotli|gz|gzip|zstd?|bz2))+$/i

// Heap's own names are of a-z, 0-9 and _: what holds a UUID, or nothing but digits, was never one.
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
/** Names that writers of shards give to every table alike: the table is named by the folder then. */
const anonymousShard = new RegExp(
  `^(?:part-\\d+.*|\\d+_part_\\d+|data(?:_\\d+)*|\\d+(?:_\\d+)*|(?:.*[_-])?${uuid}.*)$`,
  'i',
)

/** Folders that divide a table: by a column, as Hive has it (`dt=2024-01-01`), or by numbers alone (`2024/01`). */
const partition = /=|^\d+(?:[-_]\d+)*$/
const tablePartition = /^(?:event_table_name|event_name|table_name|table)=(.+)$/i

/**
 * The table that a file holds, by its path relative to the export.
 *
 * The name is the last part between dots (`my_app.heap_main_production.pageviews.csv`), without what writers append:
 * `-000000000003` (BigQuery), `0000_part_00` (Redshift), `_0_1_2` (Snowflake, behind built-in names). Where the file has
 * none of its own (`part-00000-<guid>-c000`, `data_0_0_0`), it is that of the folder, or of the partition
 * (`event_table_name=signup`).
 */
export function tableNameOf(relativePath: string): string {
  const folders = path.posix
    .dirname(relativePath)
    .split('/')
    .filter((folder) => folder !== '.' && folder !== '')
  const named = folders.filter((folder) => !partition.test(folder)).map(nameIn)
  const ofPartition = folders.map((folder) => tablePartition.exec(folder)?.[1]).findLast((name) => name !== undefined)
  // all_events may be divided by the tables whose events it lists; its rows are still not those of the tables.
  if (ofPartition !== undefined && named.at(-1) !== 'all_events') return ofPartition.toLowerCase()
  const own = path.posix.basename(relativePath)
  return anonymousShard.test(lastPart(own)) ? (named.at(-1) ?? nameIn(own)) : nameIn(own)
}

/**
 * The tables of files that lie together: beside its first shard (`signup_0_0_0` of Snowflake, `signup000` of Redshift), a
 * number is known for a shard's.
 * @param folder the name of what the paths are relative to, `''` where it has none
 */
export function tableNamesOf(relativePaths: readonly string[], folder: string): string[] {
  const names = relativePaths.map((file) => tableNameOf(path.posix.join(folder, file)))
  const sharded = new Set(names.map((name) => firstShard.exec(name)?.slice(1).find(Boolean)))
  return names.map((name) => {
    const table = anyShard.exec(name)?.slice(1).find(Boolean)
    return table !== undefined && sharded.has(table) ? table : name
  })
}

const firstShard = /^(?:(.+)_0_0_0|(.*[a-z])_?000)$/
const anyShard = /^(?:(.+)_\d+_\d+_\d+|(.*[a-z])_?\d{3})$/

function nameIn(name: string): string {
  return withoutShard(lastPart(name)).toLowerCase()
}

function lastPart(name: string): string {
  const stem = name.replace(extensions, '')
  // "users.000" is Snowflake's and Redshift's way of numbering too; a table name never is a number.
  return stem.split('.').findLast((part) => part !== '' && !/^\d+$/.test(part)) ?? stem
}

function withoutShard(name: string): string {
  const redshift = name.match(/^(.+?)_?\d{4,}_part_\d{2,}$/)?.[1]
  const bigQuery = name.match(/^(.+)[-_]\d{12}$/)?.[1]
  // Any numbers, but only behind a built-in name: an event may well be called "release_1_2_3".
  const builtIn = name.match(/^(users|user_migrations|sessions|pageviews|all_events)(?:[_-]?\d+)+$/i)?.[1]
  return redshift ?? bigQuery ?? builtIn ?? name
}
