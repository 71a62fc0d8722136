import pMap from 'p-map'
import { OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import type { Catalogue, Relation } from '../warehouse.ts'
import type { BigqueryAddress } from './bigquery-address.ts'
import type { BigqueryApi } from './bigquery-api.ts'
import { bigqueryColumn, isListed } from './bigquery-columns.ts'
import { grantsText, isForbidden } from './bigquery-fault.ts'
import { Count } from './bigquery-jobs.ts'

const Listed = z.object({
  tables: z.array(z.object({ tableReference: z.object({ tableId: z.string() }), type: z.string() })).optional(),
  nextPageToken: z.string().optional(),
})

const Described = z.object({
  type: z.string(),
  numRows: Count.optional(),
  schema: z
    .object({
      fields: z.array(z.object({ name: z.string(), type: z.string(), mode: z.string().optional() })).optional(),
    })
    .optional(),
})

type Table = z.infer<typeof Described> & { name: string }

export interface BigqueryCatalogue extends Catalogue {
  /** By the name of a relation: what can be counted without a query. */
  stored: ReadonlyMap<string, StoredTable>
}

interface StoredTable {
  table: string
  rows: number
  /** In their order; null where its rows cannot be listed without a query. */
  columns: readonly string[] | null
  /** It stands in for a view, and may have rows which that has not. */
  isBehind: boolean
}

const askedAtATime = 8

/**
 * The tables and views of a dataset with their columns. Heap's names are views; behind `pageviews` is `pageviews_raw`, which
 * repeats rows and has people unmerged: the view is read.
 * @throws OperatorError that names what may not be read and which roles allow it
 */
export async function bigqueryCatalogue(
  api: BigqueryApi,
  address: BigqueryAddress,
  scratch: string | undefined,
): Promise<BigqueryCatalogue> {
  const { project, dataset, text } = address
  const path = `${encodeURIComponent(project)}/datasets/${dataset}/tables`
  const listed: { name: string; type: string }[] = []
  for (let token: string | undefined, isFirst = true; isFirst || token !== undefined; isFirst = false) {
    const page = await api.get(
      `${path}?maxResults=1000${token === undefined ? '' : `&pageToken=${encodeURIComponent(token)}`}`,
      Listed,
    )
    for (const { tableReference, type } of page.tables ?? []) listed.push({ name: tableReference.tableId, type })
    token = page.nextPageToken
  }
  const forbidden: string[] = []
  const described = await pMap(
    listed.filter(({ type }) => type !== 'MODEL'),
    async ({ name }) => {
      try {
        return [{ name, ...(await api.get(`${path}/${encodeURIComponent(name)}`, Described)) }]
      } catch (error) {
        if (!isForbidden(error)) throw error
        forbidden.push(name)
        return []
      }
    },
    { concurrency: askedAtATime },
  )
  const tables = new Map<string, Table>(described.flat().map((table) => [table.name, table]))
  if (forbidden.length > 0) {
    const shown = forbidden.toSorted().slice(0, 5).join(', ')
    throw new OperatorError(
      `${text}: ${forbidden.length === 1 ? 'the table' : `${forbidden.length} tables`} ${shown}${forbidden.length > 5 ? ' …' : ''} may not be read`,
      `${grantsText(address, scratch)} Nothing is left out silently.`,
    )
  }
  if (tables.size === 0)
    throw new OperatorError(
      `${text} has no table that can be seen here`,
      `Check the name of the dataset (bq ls ${project}:), and the rights. ${grantsText(address, scratch)}`,
    )

  const notices: string[] = []
  const behind = [...tables.values()].filter((table) => isRaw(table, tables)).map(({ name }) => name)
  const bare = behind.filter((name) => !tables.has(viewOf(name)))
  if (bare.length > 0)
    throw new OperatorError(
      `${text} has ${bare.slice(0, 5).join(', ')}${bare.length > 5 ? ' …' : ''} without the view that Heap makes of it`,
      'Rows are repeated there and people are not merged. Where the views are in another dataset, give that one; where it is no table of Heap, move it to another dataset, or make a view of the name without _raw.',
    )
  if (behind.length > 0) notices.push(`Not unloaded, as the views before them are: ${shortened(behind)}`)

  const relations: Relation[] = []
  const stored = new Map<string, StoredTable>()
  const queried: string[] = []
  for (const table of tables.values()) {
    const { name, schema } = table
    if (behind.includes(name)) continue
    const fields = schema?.fields ?? []
    const columns = fields.flatMap((field) => {
      const read = bigqueryColumn(field.name, typeOf(field))
      if (read === null) notices.push(`${name}: the column ${field.name} is of the type ${field.type} and is left out`)
      return read ?? []
    })
    const from = table.type === 'VIEW' ? tables.get(`${name}_raw`) : table
    if (from?.type === 'TABLE' && from.numRows !== undefined) {
      const known = (from.schema?.fields ?? []).map((field) => field.name.toLowerCase())
      const isReadable = columns.every((column) => isListed(column) && known.includes(column.name))
      const isBehind = from.name !== name
      stored.set(name, { table: from.name, rows: from.numRows, columns: isReadable ? known : null, isBehind })
    }
    if ((stored.get(name)?.columns ?? null) === null) queried.push(name)
    relations.push({ name, columns, ...(stored.get(name)?.isBehind && { isEstimated: true }) })
  }
  if (queried.length > 0)
    notices.push(
      `Sampled by plan, and views counted, by queries that are billed, since there is no table whose rows could be listed instead: ${shortened(queried)}`,
    )
  return { relations, notices, stored }
}

/**
 * What Heap writes to, and makes a view of; also where the view is missing and it looks like Heap's. A view is none, so an
 * event of Heap may be called so.
 */
function isRaw({ name, type, schema }: Table, tables: ReadonlyMap<string, unknown>): boolean {
  if (type !== 'TABLE' || !name.endsWith('_raw')) return false
  return tables.has(viewOf(name)) || (schema?.fields ?? []).some((field) => field.name.toLowerCase() === 'user_id')
}

function viewOf(raw: string): string {
  return raw.replace(/_raw$/, '')
}

function typeOf({ type, mode }: { type: string; mode?: string | undefined }): string {
  return mode === 'REPEATED' ? 'ARRAY' : type
}

function shortened(names: readonly string[]): string {
  const shown = names.toSorted().slice(0, 20).join(', ')
  return names.length > 20 ? `${shown} and ${names.length - 20} more` : shown
}
