import { randomUUID } from 'node:crypto'
import { OperatorError, SourceChanged } from '@heapferry/domain'
import { z } from 'zod'
import type { ExportPlace } from '../../places/open-place.ts'
import type {
  Relation,
  Warehouse,
  WarehouseOptions,
  WarehouseRow,
  WarehouseWork,
  WriteAttempt,
  WrittenTable,
} from '../warehouse.ts'
import { NotOfKind } from '../write-avro.ts'
import { type Dataset, parseBigqueryAddress, parseScratch } from './bigquery-address.ts'
import { bigqueryApi } from './bigquery-api.ts'
import { type BigqueryCatalogue, bigqueryCatalogue } from './bigquery-catalogue.ts'
import { bigquerySelect, bigqueryText, exportedSql, literal, quoted } from './bigquery-columns.ts'
import { alteredHint, asAltered, faultOf, isForbidden, isNotThere } from './bigquery-fault.ts'
import { type BigqueryJobs, bigqueryJobs } from './bigquery-jobs.ts'
import { type BigqueryRow, goneOf, readRows, totalOf } from './bigquery-rows.ts'

// What a file is made of, and what is read again after a crash; each is a line of stage.json.
const windowRows = 50_000
const scratchDays = 7

const Located = z.object({ location: z.string() })

/** A BigQuery. Of each table one query is asked, and its result is read. @throws OperatorError when the address is none */
export function openBigquery(source: string, options: WarehouseOptions, work: WarehouseWork): Warehouse {
  const address = parseBigqueryAddress(source)
  const given = options.bigquery?.scratch
  const scratch = given === undefined ? null : parseScratch(given, address)
  const api = bigqueryApi(address, options, work)
  let looked: Promise<BigqueryCatalogue> | null = null
  let connected: Promise<BigqueryJobs> | null = null

  async function told<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked
    } catch (error) {
      throw faultOf(error, address, given)
    }
  }

  /** Jobs run where the data is, and are paid by the project that has the scratch dataset. */
  async function connect(): Promise<BigqueryJobs> {
    const { location } = await api.get(pathOf(address), Located)
    if (scratch !== null) {
      const other = await api.get(pathOf(scratch), Located)
      if (other.location !== location)
        throw new OperatorError(
          `${address.text} is in ${location}, and the scratch dataset ${given} in ${other.location}: no query can write there`,
          `Make one in the same location: bq mk --location=${location} --default_table_expiration 604800 ${scratch.project}:NAME, and set HEAPFERRY_BIGQUERY_SCRATCH to it.`,
        )
    }
    const { project } = scratch ?? address
    const { timeoutMs } = options
    return bigqueryJobs(api, { project, location, timeoutMs, ...(work.signal && { signal: work.signal }) })
  }

  const jobs = (): Promise<BigqueryJobs> => (connected ??= connect())
  const catalogue = (): Promise<BigqueryCatalogue> => (looked = bigqueryCatalogue(api, address, given))
  const stored = async ({ name }: Relation) => (await (looked ?? catalogue())).stored.get(name)
  const named = ({ name }: Relation): string => [address.project, address.dataset, name].map(quoted).join('.')
  const selected = (relation: Relation): string => bigquerySelect(relation, named(relation))

  /** Where the rows of a query are, that nobody looks for afterwards. */
  async function queried(sql: string): Promise<string> {
    const { done, resultOf } = await jobs()
    return resultOf(await done(randomUUID(), () => sql))
  }

  async function count(relation: Relation): Promise<number> {
    const known = await stored(relation)
    if (known) return known.rows
    const rowsPath = await queried(`SELECT COUNT(*) FROM (${selected(relation)})`)
    for await (const [row] of readRows(api, rowsPath, { from: 0, until: 1 })) return Number(row?.[0])
    return 0
  }

  async function sample(relation: Relation, rows: number): Promise<WarehouseRow[]> {
    const known = await stored(relation)
    const columns = known?.columns ?? relation.columns.map(({ name }) => name)
    const rowsPath =
      known?.columns === undefined || known.columns === null
        ? await queried(`${selected(relation)} LIMIT ${rows}`)
        : rowsPathOf(address, known.table)
    const texts = textsOf(relation, columns)
    const found: WarehouseRow[] = []
    const until = Math.min(rows, await totalOf(api, rowsPath))
    for await (const page of readRows(api, rowsPath, { from: 0, until })) found.push(...page.map(texts))
    return found
  }

  async function windowsOf(relation: Relation, id: string): Promise<{ rowsPath: string; total: number }> {
    const { done, resultOf } = await jobs()
    try {
      const job = await done(id, (name) => `${scratch === null ? '' : createTable(scratch, name)}${selected(relation)}`)
      const rowsPath = scratch === null ? resultOf(job) : rowsPathOf(scratch, job)
      return { rowsPath, total: await totalOf(api, rowsPath).catch(asGone) }
    } catch (error) {
      throw asAltered(error, relation.name)
    }
  }

  /** Its job is known by a name, and so are its files: of a job that was tried again they lie beside those of the first. */
  async function exported(
    relation: Relation,
    place: ExportPlace,
    { folder, uuid }: WriteAttempt,
  ): Promise<WrittenTable> {
    const { done, exportedBy } = await jobs()
    const filesOf = (job: string): string => `${folder}/${job}-`
    const select = bigquerySelect(relation, named(relation), exportedSql)
    const job = await done(
      uuid,
      (name) =>
        `EXPORT DATA OPTIONS(uri=${literal(`${place.root}/${filesOf(name)}*.parquet`)}, format='PARQUET', compression='SNAPPY', overwrite=false) AS ${select}`,
    ).catch((error: unknown) => {
      throw asAltered(error, relation.name)
    })
    const { files, rows } = await exportedBy(job)
    const there = (await place.list()).filter((path) => path.startsWith(filesOf(job)))
    return { rows, fileCount: files, files: there.map((path) => ({ path })) }
  }

  return {
    address: address.text,
    catalogue: () => told(catalogue()),
    count: (relation) => told(count(relation)),
    windows: async (relation) => [{ window: { kind: 'whole' }, rows: await told(count(relation)) }],
    sample: (relation, rows) => told(sample(relation, rows)),

    async cost(relations) {
      const { bytesOf } = await told(jobs())
      let bytes = 0
      for (const relation of relations) bytes += await told(bytesOf(selected(relation)))
      return `BigQuery scans ${sizeText(bytes)} to unload it, once: billed on demand by the TiB, or done by the slots that you have reserved. What plan reads beside it is free, but for queries that it names.`
    },

    queries: {
      async windows(relation, id) {
        const { rowsPath, total } = await told(windowsOf(relation, id))
        return Array.from({ length: Math.max(1, Math.ceil(total / windowRows)) }, (_, index) => {
          const from = index * windowRows
          const until = Math.min(from + windowRows, total)
          return { window: { kind: 'result', result: rowsPath, from, until }, rows: until - from }
        })
      },
      async drop(window) {
        // Of a query's own result BigQuery takes care.
        if (window.kind !== 'result' || !window.result.endsWith('/data')) return
        try {
          await api.delete(window.result.replace(/\/data$/, ''))
        } catch (error) {
          // It expires by itself.
          if (!isNotThere(error) && !isForbidden(error)) throw faultOf(error, address, given)
        }
      },
    },

    bucket: {
      // A * stands for the number of a file.
      address: /^gs:\/\/[^*]+$/,
      form: 'gs://bucket/prefix',
      write: async (relation, place, { last, next }) => told(exported(relation, place, last ?? (await next()))),
    },

    async read(relation, window, { onStart, onRows }) {
      if (window.kind !== 'result') throw new Error('of a BigQuery results are read')
      const texts = textsOf(
        relation,
        relation.columns.map(({ name }) => name),
      )
      onStart()
      try {
        for await (const page of readRows(api, window.result, window)) await onRows(page.map(texts))
      } catch (error) {
        if (!(error instanceof NotOfKind)) throw faultOf(error, address, given)
        throw new SourceChanged(
          `${relation.name} was altered in the warehouse since it was planned: ${error.message}`,
          alteredHint,
          { cause: error },
        )
      }
      return window.until - window.from
    },

    async close() {},
  }
}

/** BigQuery deletes it by itself: nobody may come back for it. */
function createTable(scratch: Dataset, name: string): string {
  const table = [scratch.project, scratch.dataset, name].map(quoted).join('.')
  return `CREATE TABLE ${table} OPTIONS(expiration_timestamp=TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL ${scratchDays} DAY)) AS `
}

function pathOf({ project, dataset }: Dataset): string {
  return `${encodeURIComponent(project)}/datasets/${dataset}`
}

function rowsPathOf(of: Dataset, table: string): string {
  return `${pathOf(of)}/tables/${encodeURIComponent(table)}/data`
}

function asGone(error: unknown): never {
  throw isNotThere(error) ? goneOf(error) : error
}

/** @param names of the columns as they come */
function textsOf({ columns }: Relation, names: readonly string[]): (row: BigqueryRow) => WarehouseRow {
  const places = columns.map((column) => ({ column, at: names.indexOf(column.name) }))
  return (row) =>
    places.map(({ column, at }) => {
      const cell = row[at] ?? null
      if (cell !== null && typeof cell !== 'string')
        throw new NotOfKind(`the column ${column.name} holds lists or records by now`)
      return bigqueryText(column, cell)
    })
}

function sizeText(bytes: number): string {
  const gib = bytes / 2 ** 30
  return gib < 1 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${gib.toFixed(1)} GiB`
}
