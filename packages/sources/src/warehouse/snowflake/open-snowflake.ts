import { errorMessage, OperatorError, SourceChanged } from '@heapferry/domain'
import {
  QueryFailed,
  type Relation,
  type SnowflakeOptions,
  type Warehouse,
  type WarehouseOptions,
  type WarehouseRow,
  type WarehouseWork,
  type Window,
} from '../warehouse.ts'
import { NotOfKind } from '../write-avro.ts'
import { askSnowflake, rowsMissing, type SnowflakeResult } from './ask-snowflake.ts'
import { parseSnowflakeAddress, quoted } from './snowflake-address.ts'
import { snowflakeCatalogue } from './snowflake-catalogue.ts'
import { cellText, isOfType, NotATime, selectListOf } from './snowflake-columns.ts'
import { isOfAlteredTable } from './snowflake-fault.ts'

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

  return {
    address: address.text,
    catalogue: () => snowflakeCatalogue(api.context(), api.query),
    windows: async (relation) => [{ window: { kind: 'whole' }, rows: await count(relation) }],
    count,
    sample: async (relation, rows) => textOf(relation, await api.query(`${select(relation)} LIMIT ${rows}`)),
    cost: async (relations) =>
      `Snowflake is paid by the second that the warehouse ${snowflake.warehouse ?? 'of the user'} runs, at least 60 each time that it starts, and as long as it takes then to fall asleep (AUTO_SUSPEND): ${relations.length} statements, which read each table once, minutes of an XS (a credit an hour) for a hundred million rows. Fetching what they gave needs no warehouse.`,

    queries: {
      begin: async (relation, id) => ofPlannedTable(relation, api.submit(select(relation), id)),
      windows: async (relation, handle) =>
        windowsOf(relation, handle, await ofPlannedTable(relation, resultOf(handle))),
      async drop() {},
    },

    async read(relation, window, { onStart, onRows }) {
      if (window.kind !== 'result') throw new Error(`Snowflake is not read by windows of the kind ${window.kind}`)
      onStart()
      const rows = (await resultOf(window.result)).partitionInfo[window.from]?.rowCount ?? 0
      const cells = rows === 0 ? [] : await api.partition(window.result, window.from)
      if (cells.length !== rows) throw rowsMissing(`Part ${window.from + 1} of ${relation.name}`, rows, cells.length)
      try {
        for (let at = 0; at < cells.length; at += batchRows)
          await onRows(textOf(relation, cells.slice(at, at + batchRows)))
      } catch (error) {
        if (!(error instanceof NotOfKind) && !(error instanceof NotATime)) throw error
        throw changed(relation, error)
      }
      return rows
    },

    async close() {},
  }
}

const batchRows = 1000

const withoutLogin: SnowflakeOptions = {
  role: undefined,
  warehouse: undefined,
  endpoint: undefined,
  credentials() {
    throw new OperatorError('Snowflake needs a key pair or a token', 'See docs/warehouses.md.')
  },
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

function textOf({ name, columns }: Relation, rows: readonly WarehouseRow[]): WarehouseRow[] {
  return rows.map((row) => {
    if (row.length !== columns.length) throw new Error(`a row of ${name} has ${row.length} of ${columns.length} cells`)
    return columns.map((column, at) => {
      const cell = row[at] ?? null
      return cell === null ? null : cellText(column, cell)
    })
  })
}
