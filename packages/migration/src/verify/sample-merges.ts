import type { ConverterFor, ExportFile, PostHogEvent, ReadRow, Source } from '@heapferry/domain'
import { conversionOf } from '../end-of-row.ts'

/** Two ids of one person. */
export interface Merge {
  alias: string
  distinctId: string
}

export interface MergeSampling {
  source: Pick<Source, 'sample'>
  converterFor: ConverterFor
  /** False for rows that PostHog refused. */
  isSent(file: ExportFile, row: ReadRow): boolean
}

const mergesPerTable = 100
// Most users of an export have no identity, and join nobody.
const rowsPerTable = 3000

/** Some of the merges that were sent: a hundred of each table of people, spread over the first of its files. */
export async function sampleMerges(files: readonly ExportFile[], work: MergeSampling): Promise<Merge[]> {
  const tables = new Map<string, ExportFile[]>()
  for (const file of files) {
    const { name, kind } = file.table
    if (kind === 'users' || kind === 'user_migrations' || kind === 'identify')
      tables.set(`${kind} ${name}`, [...(tables.get(`${kind} ${name}`) ?? []), file])
  }
  const merges: Merge[] = []
  for (const group of tables.values()) {
    const some = group.slice(0, filesPerTable)
    const found: Merge[] = []
    for (const file of some) {
      const { rows } = await work.source.sample(file, Math.ceil(rowsPerTable / some.length))
      for (const row of rows) {
        if (!work.isSent(file, row)) continue
        const conversion = conversionOf(row, file.table, work.converterFor)
        const merge = conversion.kind === 'event' ? mergeOf(conversion.event) : null
        if (merge) found.push(merge)
      }
    }
    const step = Math.max(1, found.length / mergesPerTable)
    for (let at = 0; at < found.length; at += step) {
      const merge = found[Math.floor(at)]
      if (merge) merges.push(merge)
    }
  }
  return merges
}

const filesPerTable = 3

/** The merge that an event asks for. */
export function mergeOf({ event, distinct_id, properties }: PostHogEvent): Merge | null {
  const alias =
    event === '$identify' ? properties['$anon_distinct_id'] : event === '$create_alias' ? properties['alias'] : null
  return typeof alias === 'string' && alias !== distinct_id ? { alias, distinctId: distinct_id } : null
}
