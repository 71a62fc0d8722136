import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError, SourceChanged } from '@heapferry/domain'
import {
  type Relation,
  type Warehouse,
  type WarehouseOptions,
  type WarehouseRow,
  type WarehouseWork,
} from '../warehouse.ts'
import { NotOfKind } from '../write-avro.ts'
import { parseRedshiftAddress } from './redshift-address.ts'
import { redshiftCatalogue } from './redshift-catalogue.ts'
import { faultOf, isOfAlteredTable, isPassing, isThrottled, literal, quoted, reasonOf } from './redshift-fault.ts'
import { openDataApi } from './redshift-data-api.ts'
import { redshiftManifest } from './redshift-manifest.ts'
import { connectRedshift, type RedshiftSession } from './redshift-session.ts'
import { redshiftWindows, whereOf } from './redshift-windows.ts'

const firstWaitMs = 1000
const longestWaitMs = 60_000

/** A Redshift, or what speaks like one, on a connection or by the Data API. @throws OperatorError when the address is none */
export function openRedshift(source: string, options: WarehouseOptions, work: WarehouseWork): Warehouse {
  const address = parseRedshiftAddress(source)
  const opened = address.by === 'data_api' ? openDataApi : connectRedshift
  let session: RedshiftSession | null = null
  let hasAnswered = false
  /** What failed here and not in the warehouse. */
  const ours = new WeakSet<object>()

  /** Does something that may be begun anew, as often as connections break. */
  async function withSession<T>(use: (session: RedshiftSession) => Promise<T>): Promise<T> {
    for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
      try {
        work.signal?.throwIfAborted()
        session ??= await opened(address, options, work.signal)
        hasAnswered = true
        const answer = await use(session)
        if (waitMs > firstWaitMs) work.onWait?.(null)
        return answer
      } catch (error) {
        await session?.close()
        session = null
        // Whatever it was that failed.
        work.signal?.throwIfAborted()
        const reason = reasonOf(error)
        // A host that nobody has reached is more likely a wrong one than one that is away.
        const isOurs = error instanceof Error && ours.has(error)
        if (isOurs || !isPassing(reason) || !(hasAnswered || isThrottled(reason)))
          throw isOurs ? error : faultOf(error, address, options.tls ?? 'verify')
        work.onWait?.(errorMessage(reason))
        await sleep(waitMs, undefined, { ...(work.signal && { signal: work.signal }) })
      }
    }
  }

  /** What fails of it is not the warehouse's. */
  const own = <T>(doing: Promise<T>): Promise<T> =>
    doing.catch((error: unknown) => {
      if (error instanceof Error) ours.add(error)
      throw error
    })

  const query = (sql: string): Promise<WarehouseRow[]> => withSession((open) => open.query(sql))
  const named = ({ name }: Relation): string => `${quoted(address.schema)}.${quoted(name)}`

  async function number(sql: string): Promise<number> {
    const [[count] = []] = await query(sql)
    return Number(count)
  }

  return {
    address: address.text,
    catalogue: () => redshiftCatalogue(address, query),
    windows: (relation) => redshiftWindows(named(relation), relation, query),
    count: (relation) => number(`select count(*) from ${named(relation)}`),
    async countEvents(allEvents) {
      const rows = await query(`select event_table_name, count(*) from ${named(allEvents)} group by 1`)
      return new Map(rows.flatMap(([name, count]) => (name ? [[name, Number(count)]] : [])))
    },
    sample: (relation, rows) =>
      withSession((open) => open.query(`select ${listed(relation, open)} from ${named(relation)} limit ${rows}`)),

    read: (relation, window, { onStart, onRows }) =>
      withSession(async (open) => {
        onStart()
        const from = `${named(relation)}${whereOf(relation, window)}`
        try {
          const { counted, rows } = await open.read(
            { count: `select count(*) from ${from}`, select: `select ${listed(relation, open)} from ${from}` },
            (batch) => own(onRows(batch)),
          )
          // An answer that ends too early looks like the end: only the number tells.
          if (rows !== counted)
            throw new OperatorError(
              `${relation.name} has ${counted} rows here, and the warehouse handed out ${rows}`,
              'Nothing of them was taken. Start the same command again; if it is the same then, tell the maintainers of heapferry.',
            )
          return rows
        } catch (error) {
          throw isOfAlteredTable(error) || error instanceof NotOfKind ? altered(relation, error) : error
        }
      }),

    bucket: {
      address: /^s3:\/\//,
      form: 's3://bucket/prefix',

      async write(relation, place, { last, next }) {
        const left = last && (await redshiftManifest(place, last.folder))
        if (left) return { rows: null, fileCount: left.length, files: left }
        return withSession(async (open) => {
          const select = `select ${relation.columns.map(unloaded).join(', ')} from ${named(relation)}`
          // In a text of SQL it may stand for itself or for the sign behind it, as the cluster is set.
          if (select.includes('\\'))
            throw new OperatorError(
              `${relation.name} or a column of it has a \\ in its name, which UNLOAD may take for something else`,
              'Start the command without --stage, under another name with --run.',
            )
          const { folder } = await own(next())
          try {
            const role = options.redshift?.role ?? 'default'
            const rows = await open.run({
              count: `select count(*) from ${named(relation)}`,
              statement: `unload (${literal(select)}) to ${literal(`${place.root}/${folder}/`)} iam_role ${role === 'default' ? role : literal(role)} format parquet maxfilesize 256 mb manifest verbose`,
            })
            const files = await own(redshiftManifest(place, folder))
            if (files !== null) return { rows, fileCount: files.length, files }
          } catch (error) {
            throw isOfAlteredTable(error) ? altered(relation, error) : error
          }
          throw new OperatorError(
            `${address.text} has written ${relation.name}, and there is no ${place.root}/${folder}/manifest`,
            'Check that HEAPFERRY_S3_ENDPOINT and the credentials of this machine lead to the bucket that the cluster writes into.',
          )
        })
      },
    },

    async close() {
      await session?.close()
      session = null
    },
  }
}

function altered({ name }: Relation, cause: unknown): SourceChanged {
  return new SourceChanged(
    `${name} was altered in the warehouse since it was planned: ${errorMessage(cause)}`,
    'What was unloaded before stays as it is. Put the table or the column back and start the same command again, or start another run with --run NAME.',
    { cause },
  )
}

/** A column in Parquet, of the type that it has where it is read row by row. */
function unloaded({ name, sql, kind }: Relation['columns'][number]): string {
  return `${kind === 'float' ? `(${sql})::real` : sql} as ${quoted(name)}`
}

function listed({ columns }: Relation, open: RedshiftSession): string {
  return columns.map((column) => open.selected(column)).join(', ')
}
