/** Behind the name of a file: how it is written and packed, also as ClickHouse, Spark and browsers put it. */
const extensions =
  /(?:\.(?:csv|tsv|psv|txt|text|dat|jsonl?|ndjson|avro|parquet|parq|pq|snappy|deflate|lz4\w*|lzo|brotli|gz|gzip|zstd?|bz2|(?:csv|tsv|tabseparated|tskv)withnames(?:andtypes)?|tabseparated|jsoneachrow|jsonlines))+$/i

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

/**
 * What writers put behind the name of a table, or in its place, and what no name of Heap can hold: those are of a-z, 0-9
 * and _, and of words that people have typed.
 */
const marks: readonly RegExp[] = [
  // A file that was downloaded or copied twice.
  /\s*\(\d+\)$/,
  /(?: -)? (?:copy|kopie|copie|copia|cópia)(?: \d+)?$/,
  // Query ids of Snowflake; file ids of Spark, Iceberg, Flink and Hudi.
  new RegExp(`(?:^|[-_. ])${uuid}.*$`),
  // Hashes of pandas and awswrangler.
  /(?:^|[-_. ])[0-9a-f]{32}(?![0-9a-z]).*$/,
  // Query ids of Trino and Athena.
  /(?:^|[-_. ])\d{8}_\d{6}_\d{5}_[a-z0-9]{5}(?![a-z0-9]).*$/,
  // BigQuery's console.
  /(?:^|[-_. ])bquxjob_[0-9a-f]+_[0-9a-f]+$/,
  // Spreadsheets.
  /(?: -)? sheet ?\d*$/,
  // Beam.
  /(?:^|[-_. ])\d+-of-\d+.*$/,
  // Spark, Sqoop, Glue, Flink.
  /(?:^|[-_. ])part-(?:[rm]-)?\d+.*$/,
  // Redshift.
  /_?\d{4}_part_\d{2,}$/,
  // Hive, with the files of its transactions.
  /(?:^|_)\d{6}_\d+(?:_copy_\d+)?$/,
  // Kafka Connect.
  /\+\d+\+\d+$/,
  // BigQuery; DBeaver's minutes.
  /[-_]\d{12}$/,
  /0000\d{8}$/,
  // Days and times.
  /(?:^|[-_ ])\d{4}-\d{2}-\d{2}(?:[-_ t]+\d{1,2}(?:[-_:.h]?\d{2}){0,2}(?:\.\d+)?s?)?\s*(?:am|pm|z|utc)?$/,
  /(?:^|[-_ ])\d{8}[-_ t]\d{6}z?$/,
  /^\d+(?:[-_. ]\d+)*$/,
  /-\d+-\d+(?:-\d+)*$/,
  /[- ]+(?:exports?|exported|dump|unload|backup)$/,
]

/** Words that writers and people give to whatever they write: alone, or with numbers, they name no table. */
const genericWords: ReadonlySet<string> = new Set(
  (
    'all athena avro backup base batch bigquery bq bucket bulk chunk chunks clickhouse copy csv data delta desktop ' +
    'documents download downloads dump dumps duckdb export exported exports ext file files full gcs glue gz heap json ' +
    'jsonl out output outputs parquet part parts query raw record records redshift result results run rows s3 shard ' +
    'snowflake spark split stage table tables tmp temp text trino tsv txt unload untitled warehouse'
  ).split(' '),
)

/** The words that end the name of a schema, or of a project and its environment, as Heap makes schemas of them. */
const schemaWords: ReadonlySet<string> = new Set(
  'dbo dev development heap main prd prod production public raw staging stg'.split(' '),
)
const warehouses: ReadonlySet<string> = new Set('bigquery bq clickhouse redshift snowflake warehouse'.split(' '))

/** The name of a file without what says how it is written. */
export function stemOf(fileName: string): string {
  let stem = fileName.toLowerCase()
  for (let before = ''; before !== stem; ) {
    before = stem
    stem = stem
      .replace(extensions, '')
      .replace(marks[0] ?? '', '')
      .replace(marks[1] ?? '', '')
  }
  return stem.replace(/^(?:copy of|kopie von|copie de|copia de) /, '')
}

/** Without what writers put behind a name; `''` where nothing is left. */
export function withoutMarks(name: string): string {
  let left = name
  for (let before = ''; before !== left; ) {
    before = left
    for (const mark of marks) left = left.replace(mark, '')
  }
  return left
}

/** Whether a name, without its marks, is of nothing but words for whatever is written, and numbers. */
export function isGeneric(name: string): boolean {
  return wordsOf(name).every(
    (word) => genericWords.has(word) || /^\d+$/.test(word) || genericWords.has(word.replace(/\d+$/, '')),
  )
}

/** Whether nobody calls an event so, unlike `download` or `export`. */
export function isNoName(word: string): boolean {
  return /^(?:csv|data|file|files|json|out|output|outputs|parquet|part|parts|record|records|result|results|rows|table|tables|text|tmp|temp|txt|untitled)$/.test(
    word,
  )
}

/** Whether what stands before the name of a table is surely that of its schema, and no part of an event's name. */
export function isSchema(prefix: string): boolean {
  const last = wordsOf(prefix).at(-1) ?? ''
  return schemaWords.has(last) || warehouses.has(last)
}

function wordsOf(name: string): string[] {
  return name.split(/[-_. ]+/).filter((word) => word !== '')
}
