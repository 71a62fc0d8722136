import { OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import type { ExportPlace } from '../places/open-place.ts'
import type { CellKind } from './write-avro.ts'

/** How warehouses are reached: settings of the one machine that unloads them. */
export interface WarehouseOptions {
  /** @throws OperatorError when none is to be found */
  passwordFor(login: { host: string; port: number; database: string; user: string }): string
  /** Without it: `verify`, but `off` on loopback. */
  tls: 'verify' | 'unverified' | 'off' | undefined
  /** For one statement, or of silence. */
  timeoutMs: number
  bigquery?: {
    /** A dataset for results: `dataset` or `project.dataset`. */
    scratch?: string | undefined
    /** Without it: Google's own. */
    endpoint?: string | undefined
    /** Of GOOGLE_APPLICATION_CREDENTIALS. Without it: what Google's own tools find. */
    keyFile?: string | undefined
  }
  redshift?: {
    /** As whom it writes into a bucket: ARNs of roles, or `default`. */
    role: string
    /** The host name by which AWS knows it, where the address has another one. */
    cluster?: string | undefined
  }
  snowflake?: SnowflakeOptions
}

export interface SnowflakeOptions {
  /** As SQL writes names; without them: those of the user. */
  role: string | undefined
  warehouse: string | undefined
  /** As whom it writes into a bucket, as SQL writes it. */
  storageIntegration: string | undefined
  /** Without it: the account's own, by https. */
  endpoint: string | undefined
  /** Asked before every request, since a token may have been renewed. @throws OperatorError when there are none */
  credentials(): SnowflakeCredentials
}

export type SnowflakeCredentials =
  | { kind: 'key'; user: string; pem: string; passphrase: string | undefined }
  | { kind: 'token'; type: 'OAUTH' | 'PROGRAMMATIC_ACCESS_TOKEN'; text: string }

/** A column as it is read: `sql` makes the text that every way of reading gives. */
export const WarehouseColumn = z.object({
  /** Lower case. */
  name: z.string(),
  /** As the warehouse calls it. */
  type: z.string(),
  sql: z.string(),
  kind: z.enum(['string', 'long', 'boolean', 'double', 'float'] satisfies CellKind[]),
})
export type WarehouseColumn = z.infer<typeof WarehouseColumn>

/** What is read of a table at a time: all of it, a half-open span of its time, or of the result of a query. */
export const Window = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('whole') }),
  /** From the `time` (inclusive) to the `time` (exclusive), as the warehouse writes it; null: without an end on that side. Rows without a time are in the last one. */
  z.object({ kind: z.literal('time'), since: z.string().nullable(), until: z.string().nullable() }),
  /**
   * Of what a query gave, which the warehouse keeps for a while and never changes: `from` (inclusive, 0 is the first) to
   * `until` (exclusive), in rows, or in the parts that the warehouse has divided it into. `result`: what it is found by.
   */
  z.object({
    kind: z.literal('result'),
    result: z.string(),
    from: z.number().int().nonnegative(),
    until: z.number().int().nonnegative(),
  }),
])
export type Window = z.infer<typeof Window>

/** A table or a view of the warehouse. */
export interface Relation {
  /** As the warehouse calls it. */
  name: string
  columns: readonly WarehouseColumn[]
  /** Its rows are not counted but estimated, since counting them would cost money. */
  isEstimated?: boolean
}

export interface Catalogue {
  relations: Relation[]
  /** What may not be read, and columns that no event can carry, for the user. */
  notices: string[]
}

/** WarehouseRow in the order of the columns. */
export type WarehouseRow = readonly (string | null)[]

/** A warehouse as the one process that unloads it sees it. */
export interface Warehouse {
  /** As a person types it; without secrets. */
  readonly address: string
  /** @throws OperatorError when tables may not be read */
  catalogue(): Promise<Catalogue>
  /** The windows that a table of events is to be read in, which tile it, and how many rows each has. */
  windows(relation: Relation): Promise<{ window: Window; rows: number }[]>
  count(relation: Relation): Promise<number>
  /** The first rows that it hands out. */
  sample(relation: Relation, rows: number): Promise<WarehouseRow[]>
  /**
   * Reads a window from its beginning, in one snapshot; anew from there where the connection breaks, after `onStart`.
   * @returns how many rows there were, as many as the warehouse itself counts in that snapshot
   * @throws SourceChanged when the table is not what it was; ResultGone
   */
  read(
    relation: Relation,
    window: Window,
    take: { onStart(): void; onRows(rows: readonly WarehouseRow[]): Promise<void> },
  ): Promise<number>
  /** How many rows `all_events` has of each table of events, by the name that the warehouse calls it. */
  countEvents?(allEvents: Relation): Promise<ReadonlyMap<string, number>>
  /** What unloading costs there, for the user; nothing where it costs no more than load. */
  cost?(relations: readonly Relation[]): Promise<string>
  /** Where the warehouse itself can write tables into a bucket. */
  bucket?: WarehouseBucket
  /** Where tables are not read themselves, but the result of one query of each. */
  queries?: WarehouseQueries
  close(): Promise<void>
}

/** How a warehouse writes tables into a bucket, as files that are read as those of any export. */
interface WarehouseBucket {
  /** Of the buckets that it can write into. */
  address: RegExp
  /** The same for people. */
  form: string
  /** @throws OperatorError when a setting lacks that it needs for it */
  assertSet?(): void
  /**
   * Has all rows of a table written, in one snapshot, and waits for it; what an attempt has left whole of which nobody was told
   * is taken. No file is replaced or deleted.
   * @param place the bucket, below the prefix of the run
   * @throws SourceChanged when the table is not what it was
   */
  write(relation: Relation, place: ExportPlace, attempts: WriteAttempts): Promise<WrittenTable>
}

/** Attempts to have a table written. All of this is stored before it is told. */
interface WriteAttempts {
  /** The one whose end nobody has seen. */
  last: WriteAttempt | null
  /** Begins another, in a folder in which nothing lies. */
  next(): Promise<WriteAttempt>
  /** Stores what the warehouse calls the statement of this attempt, where it has names of its own. */
  called(handle: string): Promise<void>
}

export interface WriteAttempt {
  /** Below the place, e.g. `pageviews/1`. */
  folder: string
  /** A random UUID: the same one, the same statement, where the warehouse takes names for them. */
  uuid: string
  /** What the warehouse calls the statement. */
  handle: string | null
}

/** What a warehouse says that it has written. */
export interface WrittenTable {
  /** As it counts them in the snapshot that it has written; null where it does not say, or that is over. */
  rows: number | null
  /** How many files it says there are. */
  fileCount: number
  /** Paths below the place, and what it says of them. */
  files: { path: string; rows?: number; bytes?: number }[]
}

/** Queries whose results the warehouse keeps for a while. */
interface WarehouseQueries {
  /**
   * Where the warehouse has names of its own for queries: begins one, and does not wait for it.
   * @param id a random UUID, stored before this is called. `isAgain`: it may have begun by it already, and is found then
   * @returns the name, which is stored before `windows` is called with it
   * @throws SourceChanged when the table is not what it was
   */
  begin?(relation: Relation, id: { uuid: string; isAgain: boolean }): Promise<string>
  /**
   * Asks for all rows of a table, or finds that they were asked for, and waits until the result is there.
   * @param id what `begin` named it, else a random UUID; stored before this is called: the same one finds the same query again
   * @returns the windows that tile the result
   * @throws ResultGone, QueryFailed, SourceChanged when the table is not what it was
   */
  windows(relation: Relation, id: string): Promise<{ window: Window; rows: number }[]>
  /** All of it was read. */
  drop(window: Window): Promise<void>
}

/** The warehouse has no longer what a query gave: that table is to be queried again, and read from its beginning. */
export class ResultGone extends OperatorError {
  override name = 'ResultGone'
}

/** A query has come to no result, and never will: whoever comes next has to ask anew. */
export class QueryFailed extends Error {
  override name = 'QueryFailed'
  /** What it failed by, and what to do. */
  readonly told: OperatorError
  constructor(told: OperatorError) {
    super(told.message, { cause: told })
    this.told = told
  }
}

export interface WarehouseWork {
  /** Ends waiting: what waits throws an AbortError. */
  signal?: AbortSignal | undefined
  /** Told that the warehouse is waited for, and why; null when it answers again. */
  onWait?(reason: string | null): void
}

const opened: Readonly<Record<string, () => Promise<OpenWarehouse>>> = {
  bigquery: async () => (await import('./bigquery/open-bigquery.ts')).openBigquery,
  redshift: async () => (await import('./redshift/open-redshift.ts')).openRedshift,
  'redshift-data': async () => (await import('./redshift/open-redshift.ts')).openRedshift,
  snowflake: async () => (await import('./snowflake/open-snowflake.ts')).openSnowflake,
}

type OpenWarehouse = (source: string, options: WarehouseOptions, work: WarehouseWork) => Warehouse

/** Whether a SOURCE is a warehouse. */
export function isWarehouse(source: string): boolean {
  return loaderOf(source) !== undefined
}

/**
 * Nothing is asked of it yet.
 * @throws OperatorError when the address is none
 */
export async function openWarehouse(
  source: string,
  options: WarehouseOptions,
  work: WarehouseWork = {},
): Promise<Warehouse> {
  const load = loaderOf(source)
  if (load === undefined) throw new Error('the source is no warehouse')
  return (await load())(source, options, work)
}

function loaderOf(source: string): (() => Promise<OpenWarehouse>) | undefined {
  const scheme = /^([\w-]+):/.exec(source)?.[1]?.toLowerCase() ?? ''
  return Object.hasOwn(opened, scheme) ? opened[scheme] : undefined
}
