import { errorMessage, OperatorError, SourceChanged } from '@heapferry/domain'
import {
  QueryFailed,
  type Relation,
  ResultGone,
  type SnowflakeOptions,
  type Warehouse,
  type WarehouseOptions,
  type WarehouseRow,
  type WarehouseWork,
  type Window,
  type WriteAttempt,
  type WrittenTable,
} from '../warehouse.ts'
import { NotOfKind } from '../write-avro.ts'
import type { ExportPlace } from '../../places/open-place.ts'
import { askSnowflake, rowsMissing, type SnowflakeApi } from './ask-snowflake.ts'
import type { TakeRows } from './read-answer.ts'
import { literal, nameOf, parseSnowflakeAddress, quoted } from './snowflake-address.ts'
import { snowflakeCatalogue } from './snowflake-catalogue.ts'
import { cellText, copiedSql, isOfType, NotATime, selectListOf } from './snowflake-columns.ts'
import { isOfAlteredTable, SnowflakeRefusal } from './snowflake-fault.ts'
import type { SnowflakeResult } from './snowflake-requests.ts'

/** A Snowflake, by its SQL API. @throws OperatorError when the address is none */
export function openSnowflake(source: string, options: WarehouseOptions, work: WarehouseWork): Warehouse {
  const address = parseSnowflakeAddress(source)
  const { timeoutMs, snowflake = withoutLogin } = options
  const api = askSnowflake(address, { ...snowflake, timeoutMs }, work)
  const named = ({ name }: Relation): string => `${quoted(address.database)}.${quoted(address.schema)}.${quoted(name)}`
  const select = (relation: Relation): string => `SELECT ${selectListOf(relation)} FROM ${named(relation)}`
  const count = async (relation: Relation): Promise<number> => {
    const [[counted] = []] = await api.query(`SELECT COUNT(*) FROM ${named(relation)}`)
    return Number(counted)
  }

  let read: { handle: string; result: SnowflakeResult } | null = null
  /** Asked for once: partitions of one statement are read one after the other. */
  async function resultOf(handle: string): Promise<SnowflakeResult> {
    if (read?.handle !== handle) read = { handle, result: await api.result(handle) }
    return read.result
  }

  function integration(): string {
    if (snowflake.storageIntegration !== undefined) return quoted(nameOf(snowflake.storageIntegration))
    throw new OperatorError(
      'A Snowflake writes into a bucket by a storage integration, and SNOWFLAKE_STORAGE_INTEGRATION is not set',
      'Set it, in the environment or in .env, to the name of an integration that may write there and that the role may use (GRANT USAGE ON INTEGRATION … TO ROLE …), or start the command without --stage. docs/warehouses.md has the statements.',
    )
  }

  /** Its files have the name of the statement in theirs: no other one's are taken for them, and none is in its way. */
  async function copied(
    relation: Relation,
    place: ExportPlace,
    { attempt, isAgain, called }: { attempt: WriteAttempt; isAgain: boolean; called(handle: string): Promise<void> },
  ): Promise<WrittenTable> {
    const { folder, uuid } = attempt
    let { handle } = attempt
    if (handle === null) {
      const to = literal(`${place.root}/${folder}/`)
      const sql = `COPY INTO ${to} FROM (SELECT ${selectListOf(relation, copiedSql)} FROM ${named(relation)}) STORAGE_INTEGRATION = ${integration()} FILE_FORMAT = (TYPE = PARQUET) HEADER = TRUE MAX_FILE_SIZE = 268435456 INCLUDE_QUERY_ID = TRUE DETAILED_OUTPUT = TRUE`
      handle = await api.submit(sql, { uuid, isAgain })
      await called(handle)
    }
    return writtenFiles(folder, await api.told(handle))
  }

  return {
    address: address.text,
    catalogue: () => snowflakeCatalogue(api.context(), api.query),
    windows: async (relation) => [{ window: { kind: 'whole' }, rows: await count(relation) }],
    count,
    sample: async (relation, rows) =>
      (await api.query(`${select(relation)} LIMIT ${rows}`)).map((row) => textOf(relation, row)),
    cost: async (relations) =>
      `Snowflake is paid by the second that the warehouse ${snowflake.warehouse ?? 'of the user'} runs, at least 60 each time that it starts, and as long as it takes then to fall asleep (AUTO_SUSPEND): ${relations.length} statements, which read each table once, minutes of an XS (a credit an hour) for a hundred million rows. Fetching what they gave needs no warehouse.`,

    queries: {
      begin: async (relation, id) => ofPlannedTable(relation, api.submit(select(relation), id)),
      windows: async (relation, handle) =>
        windowsOf(relation, handle, await ofPlannedTable(relation, resultOf(handle))),
      async drop() {},
    },

    bucket: {
      address: /^s3:\/\//,
      form: 's3://bucket/prefix',
      assertSet: () => void integration(),
      async write(relation, place, { last, next, called }) {
        const left =
          last && (await copied(relation, place, { attempt: last, isAgain: true, called }).catch(nothingLeft))
        if (left) return left
        const attempt = await next()
        try {
          return await ofPlannedTable(relation, copied(relation, place, { attempt, isAgain: false, called }))
        } catch (error) {
          throw error instanceof QueryFailed ? error.told : error
        }
      },
    },

    async read(relation, window, { onStart, onRows }) {
      if (window.kind !== 'result') throw new Error(`Snowflake is not read by windows of the kind ${window.kind}`)
      let batch: WarehouseRow[] = []
      let taken = 0
      const take: TakeRows = {
        onStart() {
          batch = []
          taken = 0
          onStart()
        },
        async onRows(rows) {
          taken += rows.length
          for (const row of rows) {
            batch.push(textOf(relation, row))
            if (batch.length === batchRows) await onRows(batch.splice(0))
          }
        },
      }
      take.onStart()
      const rows = (await resultOf(window.result)).partitionInfo[window.from]?.rowCount ?? 0
      try {
        if (rows > 0) await api.partition(window.result, window.from, take)
        if (batch.length > 0) await onRows(batch)
      } catch (error) {
        if (!(error instanceof NotOfKind) && !(error instanceof NotATime)) throw error
        throw changed(relation, error)
      }
      if (taken !== rows) throw rowsMissing(`Part ${window.from + 1} of ${relation.name}`, rows, taken)
      return rows
    },

    async close() {},
  }
}

const batchRows = 1000

const withoutLogin: SnowflakeOptions = {
  role: undefined,
  storageIntegration: undefined,
  warehouse: undefined,
  endpoint: undefined,
  credentials() {
    throw new OperatorError('Snowflake needs a key pair or a token', 'See docs/warehouses.md.')
  },
}

/** Of a statement that has come to nothing, or of which Snowflake knows nothing any more. */
function nothingLeft(error: unknown): null {
  const refusal = error instanceof OperatorError ? error.cause : undefined
  if (error instanceof QueryFailed || error instanceof ResultGone) return null
  if (refusal instanceof SnowflakeRefusal && refusal.status === 422) return null
  throw error
}

/**
 * What COPY INTO tells with DETAILED_OUTPUT: a line for each file.
 * https://docs.snowflake.com/en/sql-reference/sql/copy-into-location
 */
function writtenFiles(folder: string, { names, rows }: Awaited<ReturnType<SnowflakeApi['told']>>): WrittenTable {
  const cells = ['file_name', 'file_size', 'row_count'].map((name) => names.indexOf(name))
  const files = rows.map((row) => {
    const [name = '', bytes, count] = cells.map((at) => row[at] ?? '')
    // Below the folder, or below the bucket.
    return { path: `${folder}/${name.slice(name.lastIndexOf('/') + 1)}`, bytes: Number(bytes), rows: Number(count) }
  })
  if (rows.length === 0 || !cells.includes(-1)) return { rows: null, fileCount: files.length, files }
  throw new OperatorError(
    `Snowflake tells ${names.join(', ')} of what it has written, and neither names, sizes nor rows of files`,
    'Tell the maintainers of heapferry. Without --stage, under another name with --run, the tables are read by heapferry itself.',
  )
}

/** What is asked of a table, which may not be there any more as it was planned. */
async function ofPlannedTable<T>(relation: Relation, asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (error) {
    const told = error instanceof QueryFailed ? error.told : error
    const reason = told instanceof OperatorError ? told.cause : undefined
    if (!isOfAlteredTable(reason)) throw error
    throw changed(relation, reason)
  }
}

/** Its partitions, a window each. */
function windowsOf(
  relation: Relation,
  handle: string,
  { numRows, rowType, partitionInfo }: SnowflakeResult,
): { window: Window; rows: number }[] {
  const other = relation.columns.findIndex((column, at) => {
    const said = rowType[at]
    return said?.name !== column.name || !isOfType(column, said.type)
  })
  if (other >= 0 || rowType.length !== relation.columns.length) {
    const { name, type } = relation.columns[other] ?? { name: '?', type: '?' }
    throw changed(relation, new Error(`${name} was of the type ${type}, and is ${rowType[other]?.type} now`))
  }
  const counted = partitionInfo.reduce((sum, { rowCount }) => sum + rowCount, 0)
  if (counted !== numRows) throw rowsMissing(relation.name, numRows, counted)
  // A table without rows has a file all the same.
  const partitions = partitionInfo.length === 0 ? [{ rowCount: 0 }] : partitionInfo
  return partitions.map(({ rowCount: rows }, partition) => ({
    window: { kind: 'result', result: handle, from: partition, until: partition + 1 },
    rows,
  }))
}

function changed(relation: Relation, cause: unknown): SourceChanged {
  return new SourceChanged(
    `${relation.name} was altered in the warehouse since it was planned: ${errorMessage(cause)}`,
    'What was unloaded before stays as it is. Put the table or the column back and start the same command again, or start another run with --run NAME.',
    { cause },
  )
}

function textOf({ name, columns }: Relation, row: WarehouseRow): WarehouseRow {
  if (row.length !== columns.length) throw new Error(`a row of ${name} has ${row.length} of ${columns.length} cells`)
  return columns.map((column, at) => {
    const cell = row[at] ?? null
    return cell === null ? null : cellText(column, cell)
  })
}
