import path from 'node:path'

/** Names that writers of shards give to every table alike: the table is named by the folder then. */
const anonymousShard = /^(?:part-\d+.*|\d+_part_\d+|data(?:_\d+)*|\d+)$/

/**
 * The table that a file holds, by its path relative to the export.
 *
 * The name is the last part between dots (`my_app.heap_main_production.pageviews.csv`), without what writers append:
 * `-000000000003` (BigQuery), `0000_part_00` (Redshift), `_0_1_2` (Snowflake, behind built-in names), `part-00000-<guid>-c000` (Spark, named by
 * the folder).
 */
export function tableNameOf(relativePath: string): string {
  const base = path.posix.basename(relativePath)
  const stem = base.replace(/\.(?:csv|tsv|psv|txt)$/i, '')
  // "users.000" is Snowflake's and Redshift's way of numbering too; a table name never is a number.
  const named = stem.split('.').findLast((part) => part !== '' && !/^\d+$/.test(part)) ?? stem
  const folder = path.posix.basename(path.posix.dirname(relativePath))
  if (anonymousShard.test(named) && folder !== '.' && folder !== '') return tableNameOf(folder)
  return withoutShard(named).toLowerCase()
}

function withoutShard(name: string): string {
  const redshift = name.match(/^(.+?)_?\d{4,}_part_\d{2,}$/)?.[1]
  const bigQuery = name.match(/^(.+)[-_]\d{12}$/)?.[1]
  // Any numbers, but only behind a built-in name: an event may well be called "release_1_2_3".
  const builtIn = name.match(/^(users|user_migrations|sessions|pageviews|all_events)(?:[_-]?\d+)+$/i)?.[1]
  return redshift ?? bigQuery ?? builtIn ?? name
}
